import io
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CPU, ROOT, TINY
from PIL import Image

from faig.attribution.filters import FilterIndex
from faig.base.errors import InputError
from faig.base.ranking import num_discovered
from faig.data.degradation import degrade, image_generator
from faig.data.tensors import to_image, to_tensor
from faig.experiments.score_table import Key, write_scores
from faig.networks.models import build_network
from faig.networks.plugins import extract, load_plugin, plug_in, save_plugin
from faig.networks.weights import save_network
from tools.demo import uploads
from tools.demo.drawing import draw
from tools.demo.filters import read_rankings
from tools.demo.inputs import Wish, degrade_tile, place_of
from tools.demo.pairs import FIRST, given_pair, own_run, page_operations, preset_pair, published_pairs
from tools.demo.plugins import MAX_PLUGINS, make_plugins, read_plugin
from tools.demo.restoring import Studio
from tools.demo.sharing import Newest, Recent
from tools.demo.slots import NUM_SLOTS, Slots
from tools.demo.uploads import Photograph, read_upload
from tools.demo.words import chances, message, numbers

ABILITIES = ("blur", "noise")
WISH = Wish(pair="tiny", blur=1.0, noise=0.1, ratio=0.05)


@pytest.fixture
def studio(tmp_path):
    """A tiny pair with a score table of two methods."""
    for seed, name in enumerate(("baseline", "target")):
        save_network(tmp_path / f"{name}.safetensors", TINY, build_network(TINY, seed).state_dict())
    files = (tmp_path / "baseline.safetensors", tmp_path / "target.safetensors")
    pair = given_pair(*files, "spandrel", (4, 1), None, "kernel", ABILITIES)
    index, generator = FilterIndex.of(build_network(TINY, 0)), np.random.default_rng(0)
    keys = [Key(method, ability) for method in ("faig", "random") for ability in ABILITIES]
    scores = {key: generator.random(index.num_filters) for key in keys}
    write_scores(tmp_path / "scores.parquet", index, scores, {})
    pair = replace(pair, tables=(tmp_path / "scores.parquet",))
    return Studio({"tiny": pair}, CPU, tmp_path / "cache")


@pytest.fixture
def photograph():
    return Photograph("noise", np.random.default_rng(1).integers(0, 256, (96, 80, 3), dtype=np.uint8))


def last(studio, photograph, wish):
    return list(studio.answer(photograph, wish))[-1]


