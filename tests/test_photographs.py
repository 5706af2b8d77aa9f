"""Laws of the dataset: train and test are disjoint, every pixel comes from a source, outputs are whole or absent."""

import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from click import Command
from click.testing import CliRunner, Result
from PIL import Image
from ruamel.yaml import YAML

from faig.base.params import ParamsError, validate
from faig.data.dead_leaves import PREFIX
from faig.data.degradation import degrade, image_generator, parse_operations
from faig.data.images import read_image, write_png
from faig.data.photographs import (
    SPLITS,
    TEST_FILES,
    TRAIN_FILES,
    DatasetParams,
    Images,
    TileParams,
    list_sources,
    make_images,
    provide_photographs,
    require_disjoint,
    tiles,
)
from stages.prepare import main as prepare
from stages.synthesize import main as synthesize

ROOT = Path(__file__).parents[1]
DEAD_LEAVES = {
    "num_images": 2,
    "size": 50,
    "supersampling": 2,
    "min_radius": 3.0,
    "max_radius": 20.0,
    "exponent": 2.6,
}


ARCHIVES = {
    split: {"url": f"https://example.org/{split}.zip", "size": 10, "sha256": 64 * digit}
    for split, digit in (("train", "1"), ("test", "2"))
}


def values(place: Path, *, num_made: int = 0, **changes: Any) -> dict[str, Any]:
    """The dataset section of params.yaml, for photographs in ``place`` and ``num_made`` dead-leaves images."""
    section: dict[str, Any] = {
        "source": "bundled",
        "div2k": {"folder": "none", **ARCHIVES},
        "train": str(place / "train"),
        "test": str(place / "test"),
        "limit": None,
        "min_size": 16,
        "dead_leaves": DEAD_LEAVES | {"num_images": num_made},
        "test_tiles": None,
        "lr": "none",
    }
    return section | changes


def params_of(section: dict[str, Any]) -> DatasetParams:
    return validate("dataset", section, DatasetParams, source="params.yaml")


def photograph(number: int, shape: tuple[int, int] = (36, 44)) -> np.ndarray:
    return np.random.default_rng(number).integers(256, size=(*shape, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three training photographs and two test photographs, all different."""
    for number, name in enumerate(("train/a.png", "train/b.bmp", "train/c.tif", "test/d.png", "test/e.png")):
        save(tmp_path / name, photograph(number))
    return tmp_path


def load(section: dict[str, Any], *, scale: int = 2) -> tuple[Images, Images]:
    """Images of train and of test, as the stage makes them one by one."""
    params, found = params_of(section), {split: {} for split in SPLITS}
    digests = []
    for source in list_sources({"train": params.train, "test": params.test}, params):
        made = make_images(source, params, scale=scale, seed=0)
        found[source.split] |= made.images
        digests.append((source, made.digest))
    require_disjoint(digests)
    return found["train"], found["test"]


# The bundled photographs


@pytest.fixture(scope="module")
def provided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundled photographs; opening a connection fails."""
    folder = tmp_path_factory.mktemp("bundled") / "photographs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", lambda *_, **__: pytest.fail("tried to use the network"))
        provide_photographs("bundled", params_of(values(folder)).div2k, folder)
    return folder


@pytest.fixture(scope="module")
def bundled(provided: Path) -> tuple[Images, Images]:
    return load(values(provided, num_made=2, test_tiles={"size": 128, "per_photograph": 4}), scale=4)


def test_bundled_photographs_are_copied_as_they_are(provided: Path):
    package = Path(skimage.data.__file__).parent
    for split, names in (("train", TRAIN_FILES), ("test", TEST_FILES)):
        assert {path.name for path in (provided / split).iterdir()} == set(names)
        assert all((provided / split / name).read_bytes() == (package / name).read_bytes() for name in names)


def test_bundled_scenes_are_in_one_split(bundled: tuple[Images, Images]):
    train, test = bundled
    photographs = {Path(name).stem for name in TRAIN_FILES}
    assert set(train) == photographs | {f"{PREFIX}000", f"{PREFIX}001"}
    assert {"motorcycle_left", "motorcycle_right"} <= photographs  # one scene
    assert {name.rpartition("_")[0] for name in test} == {"astronaut", "chelsea", "coffee", "rocket"}
    assert not set(TRAIN_FILES) & set(TEST_FILES)


def test_bundled_images_are_8_bit_rgb_and_multiples_of_the_scale(bundled: tuple[Images, Images]):
    for image in (bundled[0] | bundled[1]).values():
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert image.shape[0] % 4 == image.shape[1] % 4 == 0
    assert len({channel.tobytes() for channel in np.moveaxis(bundled[0]["camera"], 2, 0)}) == 1  # gray became RGB


def test_bundled_test_photographs_are_tiled(bundled: tuple[Images, Images]):
    assert all(image.shape == (128, 128, 3) for image in bundled[1].values())
    assert len(bundled[1]) == 4 * len(TEST_FILES)


def test_dead_leaves_are_made_by_name_and_cropped(bundled: tuple[Images, Images], folder: Path):
    again, _ = load(values(folder, num_made=2), scale=4)
    assert again[f"{PREFIX}001"].shape == (48, 48, 3)
    np.testing.assert_array_equal(again[f"{PREFIX}001"], bundled[0][f"{PREFIX}001"])


# The user's folders


def test_folders_are_read_whole(folder: Path):
    train, test = load(values(folder))
    assert list(train) == ["a", "b", "c"]
    assert list(test) == ["d", "e"]
    for number, image in enumerate([*train.values(), *test.values()]):
        np.testing.assert_array_equal(image, photograph(number))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_images_are_cropped_to_a_multiple_of_the_scale(folder: Path, scale: int):
    save(folder / "train" / "odd.png", photograph(9, (35, 43)))
    image = load(values(folder), scale=scale)[0]["odd"]
    height, width = 35 // scale * scale, 43 // scale * scale
    np.testing.assert_array_equal(image, photograph(9, (35, 43))[:height, :width])


def test_the_limit_takes_the_first_by_name(folder: Path):
    assert [list(split) for split in load(values(folder, limit=1))] == [["a"], ["d"]]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_or_empty_folder_is_refused(folder: Path, split: str):
    for path in (folder / split).iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=f"{split} holds no image"):
        load(values(folder))
    (folder / split).rmdir()
    with pytest.raises(ValueError, match=f"{split} does not exist"):
        load(values(folder))


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_test_photograph_that_is_also_in_train_is_refused(folder: Path, split: str, suffix: str):
    """By content: under another name and in another format."""
    path = save(folder / split / f"copy.{suffix}", photograph(3 if split == "train" else 1))
    twin = folder / ("test/d.png" if split == "train" else "train/b.bmp")
    with pytest.raises(ValueError, match="is also a training photograph") as caught:
        load(values(folder))
    assert str(path) in str(caught.value)
    assert str(twin) in str(caught.value)


