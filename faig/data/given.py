"""LR images of the user's own beside the HR photographs, in place of synthesized ones.

They are given for whole photographs, by their names, and are cut as ``prepare`` cut the HR images.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from faig.base.errors import InputError
from faig.base.files import replacing
from faig.data.images import list_images, read_image
from faig.data.photographs import Cut, Images

CUTS = "cuts.csv"
"""The list of cuts, in the folder of the HR images."""
COLUMNS = tuple(field.name for field in fields(Cut))
MAX_NAMED = 5
"""Missing files that an error names."""


def write_cuts(path: Path, cuts: Iterable[Cut]) -> None:
    """Write where HR images were cut as CSV, atomically; :func:`read_cuts` reads it back."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(cut) for cut in cuts)


def read_cuts(path: Path) -> list[Cut]:
    """Read what :func:`write_cuts` wrote.

    Raises:
        InputError: the file is missing or has other columns.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError(f"{path} is not a list of cuts: expected the columns {', '.join(COLUMNS)}")
    return [Cut(row[0], row[1], row[2], *(int(number) for number in row[3:])) for row in rows[1:]]


def pair_given(folder: Path, cuts: Sequence[Cut]) -> list[tuple[Path, list[Cut]]]:
    """The LR file of each photograph, <folder>/<split>/<photograph>.<suffix>, with the cuts to be made of it.

    Raises:
        InputError: a folder or an image is missing, or HR images are dead leaves, which no camera saw.
    """
    if made := [cut.name for cut in cuts if not cut.photograph]:
        raise InputError(
            f"{folder} cannot hold LR images of dead leaves ({made[0]}, ...): "
            "set dataset.dead_leaves.num_images: 0 in params.yaml"
        )
    by_photograph: dict[tuple[str, str], list[Cut]] = {}
    for cut in cuts:
        by_photograph.setdefault((cut.split, cut.photograph), []).append(cut)
    files = {
        (split, path.stem): path
        for split in dict.fromkeys(cut.split for cut in cuts)
        for path in list_images(folder / split)
    }
    if missing := [f"{split}/{name}" for split, name in by_photograph if (split, name) not in files]:
        named = ", ".join(missing[:MAX_NAMED]) + (", ..." if len(missing) > MAX_NAMED else "")
        raise InputError(f"{folder} lacks the LR images of {len(missing)} photographs: {named}")
    return [(files[key], listed) for key, listed in by_photograph.items()]


def cut_given(path: Path, cuts: Sequence[Cut], *, scale: int) -> Images:
    """Cut one photograph's LR image as its HR image was cut: by name.

    Raises:
        InputError: the file cannot be read, or is not as large as the photograph divided by the scale.
    """
    lr, height, width = read_image(path), cuts[0].photograph_height, cuts[0].photograph_width
    if lr.shape[:2] != (height // scale, width // scale):
        raise InputError(
            f"{path} is {lr.shape[1]} x {lr.shape[0]} pixels: its photograph is {width} x {height} pixels when cropped "
            f"to a multiple of scale = {scale}, so the LR image must be {width // scale} x {height // scale}"
        )
    return {
        cut.name: lr[cut.y // scale : (cut.y + cut.height) // scale, cut.x // scale : (cut.x + cut.width) // scale]
        for cut in cuts
    }