def encode(image, kind="PNG"):
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def declaring(width, height):
    """A PNG file whose header declares a size, and that holds next to nothing."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def written(folder, content, name="photo.png"):
    path = folder / name
    path.write_bytes(content)
    return path


# Uploads


def test_an_uploaded_photograph_is_read_as_it_is(tmp_path, photograph):
    found, word = read_upload(written(tmp_path, encode(Image.fromarray(photograph.pixels))), "mine.png")
    assert np.array_equal(found.pixels, photograph.pixels)
    assert (found.name, word) == ("mine.png", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "is not a PNG"),
        (b"", "is not a PNG"),
        (b"%PDF-1.4", "is not a PNG"),
        (encode(Image.new("RGB", (64, 64)), "GIF"), "is not a PNG"),
        (encode(Image.effect_noise((200, 200), 50))[:5000], "cannot be decoded"),
        (encode(Image.new("RGB", (64, 10))), "each side"),
        (encode(Image.new("RGBA", (64, 64))), "transparent"),
        (encode(Image.new("CMYK", (64, 64)), "JPEG"), "CMYK"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_sentence(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_upload(written(tmp_path, content), "photo.png")


@pytest.mark.parametrize("size", [(40000, 25000), (12000, 10000)])
def test_too_many_declared_pixels_are_refused_before_decoding(tmp_path, monkeypatch, size):
    monkeypatch.setattr(uploads, "decode_image", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(InputError, match="not decoded"):
        read_upload(written(tmp_path, declaring(*size)), "photo.png")


def test_a_large_photograph_is_shrunk_with_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "KEPT_PIXELS", 40_000)
    content = encode(Image.new("RGB", (800, 500), (90, 120, 60)), "JPEG")
    found, word = read_upload(written(tmp_path, content), "large.jpg")
    height, width = found.pixels.shape[:2]
    assert 0.95 * 40_000 < height * width <= 1.05 * 40_000
    assert width / height == pytest.approx(8 / 5, rel=0.01)
    assert "800 x 500" in word


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="smaller file"):
        read_upload(written(tmp_path, b"x" * 11), "photo.png")


# Dials


def test_all_dials_at_1_give_the_target_bit_for_bit(studio, photograph):
    answer, tile = last(studio, photograph, WISH), studio.tile(photograph, WISH)
    model = studio.open("tiny").model
    assert np.array_equal(answer.right, to_image(model.restore(model.target, to_tensor(tile.lr))))
    assert answer.psnr["now"] == answer.psnr["target"]


def test_a_dial_at_0_masks_its_filters(studio, photograph):
    opened, tile = studio.open("tiny"), studio.tile(photograph, WISH)
    masked = opened.model.masked(opened.rankings.discovered("faig", 0.05)["noise"])
    answer = last(studio, photograph, replace(WISH, dials=(1.0, 0.0)))
    assert np.array_equal(answer.right, to_image(opened.model.restore(masked, to_tensor(tile.lr))))
    assert not np.array_equal(answer.right, last(studio, photograph, WISH).right)


def test_of_a_slow_network_the_middle_comes_first_and_is_right(studio, photograph):
    wish = replace(WISH, dials=(0.0, 0.0))
    [whole] = list(studio.answer(photograph, wish))[-1:]
    slow = Studio(studio.pairs, CPU, studio.cache)
    slow.open("tiny").seconds_per_pixel = 1.0
    first = next(iter(slow.answer(photograph, wish)))
    assert not first.is_whole
    assert np.array_equal(first.right[32:64, 32:48], whole.right[32:64, 32:48])
    assert not np.array_equal(first.right, whole.right)


@pytest.mark.parametrize(
    "change",
    [
        {"dials": (1.6, 1.0)},
        {"dials": (-0.1,)},
        {"dials": (float("nan"),)},
        {"dials": ("1",)},
        {"dials": (True,)},
        {"dials": (None,)},
        {"noise": 0.31},
        {"blur": float("inf")},
        {"jpeg": 9},
        {"left": 2},
        {"shown": "/etc/passwd"},
    ],
)
def test_what_no_slider_can_send_is_refused(change):
    with pytest.raises(InputError):
        replace(WISH, **change)


@pytest.mark.parametrize("change", [{"method": "learned"}, {"method": None}, {"ratio": 0.2}, {"ratio": 0.0}])
def test_methods_and_ratios_that_are_not_offered_are_refused(studio, photograph, change):
    with pytest.raises(InputError):
        last(studio, photograph, replace(WISH, dials=(0.0, 0.0), **change))


def test_ratio_and_method_choose_the_filters(studio):
    rankings = studio.open("tiny").rankings
    few, many = rankings.discovered("faig", 0.01)["blur"], rankings.discovered("faig", 0.1)["blur"]
    assert len(many) == num_discovered(rankings.num_filters, 0.1)
    assert np.array_equal(few, many[: len(few)])
    assert not np.array_equal(many, rankings.discovered("random", 0.1)["blur"])


def test_the_published_best_tenth_is_read_as_the_whole_table(studio, tmp_path):
    import pandas as pd

    opened = studio.open("tiny")
    table = pd.read_parquet(tmp_path / "scores.parquet")
    table[table["rank"] < 0.1 * opened.model.index.num_filters].to_parquet(tmp_path / "tenth.parquet", index=False)
    part = read_rankings([tmp_path / "tenth.parquet"], opened.model, ABILITIES)
    assert part.methods == opened.rankings.methods
    for key, filters in opened.rankings.found.items():
        count = num_discovered(part.num_filters, 0.1)
        assert np.array_equal(part.found[key][:count], filters[:count])


def test_a_score_table_of_another_network_is_refused(studio, tmp_path):
    with pytest.raises(InputError, match="is not a score table"):
        read_rankings([tmp_path / "baseline.safetensors"], studio.open("tiny").model, ABILITIES)
    large = FilterIndex.of(build_network(replace(TINY, params=replace(TINY.params, width=8)), 0))
    write_scores(tmp_path / "large.parquet", large, {Key("faig", "blur"): np.arange(large.num_filters)}, {})
    with pytest.raises(InputError, match="does not rank"):
        read_rankings([tmp_path / "large.parquet"], studio.open("tiny").model, ABILITIES)


# Plug-ins


@pytest.fixture
def plugins(studio, tmp_path):
    """The target's kernels at the best 5 % of the filters for blur and for noise."""
    opened = studio.open("tiny")
    return make_plugins(opened.model, opened.rankings.discovered("faig", 0.05), tmp_path, method="faig", ratio=0.05)


