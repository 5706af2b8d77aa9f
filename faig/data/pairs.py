"""Pairs of HR and LR images: listed with their hashes, and read into memory once."""

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from faig.base.files import replacing
from faig.base.memory import require_memory
from faig.data.images import decode_image, list_images


@dataclass(frozen=True)
class PairEntry:
    """One HR and LR image on disk: <hr>/<split>/<name>.png and <lr>/<degradation>/<split>/<name>.png."""

    split: str
    degradation: str
    name: str
    hr_sha256: str
    lr_sha256: str


COLUMNS = tuple(field.name for field in fields(PairEntry))


@dataclass(frozen=True)
class Pair:
    """One HR and LR image in memory: 8-bit RGB, (sH, sW, 3) and (H, W, 3)."""

    name: str
    degradation: str
    hr: np.ndarray
    lr: np.ndarray

    @property
    def scale(self) -> int:
        """s."""
        return self.hr.shape[0] // self.lr.shape[0]

    def digest(self) -> str:
        """SHA-256 of both images' pixels."""
        return sha256(self.hr.tobytes() + self.lr.tobytes())


def list_pairs(hr: Path, lr: Path, degradations: Iterable[str]) -> list[PairEntry]:
    """All pairs of both splits under ``hr`` and ``lr``/<degradation>, hashed, sorted by degradation, split, name.

    Raises:
        ValueError: an LR folder does not hold the names that the HR folder holds.
    """
    entries = []
    for split in ("test", "train"):
        photographs = {path.stem: sha256(path.read_bytes()) for path in list_images(hr / split)}
        for degradation in degradations:
            inputs = {path.stem: path for path in list_images(lr / degradation / split)}
            if inputs.keys() != photographs.keys():
                odd = sorted(inputs.keys() ^ photographs.keys())[0]
                raise ValueError(f"{odd} is in one only of {hr / split} and {lr / degradation / split}")
            for name, path in inputs.items():
                entries.append(PairEntry(split, degradation, name, photographs[name], sha256(path.read_bytes())))
    return sorted(entries, key=astuple)


def write_entries(path: Path, entries: Sequence[PairEntry]) -> None:
    """Write entries as CSV."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(entry) for entry in entries)


def read_entries(path: Path) -> list[PairEntry]:
    """Read what :func:`write_entries` wrote.

    Raises:
        ValueError: the file is missing or has other columns.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    if not rows or rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError(f"{path} is not a list of pairs: expected the columns {', '.join(COLUMNS)}")
    return [PairEntry(*row) for row in rows[1:]]


def read_pairs(entries: Iterable[PairEntry], hr: Path, lr: Path) -> list[Pair]:
    """Decode the listed images, each file once, in threads.

    Raises:
        ValueError: a file is missing or is not the listed one, or the images do not fit into memory.
    """
    listed = list(entries)
    places = [(_hr_path(hr, entry), _lr_path(lr, entry)) for entry in listed]
    digests: dict[Path, str] = {}
    for entry, (photograph, inputs) in zip(listed, places, strict=True):
        digests |= {photograph: entry.hr_sha256, inputs: entry.lr_sha256}
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # each of which reads them all
    needed = processes * sum(num_bytes(path) for path in digests)
    what = f"{len(digests)} decoded images" + (f" in {processes} processes" if processes > 1 else "")
    require_memory(needed, what, "lower dataset.limit in params.yaml")
    with ThreadPoolExecutor() as pool:
        images = dict(zip(digests, pool.map(_read_listed, digests, digests.values()), strict=True))
    return [
        Pair(entry.name, entry.degradation, images[photograph], images[inputs])
        for entry, (photograph, inputs) in zip(listed, places, strict=True)
    ]


def split_pairs(entries: Iterable[PairEntry], hr: Path, lr: Path) -> tuple[list[Pair], list[Pair]]:
    """Decode the listed images: (train, test)."""
    listed = list(entries)
    train, test = ([entry for entry in listed if entry.split == split] for split in ("train", "test"))
    return read_pairs(train, hr, lr), read_pairs(test, hr, lr)


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def num_bytes(path: Path) -> int:
    """Of an image once it is decoded to 8-bit RGB, by its header.

    Raises:
        ValueError: the file is missing or no image.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    try:
        with Image.open(path) as image:
            return 3 * image.width * image.height
    except PermissionError:
        raise
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not the file that was listed: run `dvc repro` again") from error


def _hr_path(hr: Path, entry: PairEntry) -> Path:
    return hr / entry.split / f"{entry.name}.png"


def _lr_path(lr: Path, entry: PairEntry) -> Path:
    return lr / entry.degradation / entry.split / f"{entry.name}.png"


def _read_listed(path: Path, digest: str) -> np.ndarray:
    content = path.read_bytes()
    if sha256(content) != digest:
        raise ValueError(f"{path} is not the file that was listed: run `dvc repro` again")
    return decode_image(content, str(path))
