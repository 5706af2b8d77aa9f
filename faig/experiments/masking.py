"""Masking: put the baseline's weights back at chosen filters of the target, and measure what the network then restores.

:mod:`faig.report.effects` says what was removed by it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.path import PathModel
from faig.base.params import Ratio, Unique, settings
from faig.data.crops import Batch
from faig.data.quality import gradient_distance
from faig.experiments.evaluation import PSNR, QUALITY, Restore, evaluate
from faig.experiments.score_table import BASELINE, TARGET, Key


@settings
class MaskParams:
    """Settings of the mask stage: ``picture`` is the number, by name, of the test image that is shown."""

    picture: Annotated[int, Field(ge=0)]


@settings
class SweepParams:
    """Settings of the sweep stage: which methods, over which shares of the filters."""

    methods: Annotated[tuple[str, ...], Field(min_length=1), Unique]
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1), Unique]


def measure(
    model: PathModel,
    inputs: Mapping[str, Sequence[Batch]],
    chosen: Mapping[Key, np.ndarray],
    advance: Callable[[int], None] = lambda _: None,
    *,
    full: bool = True,
) -> pd.DataFrame:
    """Quality of baseline, target and each masked network on each image of each degradation.

    Args:
        inputs: test images by degradation.
        chosen: filters (n,) to mask, by ranking; equal sets are computed once.
        advance: called with 1 after each network and degradation.
        full: also SSIM and the gradient distance to the target's output; else PSNR alone.

    Returns:
        Columns method, degradation (whose filters), replicate, ratio (the share of the filters; 0 of the two unmasked
        networks), input, image, psnr in dB, and if ``full`` ssim and gradient_distance.
    """
    measures = PSNR
    if full:
        reference = {id(batch): sr for batch, sr in _outputs(model, inputs)}
        measures = {**QUALITY, "gradient_distance": lambda sr, batch: gradient_distance(sr, reference[id(batch)])}
    networks = [([vars(key)], restore) for key, restore in ((BASELINE, model.baseline), (TARGET, model.target))]
    networks = [(labels, partial(model.restore, weights)) for labels, weights in networks]
    networks += list(masked_networks(model, chosen))
    return evaluate(networks, inputs, measures, advance)


def masked_networks(
    model: PathModel, chosen: Mapping[Key, np.ndarray]
) -> Iterator[tuple[list[dict[str, object]], Restore]]:
    """Each different set of filters (n,) once: the rankings that chose it, and the network masked at it."""
    for filters, keys in distinct(chosen):
        yield [vars(key) for key in keys], partial(model.restore, model.masked(filters))


def distinct(chosen: Mapping[Key, np.ndarray]) -> list[tuple[np.ndarray, list[Key]]]:
    """The different sets of filters among ``chosen``, each with all of its rankings."""
    sets: dict[bytes, tuple[np.ndarray, list[Key]]] = {}
    for key, filters in chosen.items():
        sets.setdefault(np.sort(filters).astype(np.int64).tobytes(), (filters, []))[1].append(key)
    return list(sets.values())


def num_networks(chosen: Mapping[Key, np.ndarray]) -> int:
    """How many networks :func:`measure` runs."""
    return 2 + len(distinct(chosen))


def _outputs(model: PathModel, inputs: Mapping[str, Sequence[Batch]]) -> Iterator[tuple[Batch, Tensor]]:
    with torch.no_grad():
        for batches in inputs.values():
            for batch in batches:
                yield batch, model.restore(model.target, batch.lr).cpu()