def test_one_folder_for_both_splits_is_refused(folder: Path):
    section = values(folder)
    section["test"] = section["train"]
    with pytest.raises(ValueError, match="is also a training photograph"):
        load(section)


def test_two_files_with_one_name_are_refused(folder: Path):
    save(folder / "test" / "d.bmp", photograph(9))
    with pytest.raises(ValueError, match=r"d\.bmp and .*d\.png"):
        load(values(folder))


def test_names_of_made_images_are_refused(folder: Path):
    path = save(folder / "train" / f"{PREFIX}7.png", photograph(9))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load(values(folder))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_photograph_that_is_too_small_is_refused(folder: Path, split: str):
    path = save(folder / split / "small.png", photograph(9, (16, 40)))
    load(values(folder))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is 40 x 16 pixels .* at least 18"):
        load(values(folder, min_size=18))


def test_cropping_counts_before_the_size_is_checked(folder: Path):
    save(folder / "train" / "small.png", photograph(9, (19, 40)))
    load(values(folder, min_size=18), scale=2)
    with pytest.raises(ValueError, match=r"small\.png is 40 x 16"):
        load(values(folder, min_size=18), scale=4)


def test_a_test_photograph_must_hold_a_tile(folder: Path):
    section = values(folder, test_tiles={"size": 40, "per_photograph": 1})
    with pytest.raises(ValueError, match=r"d\.png is 44 x 36 pixels .* at least 40"):
        load(section)


# Tiles


def test_tiles_are_spread_evenly_over_the_grid():
    image = np.zeros((64, 128, 3), np.uint8)  # a grid of 2 x 4 tiles of 32 pixels
    image[:] = np.repeat(np.repeat(np.arange(8, dtype=np.uint8).reshape(2, 4, 1), 32, axis=0), 32, axis=1)
    for num, expected in ((1, [4]), (2, [2, 6]), (4, [1, 3, 5, 7]), (8, [*range(8)])):
        cut = tiles("all", image, TileParams(size=32, per_photograph=num))
        assert [int(tile[0, 0, 0]) for tile in cut.values()] == expected


def test_tiles_do_not_overlap_and_are_as_many_as_fit():
    image = np.arange(70 * 100 * 3).reshape(70, 100, 3)  # every value once
    cut = tiles("all", image, TileParams(size=32, per_photograph=99))
    assert len(cut) == 6
    assert np.unique(np.stack(list(cut.values()))).size == 6 * 32 * 32 * 3


# Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "internet"}, "dataset.source = 'internet'"),
        ({"min_size": 0}, "dataset.min_size = 0"),
        ({"limit": 0}, "dataset.limit = 0"),
        ({"train": None}, "dataset.train = None"),
        ({"div2k": {"folder": "none"}}, "dataset.div2k.train is missing"),
        ({"test_tiles": {"size": 31, "per_photograph": 1}}, "dataset.test_tiles.size = 31"),
        ({"test_tiles": {"size": 32, "per_photograph": 0}}, "dataset.test_tiles.per_photograph = 0"),
        ({"scale": 2}, "dataset.scale is not a known key"),
        ({"num_made": 1, "min_size": 51}, "dead_leaves.size = 50 must be at least min_size = 51"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, change: dict[str, Any], message: str):
    with pytest.raises(ParamsError, match=re.escape(message)):
        params_of(values(tmp_path, **change))


def test_the_size_of_dead_leaves_counts_where_they_are_made_only(tmp_path: Path):
    params_of(values(tmp_path, min_size=51))


# The stages prepare and synthesize

OPERATIONS = {
    "clean": ["downsample"],
    "noise": [{"gaussian_blur": {"kernel_size": 5, "sigma": 1.0}}, "downsample", {"gaussian_noise": {"sigma": 0.1}}],
}
Run = Callable[..., Result]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a stage in ``folder``, where params.yaml is written first; keyword arguments change its values."""
    monkeypatch.chdir(folder)

    def run_stage(command: Command, *arguments: str, workers: int | None = 1, **changes: Any) -> Result:
        params = {
            "seed": 3,
            "scale": 2,
            "downsampling": "bicubic",
            "dataset": values(folder),
            "degradations": OPERATIONS,
            "compute": {"workers": workers},
        }
        with Path("params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(params | changes, file)
        return CliRunner().invoke(command, [str(argument) for argument in arguments])

    return run_stage


def run_prepare(run: Run, output: str = "data/hr", **changes: Any) -> Result:
    return run(prepare, "--train", "train", "--test", "test", "--output", output, **changes)


def run_synthesize(run: Run, output: str, degradation: str = "noise", **changes: Any) -> Result:
    options = ["--degradation", degradation, "--hr", "data/hr", "--given", "given", "--output", output]
    return run(synthesize, *options, **changes)


def bytes_of(folder: str) -> dict[str, str]:
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def require_clean_failure(result: Result, message: str, output: str) -> None:
    """One clear error, exit status 1, no traceback, nothing half-written."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"Error: .*{message}.*", result.output.splitlines()[-1]), result.output
    assert "Traceback" not in result.output
    assert not Path(output).exists()
    assert not list(Path().rglob("*.part"))


def test_prepare_writes_both_splits_and_repeats_its_bytes(run: Run):
    for output in ("data/hr", "again"):
        assert run_prepare(run, output).exit_code == 0
    images = ["test/d.png", "test/e.png", "train/a.png", "train/b.png", "train/c.png"]
    assert list(bytes_of("data/hr")) == ["cuts.csv", *images]
    assert bytes_of("data/hr") == bytes_of("again")
    np.testing.assert_array_equal(read_image(Path("data/hr/train/b.png")), photograph(1))


def test_prepare_says_what_it_took_and_what_it_left_out(run: Run):
    Path("train/notes.txt").write_text("no image")
    Path("train/more").mkdir()
    printed = run_prepare(run).output
    assert "train: 3 images of photographs, 0 of dead leaves" in printed
    assert "train: 2 entries are no image files and were left out: more, notes.txt" in printed


def test_prepare_replaces_what_an_earlier_run_left(run: Run):
    save(Path("data/hr/train/old.png"), photograph(9))
    save(Path("data/hr.part/train/interrupted.png"), photograph(9))
    assert run_prepare(run).exit_code == 0
    assert not {"train/old.png", "train/interrupted.png"} & set(bytes_of("data/hr"))
    assert not Path("data/hr.part").exists()


def test_prepare_names_a_file_that_cannot_be_read_and_writes_nothing(run: Run):
    path = Path("test/e.png")
    path.write_bytes(path.read_bytes()[:-200])
    require_clean_failure(run_prepare(run), r"test/e\.png", "data/hr")


