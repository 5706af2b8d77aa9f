"""Laws of given LR images: they are cut exactly as the HR photographs are, and what does not fit is named."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click import Command
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from faig.base.errors import InputError
from faig.data.degradation import area
from faig.data.given import cut_given, pair_given, read_cuts, write_cuts
from faig.data.images import list_images, read_image, write_png
from faig.data.photographs import Cut
from stages.prepare import main as prepare
from stages.synthesize import main as synthesize

LEAVES = {"size": 50, "supersampling": 2, "min_radius": 3.0, "max_radius": 20.0, "exponent": 2.6}
ARCHIVE = {"url": "https://example.org/a.zip", "size": 10, "sha256": 64 * "1"}
PHOTOGRAPHS = {"train/a": (37, 45), "train/b": (40, 41), "test/c": (75, 103), "test/d": (64, 97)}


def photograph(number: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(number).integers(256, size=(*shape, 3), dtype=np.uint8)


def run_stage(command: Command, *arguments: str, scale: int, num_leaves: int = 0) -> Result:
    """Run a stage on params.yaml, written first."""
    params: dict[str, Any] = {
        "seed": 3,
        "scale": scale,
        "downsampling": "area",
        "dataset": {
            "source": "bundled",
            "div2k": {"folder": "none", "train": ARCHIVE, "test": ARCHIVE},
            "train": "train",
            "test": "test",
            "limit": None,
            "min_size": 16,
            "dead_leaves": LEAVES | {"num_images": num_leaves},
            "test_tiles": {"size": 36, "per_photograph": 2},
            "lr": "given",
        },
        "degradations": {"camera": "given"},
        "compute": {"workers": 2},
    }
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    return CliRunner().invoke(command, arguments)


@pytest.fixture(params=[1, 2, 3])
def scale(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: int) -> Path:
    """Photographs and their LR images, each block's mean; HR images are prepared."""
    monkeypatch.chdir(tmp_path)
    for number, (name, (height, width)) in enumerate(PHOTOGRAPHS.items()):
        hr = photograph(number, (height, width))
        write_png(Path(f"{name}.png"), hr)
        whole = hr[: height // scale * scale, : width // scale * scale]
        write_png(Path(f"given/camera/{name}.png"), area(whole, scale))
    write_png(Path("given/camera/train/unused.png"), photograph(9, (8, 8)))  # of a photograph beyond the limit, say
    assert run_prepare(scale).exit_code == 0
    return tmp_path


def run_prepare(scale: int, **changes: Any) -> Result:
    return run_stage(prepare, "--train", "train", "--test", "test", "--output", "data/hr", scale=scale, **changes)


def run_synthesize(scale: int, **changes: Any) -> Result:
    options = ["--degradation", "camera", "--hr", "data/hr", "--given", "given", "--output", "data/lr/camera"]
    return run_stage(synthesize, *options, scale=scale, **changes)


def error_of(result: Result) -> str:
    """What the stage says; it leaves nothing half-written."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert not Path("data/lr/camera").exists()
    assert not list(Path().rglob("*.part"))
    return result.output


@pytest.mark.usefixtures("folder")
def test_the_stage_cuts_given_images_as_the_photographs_are_cut(scale: int):
    """The mean of a block depends on the block alone, so the LR tile is the mean of the HR tile."""
    result = run_synthesize(scale)
    assert result.exit_code == 0, result.output
    for split, num in (("train", 2), ("test", 4)):
        photographs, inputs = list_images(Path("data/hr") / split), list_images(Path("data/lr/camera") / split)
        assert [path.name for path in photographs] == [path.name for path in inputs]
        assert len(inputs) == num
        for hr, lr in zip(photographs, inputs, strict=True):
            np.testing.assert_array_equal(read_image(lr), area(read_image(hr), scale))


@pytest.mark.usefixtures("folder")
def test_given_images_may_have_another_format():
    path = Path("given/camera/train/a.png")
    path.rename(path.with_suffix(".PNG"))
    assert {file.name for file, _ in pair_given(Path("given/camera"), read_cuts(Path("data/hr/cuts.csv")))} == {
        "a.PNG",
        "b.png",
        "c.png",
        "d.png",
    }


@pytest.mark.usefixtures("folder")
def test_a_missing_folder_or_image_is_named(scale: int):
    Path("given/camera/test/c.png").unlink()
    assert "given/camera lacks the LR images of 1 photographs: test/c" in error_of(run_synthesize(scale))
    Path("given/camera/test/d.png").unlink()
    assert "given/camera/test holds no image" in error_of(run_synthesize(scale))
    Path("given/camera").rename("given/phone")
    assert re.search("folder given/camera/(train|test) does not exist", error_of(run_synthesize(scale)))


def test_the_first_five_missing_images_are_named(tmp_path: Path):
    write_png(tmp_path / "train/x.png", photograph(0, (8, 8)))
    cuts = [Cut("train", name, name, 8, 8, 0, 0, 8, 8) for name in "abcdefg"]
    with pytest.raises(InputError, match=r"of 7 photographs: train/a, train/b, train/c, train/d, train/e, \.\.\.$"):
        pair_given(tmp_path, cuts)


@pytest.mark.usefixtures("folder")
def test_an_image_of_another_size_is_named_with_both_sizes(scale: int):
    write_png(Path("given/camera/test/c.png"), photograph(5, (20, 31)))
    height, width = 75 // scale, 103 // scale
    message = error_of(run_synthesize(scale))
    assert "given/camera/test/c.png is 31 x 20 pixels" in message
    assert f"{width * scale} x {height * scale} pixels when cropped to a multiple of scale = {scale}" in message
    assert f"must be {width} x {height}" in message


@pytest.mark.usefixtures("folder")
def test_dead_leaves_are_given_by_nobody(scale: int):
    assert run_prepare(scale, num_leaves=1).exit_code == 0
    assert "set dataset.dead_leaves.num_images: 0" in error_of(run_synthesize(scale))


def test_a_list_of_cuts_reads_back(tmp_path: Path):
    cuts = [Cut("test", "a_0", "a", 60, 80, 0, 40, 30, 30), Cut("train", "leaf", "", 20, 20, 0, 0, 20, 20)]
    write_cuts(tmp_path / "cuts.csv", cuts)
    assert read_cuts(tmp_path / "cuts.csv") == cuts
    with pytest.raises(InputError, match=r"none\.csv does not exist: run the stage"):
        read_cuts(tmp_path / "none.csv")
    for text in ("", "name\na\n"):
        (tmp_path / "cuts.csv").write_text(text)
        with pytest.raises(InputError, match="is not a list of cuts"):
            read_cuts(tmp_path / "cuts.csv")


def test_an_image_that_is_not_cut_stays_whole(tmp_path: Path):
    lr = photograph(1, (8, 10))
    write_png(tmp_path / "a.png", lr)
    [(name, image)] = cut_given(tmp_path / "a.png", [Cut("train", "a", "a", 16, 20, 0, 0, 16, 20)], scale=2).items()
    assert name == "a"
    np.testing.assert_array_equal(image, lr)
