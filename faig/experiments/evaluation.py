"""One loop for all experiments: networks x inputs x measures -> a table with a row per network, input and image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from faig.data.crops import Batch
from faig.data.perceptual import PERCEPTUAL, perceptual
from faig.data.quality import border_of, psnr, psnr_y, ssim, ssim_y

Restore = Callable[[Tensor], Tensor]
"""LR (n, 3, H, W) -> SR (n, 3, sH, sW), not clipped."""
Measure = Callable[[Tensor, Batch], Tensor]
"""SR of a batch on the CPU, and the batch -> a number per image (n,)."""
Labels = Mapping[str, Any]
"""What marks a network's rows in the table: column -> value."""


def _framed(compare: Callable[[Tensor, Tensor, int], Tensor]) -> Measure:
    """A measure that compares SR with HR, their borders cut."""
    return lambda sr, batch: compare(sr, batch.hr, border_of(batch.scale))


QUALITY: Mapping[str, Measure] = {
    name: _framed(compare) for name, compare in {"psnr": psnr, "ssim": ssim, "psnr_y": psnr_y, "ssim_y": ssim_y}.items()
}
"""PSNR in dB and SSIM, over RGB and on luma (``_y``)."""
PSNR: Mapping[str, Measure] = {"psnr": QUALITY["psnr"]}
"""PSNR in dB over RGB."""


def measures_of(names: Iterable[str]) -> dict[str, Measure]:
    """Those of :data:`QUALITY` and of :data:`~faig.data.perceptual.PERCEPTUAL` that are named; others are left out.

    Raises:
        InputError: a library or weights that one needs cannot be had; says what to do.
    """
    loaded = {name: perceptual(name) for name in names if name in PERCEPTUAL}
    measures = dict(QUALITY)
    for name, distance in loaded.items():
        measures[name] = lambda sr, batch, distance=distance: distance(sr, batch.hr)
    return {name: measures[name] for name in names if name in measures}


def evaluate(
    networks: Iterable[tuple[Sequence[Labels], Restore]],
    inputs: Mapping[str, Sequence[Batch]],
    measures: Mapping[str, Measure],
    advance: Callable[[int], None] = lambda _: None,
) -> pd.DataFrame:
    """Measure what networks restore.

    Args:
        networks: each with the labels of all the rows that it stands for: one network can stand for several.
            A generator keeps the weights of one network at a time in memory.
        inputs: images by degradation.
        measures: by the name of their column.
        advance: called with 1 after each network and degradation.

    Returns:
        A column per label, then input (the degradation), image (its name), and a column per measure.
    """
    rows: list[dict[str, Any]] = []
    for labels, restore in networks:
        for name, batches in inputs.items():
            for batch in batches:
                with torch.no_grad():
                    sr = restore(batch.lr).cpu()
                columns = {column: measure(sr, batch).tolist() for column, measure in measures.items()}
                values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
                for own in labels:
                    rows += [
                        {**own, "input": name, "image": image, **value}
                        for image, value in zip(batch.names, values, strict=True)
                    ]
            advance(1)
    return pd.DataFrame(rows)