def test_a_failed_prepare_leaves_the_earlier_output(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert run_prepare(run).exit_code == 0
    before = bytes_of("data/hr")

    def fail_late(path: Path, image: np.ndarray) -> None:
        if path.name == "e.png":
            raise OSError("disk full")
        write_png(path, image)

    monkeypatch.setattr("stages.prepare.write_png", fail_late)
    result = run_prepare(run)
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "Error: disk full")
    assert bytes_of("data/hr") == before
    assert not Path("data/hr.part").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 5}, "scale = 5"),
        ({"seed": -1}, "seed = -1"),
        ({"dataset": {"source": "bundled"}}, r"dataset\.div2k is missing"),
        ({"dataset": None}, "dataset = None"),
    ],
)
def test_prepare_refuses_values_out_of_range(run: Run, changes: dict[str, Any], message: str):
    result = run_prepare(run, **changes)
    assert (result.exit_code, Path("data").exists()) == (1, False)
    assert re.search(rf"^Error: params\.yaml: {message}|^params\.yaml: {message}", result.output, re.MULTILINE)


def test_synthesize_degrades_every_image_under_its_name(run: Run):
    run_prepare(run)
    assert run_synthesize(run, "data/lr/noise").exit_code == 0
    assert ["cuts.csv", *bytes_of("data/lr/noise")] == list(bytes_of("data/hr"))
    lr = degrade(
        read_image(Path("data/hr/train/b.png")),
        parse_operations("noise", OPERATIONS["noise"], scale=2),
        scale=2,
        downsampling="bicubic",
        generator=image_generator(3, "noise", "b"),
    )
    np.testing.assert_array_equal(read_image(Path("data/lr/noise/train/b.png")), lr)


def test_at_scale_1_photographs_stay_whole_and_lr_is_as_large_as_hr(run: Run):
    save(Path("test/d.png"), photograph(3, (35, 43)))
    unscaled = {"scale": 1, "degradations": {"clean": [], "noise": [{"gaussian_noise": {"sigma": 0.1}}]}}
    assert run_prepare(run, **unscaled).exit_code == 0
    np.testing.assert_array_equal(read_image(Path("data/hr/test/d.png")), photograph(3, (35, 43)))
    for degradation in ("clean", "noise"):
        assert run_synthesize(run, f"data/lr/{degradation}", degradation, **unscaled).exit_code == 0
    assert bytes_of("data/lr/clean").items() <= bytes_of("data/hr").items()
    assert read_image(Path("data/lr/noise/test/d.png")).shape == (35, 43, 3)


def test_neither_the_workers_nor_other_images_change_a_byte(run: Run):
    run_prepare(run)
    for workers, output in ((1, "one"), (3, "three"), (None, "all")):
        assert run_synthesize(run, output, workers=workers).exit_code == 0
    assert bytes_of("one") == bytes_of("three") == bytes_of("all")
    save(Path("data/hr/train/0_first.png"), photograph(9))
    assert run_synthesize(run, "more").exit_code == 0
    more = bytes_of("more")
    assert more.pop("train/0_first.png")
    assert more == bytes_of("one")


def test_seed_degradation_and_kernel_change_the_result(run: Run):
    run_prepare(run)
    twice = {"noise": OPERATIONS["noise"], "again": OPERATIONS["noise"]}
    run_synthesize(run, "base")
    run_synthesize(run, "seed", seed=4)
    run_synthesize(run, "name", "again", degradations=twice)
    run_synthesize(run, "kernel", downsampling="area")
    results = [bytes_of(output)["train/a.png"] for output in ("base", "seed", "name", "kernel")]
    assert len(set(results)) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"degradation": "fog"}, r"degradations\.fog is missing"),
        ({"downsampling": "lanczos"}, "'lanczos' is not one of bicubic, bilinear, area"),
        ({"workers": 0}, r"compute\.workers = 0"),
        ({"scale": 5}, "scale = 5"),
        ({"scale": 1}, "must not name downsample"),
        ({"degradations": {"noise": ["downsample", {"gaussian_noise": {"sigma": -1}}]}}, "sigma = -1"),
        ({"degradations": {"noise": []}}, "must name downsample exactly once"),
    ],
)
def test_synthesize_refuses_settings_and_writes_nothing(run: Run, changes: dict[str, Any], message: str):
    run_prepare(run)
    require_clean_failure(run_synthesize(run, "data/lr/noise", **changes), message, "data/lr/noise")


def test_synthesize_before_prepare_is_refused(run: Run):
    require_clean_failure(run_synthesize(run, "data/lr/noise"), "data/hr/train does not exist", "data/lr/noise")


def test_synthesize_names_a_file_that_cannot_be_read(run: Run):
    run_prepare(run)
    Path("data/hr/test/e.png").write_bytes(b"broken")
    require_clean_failure(run_synthesize(run, "data/lr/noise"), r"data/hr/test/e\.png", "data/lr/noise")


def test_the_stages_start_without_heavy_modules():
    code = "import sys, stages.prepare, stages.synthesize; print(*{'torch', 'pandas', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
