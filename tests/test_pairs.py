"""Laws of the lists of pairs: a list is read as it was written, and a file that is not the listed one is refused."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from faig.base.errors import InputError
from faig.data.images import write_png
from faig.data.pairs import PairEntry, list_pairs, read_entries, read_pairs, sha256, split_pairs, write_entries

DEGRADATIONS = ["clean", "blur"]
NAMES = {"train": ["brick", "coins"], "test": ["astronaut"]}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """HR 8 x 12 and LR 4 x 6 images of two degradations."""
    generator = np.random.default_rng(0)
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for split, names in NAMES.items():
        for name in names:
            write_png(hr / split / f"{name}.png", generator.integers(256, size=(8, 12, 3), dtype=np.uint8))
            for degradation in DEGRADATIONS:
                image = generator.integers(256, size=(4, 6, 3), dtype=np.uint8)
                write_png(lr / degradation / split / f"{name}.png", image)
    return hr, lr


def test_every_image_is_listed_once_per_degradation(folders: tuple[Path, Path]):
    listed = [(entry.split, entry.degradation, entry.name) for entry in list_pairs(*folders, DEGRADATIONS)]
    expected = {(split, name, image) for split, images in NAMES.items() for name in DEGRADATIONS for image in images}
    assert len(listed) == len(set(listed))
    assert set(listed) == expected


def test_a_list_holds_the_hashes_of_the_files(folders: tuple[Path, Path]):
    hr, lr = folders
    for entry in list_pairs(hr, lr, DEGRADATIONS):
        assert entry.hr_sha256 == sha256((hr / entry.split / f"{entry.name}.png").read_bytes())
        assert entry.lr_sha256 == sha256((lr / entry.degradation / entry.split / f"{entry.name}.png").read_bytes())


def test_the_order_of_the_degradations_does_not_matter(folders: tuple[Path, Path]):
    assert list_pairs(*folders, DEGRADATIONS) == list_pairs(*folders, DEGRADATIONS[::-1])


def test_a_degradation_that_is_not_asked_for_changes_nothing(folders: tuple[Path, Path]):
    """So adding a degradation re-trains no target that does not use it."""
    before = list_pairs(*folders, ["clean"])
    write_png(folders[1] / "jpeg" / "train" / "brick.png", np.zeros((4, 6, 3), dtype=np.uint8))
    assert list_pairs(*folders, ["clean"]) == before


def test_a_list_is_read_as_it_was_written(folders: tuple[Path, Path], tmp_path: Path):
    entries = list_pairs(*folders, DEGRADATIONS)
    path = tmp_path / "lists" / "blind.csv"
    write_entries(path, entries)
    first = path.read_bytes()
    assert read_entries(path) == entries
    write_entries(path, read_entries(path))
    assert path.read_bytes() == first


def test_pairs_hold_the_pixels_of_the_files(folders: tuple[Path, Path]):
    entries = list_pairs(*folders, DEGRADATIONS)
    pairs = read_pairs(entries, *folders)
    assert [(pair.name, pair.degradation) for pair in pairs] == [(entry.name, entry.degradation) for entry in entries]
    for pair in pairs:
        assert pair.hr.shape == (8, 12, 3)
        assert pair.lr.shape == (4, 6, 3)
        assert pair.scale == 2
    assert len({pair.digest() for pair in pairs}) == len(pairs)
    by_name = {pair.name: pair.hr for pair in pairs}
    assert len({id(pair.hr) for pair in pairs}) == len(by_name)  # decoded once, shared by all degradations


def test_pairs_are_split_as_they_were_listed(folders: tuple[Path, Path]):
    train, test = split_pairs(list_pairs(*folders, DEGRADATIONS), *folders)
    assert {pair.name for pair in train} == set(NAMES["train"])
    assert {pair.name for pair in test} == set(NAMES["test"])


@pytest.mark.parametrize("kind", ["hr", "lr"])
def test_a_changed_file_is_named(folders: tuple[Path, Path], kind: str):
    hr, lr = folders
    entries = list_pairs(hr, lr, DEGRADATIONS)
    path = {"hr": hr / "train" / "coins.png", "lr": lr / "blur" / "train" / "coins.png"}[kind]
    write_png(path, np.zeros({"hr": (8, 12, 3), "lr": (4, 6, 3)}[kind], dtype=np.uint8))
    with pytest.raises(InputError, match=re.escape(f"{path} is not the file that was listed")):
        read_pairs(entries, hr, lr)


def test_a_file_that_has_gone_is_named(folders: tuple[Path, Path]):
    hr, lr = folders
    entries = list_pairs(hr, lr, DEGRADATIONS)
    path = lr / "blur" / "test" / "astronaut.png"
    path.unlink()
    with pytest.raises(InputError, match=re.escape(f"{path} does not exist")):
        read_pairs(entries, hr, lr)


def test_an_image_without_its_other_half_is_named(folders: tuple[Path, Path]):
    hr, lr = folders
    (lr / "blur" / "train" / "coins.png").unlink()
    with pytest.raises(InputError, match="coins is in only one of"):
        list_pairs(hr, lr, DEGRADATIONS)
    write_png(lr / "clean" / "train" / "extra.png", np.zeros((4, 6, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="extra is in only one of"):
        list_pairs(hr, lr, ["clean"])


def test_a_missing_folder_is_named(folders: tuple[Path, Path]):
    with pytest.raises(InputError, match=re.escape(str(folders[1] / "jpeg"))):
        list_pairs(*folders, ["jpeg"])


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "split,degradation,name,hr_sha256,lr_sha256\ntrain,blur\n"])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "blind.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is not a list of pairs"):
        read_entries(path)


def test_a_missing_list_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'blind.csv'} does not exist")):
        read_entries(tmp_path / "blind.csv")


def test_names_with_commas_survive(tmp_path: Path):
    entries = [PairEntry("train", "blur", 'a,"b"', "0", "1")]
    write_entries(tmp_path / "list.csv", entries)
    assert read_entries(tmp_path / "list.csv") == entries


def test_images_that_would_not_fit_into_memory_are_refused_before_they_are_read(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    entries = list_pairs(*folders, DEGRADATIONS)
    needed = 3 * (3 * 8 * 12 + 6 * 4 * 6)

    def set_free(num_bytes: int) -> None:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=num_bytes))

    set_free(needed)
    assert len(read_pairs(entries, *folders)) == len(entries)
    set_free(needed - 1)
    with pytest.raises(InputError, match=r"9 decoded images .* need 0\.0 GiB of memory.*dataset\.limit"):
        read_pairs(entries, *folders)
    set_free(2 * needed - 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # both processes read all images
    with pytest.raises(InputError, match="9 decoded images in 2 process"):
        read_pairs(entries, *folders)
