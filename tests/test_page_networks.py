"""Laws of what the page holds of networks: weights come back, masks hold the baseline's, limits are kept, and said."""

import base64
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from faig.attribution.filters import FilterIndex
from faig.data.images import decode_image, write_png
from faig.experiments.modulation import modulate
from faig.experiments.score_table import Key, Layers, discovered_by, read_layers, write_scores
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.weights import save_network
from faig.page import networks
from faig.page.networks import dials_data, layers_data, read_tiles
from faig.page.packing import pack


def unpack(packed) -> np.ndarray:
    """The numbers (n,) of :func:`pack`, as the page's script reads them."""
    dtype = np.dtype(packed["type"]).newbyteorder("<")
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["content"])), np.uint8)
    return np.frombuffer(planes.reshape(dtype.itemsize, -1).T.tobytes(), dtype).astype(packed["type"])


def saved(folder, spec, *, granularity: Any = "kernel", seed=0):
    """Weights files of a baseline and a target, and a score table of random rankings: paths, and the filters' index."""
    network = build_network(spec, seed)
    return saved_network(folder, network, lambda path, weights: save_network(path, spec, weights), granularity, seed)


def saved_network(folder, network, save, granularity: Any = "kernel", seed=0):
    generator = torch.Generator().manual_seed(seed)
    baseline = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in network.state_dict().items()
    }
    target = {name: value + 0.05 * torch.randn(value.shape, generator=generator) for name, value in baseline.items()}
    index = FilterIndex.of(network, granularity=granularity)
    rng = np.random.default_rng(seed)
    rankings = {Key("faig", name): rng.normal(size=index.num_filters) for name in ("blur", "noise")}
    change = index.collect({name: (target[name] - baseline[name]).abs() for name in target}).numpy()
    rankings |= {Key("weight_change_undivided", name): change for name in ("blur", "noise")}
    rankings |= {Key("random", name): rng.normal(size=index.num_filters) for name in ("blur", "noise")}
    paths = [folder / name for name in ("baseline.safetensors", "blind.safetensors", "blind.parquet")]
    for path, weights in zip(paths, (baseline, target), strict=False):
        save(path, weights)
    write_scores(paths[2], index, rankings, {})
    return paths, index, baseline, target


def spec(name="srresnet", width=4, depth=1, scale=2):
    return NetworkSpec(params=NetworkParams(name=name, width=width, depth=depth), scale=scale)


def dials(paths, ratio=0.1, tiles=None) -> tuple[Any, dict[str, np.ndarray]]:
    """The data, or the sentence, and the discovered filters."""
    baseline, target, scores = paths
    layers = read_layers(scores)
    found = discovered_by(scores, ratio, len(layers.numbers), "faig")
    return dials_data(baseline, target, found, layers, tiles), found


def layers(paths, ratio) -> Any:
    baseline, target, scores = paths
    return layers_data(baseline, target, scores, ratio, "faig")


def weights_of(data, lambdas):
    """The network's weights as the page's script makes them of the data, by state-dict key."""
    flat, own = unpack(data["weights"]), unpack(data["baseline"]).reshape(-1, 9)
    filters = [unpack(dial["filters"]) for dial in data["dials"]]
    dialled = np.unique(np.concatenate(filters))
    factors = np.ones(len(dialled))
    for each, value in zip(filters, lambdas, strict=True):
        factors[np.isin(dialled, each)] *= value
    weights, first, place = {}, 0, 0
    for layer in data["convolutions"]:
        outputs, count = layer["outputs"], layer["outputs"] * layer["inputs"]
        kernels = flat[place : place + 9 * count].reshape(count, 9).copy()
        here = (dialled >= first) & (dialled < first + count)
        moved = kernels[dialled[here] - first]
        kernels[dialled[here] - first] = own[here] + factors[here, None] * (moved - own[here])
        weights[f"{layer['name']}.weight"] = kernels.reshape(outputs, layer["inputs"], 3, 3)
        weights[f"{layer['name']}.bias"] = flat[place + 9 * count : place + 9 * count + outputs]
        first, place = first + count, place + 9 * count + outputs
    assert place == flat.size
    return weights


@pytest.mark.parametrize("dtype", ["float32", "int32", "int16", "uint8"])
@pytest.mark.parametrize("length", [0, 1, 7])
def test_packed_numbers_come_back(dtype, length):
    values = (100 * np.random.default_rng(0).normal(size=length)).astype(dtype)
    packed = pack(values)
    assert json.loads(json.dumps(packed)) == packed
    assert unpack(packed).dtype == values.dtype
    np.testing.assert_array_equal(unpack(packed), values)


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
@pytest.mark.parametrize(
    "spec", [spec(), spec("srcnn", 4, 2, 4), spec(scale=1), spec("srcnn", 6, 1, 3)], ids=lambda each: str(each)
)
def test_weights_come_back_and_hold_the_baselines_where_a_dial_is_at_0(tmp_path, spec, granularity):
    paths, index, baseline, target = saved(tmp_path, spec, granularity=granularity)
    data, found = dials(paths)
    for lambdas in ((1, 1), (0, 1), (1, 0), (0, 0)):
        expected = modulate(target, baseline, index, list(zip(found.values(), lambdas, strict=True)))
        actual = weights_of(data, lambdas)
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name], value.numpy(), rtol=0, atol=0 if 0 in lambdas else 1e-6)
    assert any((weights_of(data, (0, 1))[name] != value.numpy()).any() for name, value in target.items())