def test_plugins_are_shown_in_the_baseline_at_their_strengths(studio, photograph, plugins):
    model = studio.open("tiny").model
    for strengths in ((1.0, 0.0), (0.5, 1.5), (0.0, 0.0)):
        wish = replace(WISH, shown="plugins", plugins=tuple(zip(plugins, strengths, strict=True)))
        chosen = [(held.plugin, strength) for held, strength in wish.plugins]
        expected = model.restore(
            plug_in(model.baseline, model.index, chosen), to_tensor(studio.tile(photograph, wish).lr)
        )
        answer = last(studio, photograph, wish)
        assert np.array_equal(answer.left, to_image(expected))
        assert np.array_equal(answer.right, last(studio, photograph, WISH).right)
    assert answer.psnr["plugins"] == answer.psnr["baseline"]


def test_only_where_plugins_are_shown_their_psnr_is(studio, photograph, plugins):
    wish = replace(WISH, plugins=((plugins[0], 1.0),))
    words = [numbers(last(studio, photograph, each).psnr, 0.1, True) for each in (wish, replace(wish, shown="plugins"))]
    assert ["the baseline with plug-ins" in each for each in words] == [False, True]


def test_a_plugin_that_was_made_here_can_be_put_in_again(studio, plugins):
    model = studio.open("tiny").model
    for made, ability in zip(plugins, ABILITIES, strict=True):
        assert made.file.name == f"{ability}.safetensors"
        assert made.fits(model)
        read = read_plugin(made.file, model)
        assert (read.key, read.name, read.file) == (made.key, ability, None)
        assert load_plugin(made.file).header.settings["degradation"] == ability


@pytest.mark.parametrize("value", [-0.1, 1.6, float("nan"), None, "1"])
def test_a_strength_that_no_slider_can_send_is_refused(plugins, value):
    with pytest.raises(InputError, match="the strength of blur, made here must be"):
        replace(WISH, plugins=((plugins[0], value),))


def test_a_plugin_of_another_baseline_or_granularity_is_refused_by_its_files_name(studio, plugins, tmp_path):
    model = studio.open("tiny").model
    other = extract(model.target, model.target, model.index, plugins[0].plugin.filters)
    save_plugin(tmp_path / "other.safetensors", other)
    channels = FilterIndex.of(model.network, granularity="channel")
    save_plugin(tmp_path / "channels.safetensors", extract(model.target, model.baseline, channels, np.array([1])))
    for name, words in (
        ("other", "^other: the plug-in was made for the baseline"),
        ("channels", "^channels: the plug-in's filters are of granularity channel, not kernel"),
        ("target", r"^target: target\.safetensors is not a plug-in"),
    ):
        with pytest.raises(InputError, match=words):
            read_plugin(tmp_path / f"{name}.safetensors", model)


def test_uploads_are_put_in_or_refused_in_a_sentence_and_none_is_kept(studio, plugins, tmp_path):
    model, slots = studio.open("tiny").model, Slots(studio, tmp_path / "made")
    other = extract(model.target, model.target, model.index, plugins[0].plugin.filters)
    path = tmp_path / "mine.safetensors"
    for plugin, words in ((plugins[0].plugin, ""), (other, "take the baseline that it was trained from")):
        save_plugin(path, plugin)
        updates = slots.put_in(str(path), "tiny", [], *[0.0] * MAX_PLUGINS)
        assert len(updates) == NUM_SLOTS
        assert words in updates[-1]
        assert bool(updates[-1]) == bool(words)
        assert not path.exists()


# Inputs


