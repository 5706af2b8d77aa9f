"""The images of the page: the masking picture, and the crops that predictors name, as data URIs."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faig.data.images import decode_image, encode_png, read_image
from faig.figures.plots import label_of
from faig.page.run import Missing, Run
from faig.page.values import Number

PICTURE_BYTES = 1_000_000
"""Of all PNG files of the masking picture together; larger images are cut to their middle until they fit."""
CROP_BYTES = 700_000
"""Of all PNG files of the predictor's crops together, where the page has room for so many."""
CROP_SIDE = 96
"""LR pixels of a crop's side that are shown; of larger ones, the middle."""


def data_uri(png: bytes) -> str:
    """A PNG file as an address."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image (H, W, 3), at most ``side`` pixels high and wide."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def shown_pictures(table: pd.DataFrame, run: Run, href: str) -> dict[str, Any]:
    """The masking picture, a row per degraded input.

    Args:
        table: columns row, column, psnr in dB and png, as :mod:`faig.experiments.showing` writes it.
        run: the settings.
        href: link to the table's file.

    Returns:
        ``rows``: each with its ``label`` and ``images``, each of which has id, uri, title, alt, psnr (a
        :class:`Number`, or None of an input); ``cut``: HR pixels of the middle that is shown, None where it is all.

    Raises:
        Missing: the table is empty.
    """
    if table.empty:
        raise Missing("This run shows no image: its table of pictures is empty. `dvc repro mask` makes it.")
    contents, cut = _fitting(table, run.scale)
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, (content, (row, column, psnr)) in enumerate(
        zip(contents, table[["row", "column", "psnr"]].itertuples(index=False), strict=True)
    ):
        value = None if np.isnan(psnr) else Number(float(psnr), "dB", f"psnr of {row}, {column}", href)
        title = title_of(str(column))
        rows.setdefault(str(row), []).append(
            {
                "id": f"picture-{number}",
                "key": str(column),
                "uri": data_uri(content),
                "title": title,
                "alt": f"Photograph with {label_of(str(row))}: {title}" + (f", {value.text}" if value else ""),
                "psnr": value,
            }
        )
    named = [{"key": name, "label": label_of(name), "images": images} for name, images in rows.items()]
    return {"rows": named, "cut": cut}


def title_of(column: str) -> str:
    """What a column of the masking picture is called."""
    if "/" not in column:
        return column
    method, name = column.split("/", 1)
    return "as many at random" if method == "random" else f"{label_of(name)} filters masked"


def _fitting(table: pd.DataFrame, scale: int) -> tuple[list[bytes], int | None]:
    """PNG files that fit the page, and the HR pixels of the middle that they show; None for all."""
    contents = [bytes(content) for content in table["png"]]
    cut = None
    if sum(map(len, contents)) > PICTURE_BYTES:
        images = [decode_image(content, "a shown image") for content in contents]
        is_input = [column == "input" for column in table["column"]]
        cut = 512
        while cut > 64:
            sides = [cut // scale if lr else cut for lr in is_input]
            contents = [encode_png(middle(image, side), "") for image, side in zip(images, sides, strict=True)]
            if sum(map(len, contents)) <= PICTURE_BYTES:
                break
            cut //= 2
    return contents, cut


def shown_crops(named: Mapping[str, pd.DataFrame], lr: Path, room: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The test crops that predictors name: all that one of them gets wrong, then others, as far as there is room.

    Args:
        named: by predictor, a row per test crop: class, image, and the class that it names (``named``).
        lr: folder of LR images, <lr>/<class>/test/<image>.png.
        room: bytes that their PNG files may have together.

    Returns:
        Crops with actual class, image, uri and ``named`` by predictor; and how many ``shown``, of how many ``all``.

    Raises:
        InputError: an image cannot be read.
    """
    votes: dict[tuple[str, str], dict[str, str]] = {}
    for predictor, table in named.items():
        for actual, image, chosen in table[["class", "image", "named"]].itertuples(index=False):
            votes.setdefault((str(actual), str(image)), {})[predictor] = str(chosen)
    wrong = {key: None for key, by_predictor in votes.items() if set(by_predictor.values()) - {key[0]}}
    right = [key for key in votes if key not in wrong]
    crops: dict[tuple[str, str], dict[str, Any]] = {}
    total = 0
    for actual, image in [*wrong, *right]:
        path = lr / actual / "test" / f"{image}.png"
        if not path.is_file():
            continue
        content = path.read_bytes()
        pixels = read_image(path)
        if max(pixels.shape[:2]) > CROP_SIDE:
            content = encode_png(middle(pixels, CROP_SIDE), str(path))
        total += len(content)
        if total > min(room, CROP_BYTES):
            break
        crops[actual, image] = {
            "actual": actual,
            "image": image,
            "uri": data_uri(content),
            "named": votes[actual, image],
        }
    ordered = [crops[key] for key in votes if key in crops]
    return ordered, {"shown": len(ordered), "all": len(votes), "wrong": len(wrong)}
