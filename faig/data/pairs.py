"""Pairs of HR and LR images: listed with their hashes, and read into memory once."""

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from faig.base.errors import InputError
from faig.base.files import replacing
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
        """The upscaling factor s: HR pixels per LR pixel along each side."""
        return self.hr.shape[0] // self.lr.shape[0]

    def digest(self) -> str:
        """SHA-256 of the pixels of both images, hexadecimal."""
        return sha256(self.hr.tobytes() + self.lr.tobytes())


def list_pairs(hr: Path, lr: Path, degradations: Iterable[str]) -> list[PairEntry]:
    """List the pairs of both splits under ``hr`` and ``lr``/<degradation>, hashed, sorted by degradation, split, name.

    Raises:
        InputError: an LR folder does not hold the names that the HR folder holds.
    """
    entries = []
    for split in ("test", "train"):
        photographs = {path.stem: sha256(path.read_bytes()) for path in list_images(hr / split)}
        for degradation in degradations:
            inputs = {path.stem: path for path in list_images(lr / degradation / split)}
            if inputs.keys() != photographs.keys():
                odd = sorted(inputs.keys() ^ photographs.keys())[0]
                raise InputError(
                    f"{odd} is in only one of {hr / split} and {lr / degradation / split}: run `dvc repro` again"
                )
            for name, path in inputs.items():
                entries.append(PairEntry(split, degradation, name, photographs[name], sha256(path.read_bytes())))
    return sorted(entries, key=astuple)


def write_entries(path: Path, entries: Sequence[PairEntry]) -> None:
    """Write a list of pairs as CSV, atomically; :func:`read_entries` reads it back."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(entry) for entry in entries)


def read_entries(path: Path) -> list[PairEntry]:
    """Read what :func:`write_entries` wrote.

    Raises:
        InputError: the file is missing or has other columns.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    if not rows or rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise InputError(f"{path} is not a list of pairs: expected the columns {', '.join(COLUMNS)}")
    return [PairEntry(*row) for row in rows[1:]]


def read_pairs(entries: Iterable[PairEntry], hr: Path, lr: Path) -> list[Pair]:
    """Decode the listed images, each file once, in threads.

    Degradations share the array of an HR image.

    Raises:
        InputError: a file is missing or is not the listed one, or the images need more memory than is free.
    """
    listed = list(entries)
    paths = [(_hr_path(hr, entry), _lr_path(lr, entry)) for entry in listed]
    digests: dict[Path, str] = {}
    for entry, (photograph, inputs) in zip(listed, paths, strict=True):
        digests |= {photograph: entry.hr_sha256, inputs: entry.lr_sha256}
    _require_memory(digests)
    with ThreadPoolExecutor() as pool:
        images = dict(zip(digests, pool.map(_read_listed, digests, digests.values()), strict=True))
    return [
        Pair(entry.name, entry.degradation, images[photograph], images[inputs])
        for entry, (photograph, inputs) in zip(listed, paths, strict=True)
    ]


def split_pairs(entries: Iterable[PairEntry], hr: Path, lr: Path) -> tuple[list[Pair], list[Pair]]:
    """Decode the listed images of both splits: (train, test); errors as :func:`read_pairs`."""
    listed = list(entries)
    train, test = ([entry for entry in listed if entry.split == split] for split in ("train", "test"))
    return read_pairs(train, hr, lr), read_pairs(test, hr, lr)


def sha256(content: bytes) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def num_bytes(path: Path) -> int:
    """Bytes that an image takes once it is decoded to 8-bit RGB, told by the header of its file.

    Raises:
        InputError: the file is missing or no image.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    try:
        with Image.open(path) as image:
            return 3 * image.width * image.height
    except PermissionError:
        raise
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not the file that was listed: run `dvc repro` again") from error


def _require_memory(paths: Iterable[Path]) -> None:
    """Refuse images that do not fit into memory before the first is decoded: decoded, DIV2K takes many gigabytes."""
    sizes = [num_bytes(path) for path in paths]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # under torchrun, each process reads all images
    needed, free = processes * sum(sizes), psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{len(sizes)} decoded images in {processes} process(es) need {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free: lower dataset.limit in params.yaml"
        )


def _hr_path(hr: Path, entry: PairEntry) -> Path:
    return hr / entry.split / f"{entry.name}.png"


def _lr_path(lr: Path, entry: PairEntry) -> Path:
    return lr / entry.degradation / entry.split / f"{entry.name}.png"


def _read_listed(path: Path, digest: str) -> np.ndarray:
    content = path.read_bytes()
    if sha256(content) != digest:
        raise InputError(f"{path} is not the file that was listed: run `dvc repro` again")
    return decode_image(content, str(path))