def test_the_sliders_make_the_projects_own_degradations(photograph):
    for name, values in {"blur": {"blur": 2.0}, "clean": {}, "blur_noise": {"blur": 2.0, "noise": 0.1}}.items():
        generator = image_generator(0, "page", "tile")
        own = degrade(photograph.pixels, page_operations(2)[name], scale=2, downsampling="bicubic", generator=generator)
        assert np.array_equal(degrade_tile(photograph.pixels, Wish(pair="", **values), 2, "bicubic"), own)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.5, 1.0])
def test_the_tile_lies_in_the_photograph(scale, share):
    for size in ((1200, 2400), (48, 1536)):
        size = tuple(side - side % scale for side in size)
        top, left, height, width = place_of(size, Wish(pair="", left=share, top=share), scale)
        assert 0 <= top <= size[0] - height
        assert 0 <= left <= size[1] - width
        assert not any(value % scale for value in (top, left, height, width))


def test_a_photograph_as_it_is_has_no_original(studio, photograph):
    answer = last(studio, photograph, replace(WISH, as_it_is=True))
    assert answer.right.shape == (192, 160, 3)
    assert not answer.psnr


# The drawing


def test_the_drawing_counts_every_filter_and_escapes_names(model):
    generator = np.random.default_rng(0)
    evil = '<script>alert("1")</script>'
    found = {name: generator.permutation(model.index.num_filters)[:20] for name in ("blur", evil)}
    drawn = draw(model.index, found, (1.0, 0.0))
    assert "<script" not in drawn
    counted = [int(part.split(" of ")[0].rsplit(" ", 1)[1]) for part in drawn.split("<title>")[1:]]
    assert sum(counted) == 40
    assert drawn.count('class="layer"') == len(model.index.layers)


def test_a_dial_that_is_turned_down_dims_its_filters(model):
    found = {"blur": np.arange(5)}
    dim, bright = (draw(model.index, found, (value,)) for value in (0.0, 1.0))
    assert 'opacity="0.20"' in dim
    assert 'opacity="1.00"' in bright


def test_words_escape_what_others_named():
    for text in (message("<b>"), chances({"<b>": 1.0})):
        assert "<b>" not in text


# What visitors share