def test_only_dialled_kernels_of_the_baseline_are_in_the_page(tmp_path):
    paths, *_ = saved(tmp_path, spec())
    data, found = dials(paths)
    assert unpack(data["baseline"]).size == 9 * len(np.unique(np.concatenate(list(found.values()))))


def test_the_default_network_fits_the_page(tmp_path):
    paths, *_ = saved(tmp_path, spec(width=32, depth=4))
    data, _ = dials(paths, ratio=0.03)
    assert len(json.dumps(data)) + len(json.dumps(layers(paths, 0.03))) < 1_000_000


def foreign(path, weights):
    header = {"name": "spandrel", "architecture": "ESRGAN", "frame": {"scale": 2}, "training": False}
    save_file(dict(weights), path, {"network": json.dumps(header)})


class Mixed(nn.Module):
    """A layer of every kind that holds filters."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(3, 6, 3)
        self.grouped = nn.Conv2d(6, 4, (1, 5), groups=2)
        self.up = nn.ConvTranspose2d(4, 6, 2)
        self.square = nn.ConvTranspose2d(6, 6, 2)
        self.line = nn.Linear(6, 5)
        self.attention = nn.MultiheadAttention(4, 1)


def test_what_the_page_cannot_run_is_said_with_what_can(tmp_path, monkeypatch):
    paths, *_ = saved_network(tmp_path, Mixed(), foreign)
    sentence, _ = dials(paths)
    assert "srresnet and srcnn" in sentence
    assert "ESRGAN" in sentence
    assert "`make demo`" in sentence
    paths, *_ = saved(tmp_path, spec())
    monkeypatch.setattr(networks, "MAX_WEIGHTS", 100)
    sentence, _ = dials(paths)
    assert "weights and the page holds at most 100" in sentence
    assert "`make demo`" in sentence


def test_what_is_missing_or_of_another_network_is_said(tmp_path):
    paths, *_ = saved(tmp_path, spec())
    where = read_layers(paths[2])
    missing = tmp_path / "none.safetensors"
    for first, second in ((missing, paths[1]), (paths[0], missing)):
        for said in (dials_data(first, second, {}, where, None), layers_data(first, second, paths[2], 0.1, "faig")):
            assert said == "The file none.safetensors does not exist: `dvc repro` writes it."
    assert "does not exist" in layers_data(paths[0], paths[1], tmp_path / "none.parquet", 0.1, "faig")
    assert "no filters of the method learned" in layers_data(paths[0], paths[1], paths[2], 0.1, "learned")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(paths[0].read_bytes()[:100])
    assert "not a weights file" in dials_data(damaged, paths[1], {}, where, None)
    bare = tmp_path / "bare.safetensors"
    save_file({"a": torch.zeros(2)}, bare)
    assert "does not say which network" in dials_data(bare, paths[1], {}, where, None)
    wrong = tmp_path / "wrong.safetensors"
    for header in ({"params": {"name": "srcnn"}}, {"params": {"name": "srcnn", "depth": 10**12}, "scale": 2}, []):
        save_file({"a": torch.zeros(2)}, wrong, {"network": json.dumps(header)})
        assert "describes its network wrongly" in (said := dials_data(paths[0], wrong, {}, where, None)) or not header
        assert isinstance(said, str)
    other = Layers(("first",), np.zeros(5, int))
    assert "scored for another network" in dials_data(paths[0], paths[1], {}, other, None)
    (tmp_path / "other").mkdir()
    wide, *_ = saved(tmp_path / "other", spec(width=6))
    assert "not of one network" in dials_data(wide[0], paths[1], {}, where, None)


def test_a_header_that_lies_is_refused(tmp_path):
    path = tmp_path / "huge.safetensors"
    text = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    assert "not a weights file" in dials_data(path, path, {}, Layers(("a",), np.zeros(1, int)), None)


# Layers


def drawn(data):
    """The kernels that the page draws: by layer's name and degradation, before and after, each (n, kernels, h, w)."""
    flat, place, kernels = unpack(data["kernels"]), 0, {}
    for group in data["groups"]:
        layer = data["layers"][group["layer"]]
        shape = (len(group["filters"]), layer["shown"], layer["height"], layer["width"])
        size = int(np.prod(shape))
        before, change = (
            flat[place + n * size : place + (n + 1) * size].reshape(shape) * step
            for n, step in enumerate(group["steps"])
        )
        kernels[layer["name"], group["degradation"]] = group["filters"], before, before + change, group["norms"]
        place += 2 * size
    assert place == flat.size
    return kernels


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
def test_kernels_are_those_of_the_filters_in_layers_of_every_kind(tmp_path, granularity):
    paths, index, baseline, target = saved_network(tmp_path, Mixed(), foreign, granularity)
    data = layers(paths, 0.5)
    found = discovered_by(paths[2], 0.5, index.num_filters, "faig")
    seen = 0
    for (name, degradation), (filters, *pair, norms) in drawn(data).items():
        place = index.layers.index(name)
        entry, first = index.entries[place], index.starts[place]
        own = found[degradation]
        assert [first + each for each in filters] == own[index.layer_numbers[own] == place][:48].tolist()
        exact = [entry.kernels(weights[entry.key]).numpy() for weights in (baseline, target)]
        per_filter = exact[0].shape[1] if granularity == "channel" else 1
        taps = exact[0].shape[2]
        exact = [each.reshape(-1, per_filter, taps)[filters] for each in exact]
        for actual, expected in zip(pair, exact, strict=True):
            shown = expected[:, : actual.shape[1]]
            np.testing.assert_allclose(actual.reshape(shown.shape), shown, atol=1e-4 * np.abs(expected).max())
        changes = np.linalg.norm((exact[1] - exact[0]).reshape(len(filters), -1), axis=1)
        np.testing.assert_allclose(norms, changes, rtol=6e-3)
        seen += len(filters)
    assert {name for name, _ in drawn(data)} == set(index.layers)
    assert seen == sum(min(count, 48) for each in found.values() for count in index.count_by_layer(each))
    grouped = next(layer for layer in data["layers"] if layer["name"] == "grouped")
    assert grouped["groups"] == (2 if granularity == "kernel" else 1)


def test_positions_are_those_of_each_method_but_random(tmp_path, monkeypatch):
    paths, index, *_ = saved(tmp_path, spec())
    data = layers(paths, 0.1)
    assert set(data["methods"]) == {"faig", "weight_change_undivided"}
    for method, lists in data["methods"].items():
        found = discovered_by(paths[2], 0.1, index.num_filters, method)
        for degradation, packed in lists.items():
            assert unpack(packed).tolist() == sorted(found[degradation].tolist())
    monkeypatch.setattr(networks, "MAX_POSITIONS", 10)
    assert set(layers(paths, 0.1)["methods"]) == {"faig"}


def test_at_most_48_kernels_of_a_layer_and_fewer_where_all_are_too_many(tmp_path, monkeypatch):
    paths, *_ = saved(tmp_path, spec(width=16))
    data = layers(paths, 0.8)
    assert max(len(filters) for filters, *_ in drawn(data).values()) == 48
    monkeypatch.setattr(networks, "MAX_KERNELS", 10_000)
    fewer = layers(paths, 0.8)
    assert unpack(fewer["kernels"]).nbytes <= 10_000
    for key, (filters, *_) in drawn(fewer).items():
        assert filters == drawn(data)[key][0][: len(filters)]
        assert filters


def test_equal_files_give_equal_data(tmp_path):
    paths, *_ = saved(tmp_path, spec())
    assert json.dumps(dials(paths)[0]) == json.dumps(dials(paths)[0])
    assert json.dumps(layers(paths, 0.1)) == json.dumps(layers(paths, 0.1))


# Tiles


def pixels(uri):
    return decode_image(base64.b64decode(uri.removeprefix("data:image/png;base64,")), "tile")


def test_tiles_are_the_same_place_of_both_images_and_of_the_right_photograph(tmp_path):
    rng = np.random.default_rng(0)
    images = {}
    for name, (height, width) in {"b": (70, 80), "a": (70, 80), "small": (9, 10)}.items():
        images[name] = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        write_png(tmp_path / f"lr/blur/test/{name}.png", images[name])
        write_png(tmp_path / f"hr/test/{name}.png", images[name].repeat(3, axis=0).repeat(3, axis=1))
    read = [read_tiles(tmp_path / "hr", tmp_path / "lr", ["blur", "none"], number, 3) for number in range(4)]
    assert [tiles["image"] for tiles in read if tiles] == ["small", "a", "b", "small"]
    for tiles in read:
        assert tiles is not None
        (one,) = tiles["inputs"]
        small, large = pixels(one["lr"]), pixels(tiles["hr"])
        np.testing.assert_array_equal(large[::3, ::3], small)
    assert read[1] is not None
    np.testing.assert_array_equal(pixels(read[1]["inputs"][0]["lr"]), images["a"][3:67, 8:72])


def test_no_files_are_no_tiles(tmp_path):
    assert read_tiles(tmp_path, tmp_path, ["blur"], 0, 2) is None
    (tmp_path / "blur/test").mkdir(parents=True)
    assert read_tiles(tmp_path, tmp_path, ["blur"], 0, 2) is None