def test_recent_results_are_made_once_and_old_ones_forgotten():
    made, recent = [], Recent(2)
    for key in (1, 1, 2, 1, 3, 1, 2):
        recent.get(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


def test_a_newer_request_of_the_same_visitor_supersedes():
    newest = Newest()
    first, other = newest.begin("a"), newest.begin("b")
    assert first()
    second = newest.begin("a")
    assert [first(), second(), other()] == [False, True, True]
    assert newest.watch("a")()


# Pairs


def test_every_published_network_is_offered_the_usual_one_first():
    pairs = published_pairs(ROOT / "published")
    assert next(iter(pairs)) == FIRST
    assert set(pairs) == {path.parents[1].name for path in ROOT.glob("published/*/weights/SHA256SUMS")}
    assert all(pair.abilities == ABILITIES for pair in pairs.values())


def test_the_pair_that_opens_first_has_filters_for_both_dials(tmp_path):
    studio = Studio(published_pairs(ROOT / "published"), CPU, tmp_path)
    rankings = studio.open(FIRST).rankings
    assert {"faig", "ig", "taylor", "random"} <= set(rankings.methods)
    assert set(rankings.discovered("faig", 0.1)) == set(ABILITIES)


def test_a_folder_without_weights_or_runs_offers_nothing(tmp_path):
    (tmp_path / "published/odd/weights").mkdir(parents=True)
    (tmp_path / "published/odd/weights/SHA256SUMS").write_text("")
    assert not published_pairs(tmp_path / "published")
    assert own_run(tmp_path) is None


def test_checkpoints_of_two_networks_are_refused(studio, tmp_path):
    other = replace(TINY, params=replace(TINY.params, width=8))
    save_network(tmp_path / "other.safetensors", other, build_network(other, 0).state_dict())
    pair = given_pair(
        tmp_path / "other.safetensors", tmp_path / "target.safetensors", "spandrel", (4, 1), None, "kernel", ABILITIES
    )
    with pytest.raises(InputError, match="holds"):
        Studio({"x": pair}, CPU, tmp_path).open("x")


def test_checkpoints_of_two_scales_are_refused_and_what_is_no_weights_file(tmp_path):
    for scale in (1, 2):
        torch.save(build_network(replace(TINY, scale=scale), 0).state_dict(), tmp_path / f"{scale}.pth")
        (tmp_path / f"{scale}.py").write_text("")
    (tmp_path / "network.py").write_text(
        "from faig.networks.models import SRResNet\n\n\ndef make_network():\n    return SRResNet(4, 1, 2)\n"
    )
    factory = f"{tmp_path}/network.py:make_network"
    with pytest.raises(InputError, match="upscales by 2, but the target or --scale says 3"):
        given_pair(tmp_path / "2.pth", tmp_path / "2.pth", factory, (4, 1), 3, "kernel", ABILITIES)
    with pytest.raises(InputError, match=r"1\.pth is not of"):
        given_pair(tmp_path / "1.pth", tmp_path / "2.pth", factory, (4, 1), None, "kernel", ABILITIES)
    with pytest.raises(InputError, match="must be a weights file"):
        given_pair(tmp_path / "1.py", tmp_path / "2.py", factory, (4, 1), None, "kernel", ABILITIES)


def test_plain_weights_of_this_projects_own_networks_say_what_is_missing(tmp_path):
    torch.save(build_network(TINY, 0).state_dict(), tmp_path / "plain.pth")
    with pytest.raises(InputError, match="--network: a factory, or srresnet"):
        given_pair(tmp_path / "plain.pth", tmp_path / "plain.pth", "spandrel", (4, 1), None, "kernel", ABILITIES)


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    torch.save({"weight": Harmful()}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="could run code"):
        given_pair(tmp_path / "code.pth", tmp_path / "code.pth", "spandrel", (4, 1), None, "kernel", ABILITIES)
    assert not (tmp_path / "was_run").exists()


def test_plain_weights_are_opened_by_name_or_by_a_factory(tmp_path):
    for seed, name in enumerate(("baseline.pth", "target.pth")):
        torch.save(build_network(TINY, seed).state_dict(), tmp_path / name)
    files = (tmp_path / "baseline.pth", tmp_path / "target.pth")
    (tmp_path / "network.py").write_text(
        "from faig.networks.models import SRResNet\n\n\ndef make_network():\n    return SRResNet(4, 1, 2)\n"
    )
    named = given_pair(*files, "srresnet", (4, 1), 2, "kernel", ABILITIES)
    built = given_pair(*files, f"{tmp_path}/network.py:make_network", (4, 1), None, "kernel", ABILITIES)
    assert named.scale == built.scale == 2
    first, second = (Studio({"x": pair}, CPU, tmp_path).open("x").model for pair in (named, built))
    assert all(torch.equal(first.target[name], second.target[name]) for name in first.target)


def test_a_preset_that_trains_its_networks_says_how():
    with pytest.raises(InputError, match="make repro NAME=swinir"):
        preset_pair("swinir", ROOT)


def test_other_files_have_another_digest(studio, tmp_path):
    pair = studio.pairs["tiny"]
    before = pair.digest()
    assert pair.digest() == before
    save_network(tmp_path / "target.safetensors", TINY, build_network(TINY, 7).state_dict())
    assert pair.digest() != before


@pytest.mark.slow
def test_filters_are_found_by_all_methods_and_kept(studio, tmp_path, photograph):
    bare = {"tiny": replace(studio.pairs["tiny"], tables=())}
    first = Studio(bare, CPU, tmp_path / "cache")
    opened = first.open("tiny")
    assert not opened.rankings.methods
    assert first.tell(photograph, WISH) is None
    steps = []
    opened.search.run(steps.append)
    assert sum(steps) == opened.search.num_steps
    again = Studio(bare, CPU, tmp_path / "cache")
    assert {"faig", "learned", "second_order", "random"} <= set(again.open("tiny").rankings.methods)
    told = again.tell(photograph, replace(WISH, method="second_order"))
    assert told is not None
    assert set(told) == {"clean", "blur", "noise", "blur_noise"}
    assert sum(told.values()) == pytest.approx(1)


def test_the_preset_of_checkpoints_is_offered(tmp_path):
    (tmp_path / "params.yaml").write_text(Path(ROOT, "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    pair = preset_pair("waifu2x", tmp_path)
    assert pair.abilities == ("jpeg_40",)
    assert [path.name for path in pair.files] == ["scale.safetensors", "noise3_scale.safetensors", "network.py"]
