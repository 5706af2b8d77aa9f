"""Masking: put the baseline's weights back at chosen filters of the target, and measure what the network then restores.

Over the share of the filters that gives two curves. Deletion masks the chosen filters; insertion masks all but those,
so that the target's kernels stay at the chosen ones alone. Biases stay the target's in both.
:mod:`faig.report.effects` says what was removed by it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.path import PathModel
from faig.base.errors import InputError
from faig.base.params import Ratio, Unique, settings
from faig.data.crops import Batch
from faig.data.quality import gradient_distance
from faig.experiments.evaluation import PSNR, Restore, evaluate, measures_of
from faig.experiments.score_table import BASELINE, DELETION, INSERTION, TARGET, Key

MeasureName = Literal["psnr", "ssim", "psnr_y", "ssim_y", "gradient_distance", "lpips", "dists"]


@settings
class MaskParams:
    """Settings of the mask stage: ``picture`` is the number, by name, of the test image that is shown.

    ``measures``: what is measured of each image.
    """

    picture: Annotated[int, Field(ge=0)]
    measures: Annotated[tuple[MeasureName, ...], Unique]

    def __post_init__(self) -> None:
        if "psnr" not in self.measures:
            raise ValueError("measures must name psnr, which all shares of a gain are made of")


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
    measures: Sequence[MeasureName] = ("psnr",),
) -> pd.DataFrame:
    """Quality of baseline, target and each masked network on each image of each degradation.

    Args:
        inputs: test images by degradation.
        chosen: filters (n,) to mask, by ranking; equal sets are computed once.
        advance: called with 1 after each network and degradation.
        measures: of :data:`~faig.experiments.evaluation.QUALITY`, perceptual ones, or ``gradient_distance``, which is
            to the target's output.

    Returns:
        Columns method, degradation (whose filters), replicate, ratio (the share of the filters; 0 of the two unmasked
        networks), input, image, and the measures; PSNR in dB.

    Raises:
        InputError: as :func:`~faig.experiments.evaluation.measures_of`.
    """
    measured = measures_of(measures)
    if "gradient_distance" in measures:
        reference = {id(batch): sr for batch, sr in _outputs(model, inputs)}
        measured["gradient_distance"] = lambda sr, batch: gradient_distance(sr, reference[id(batch)])
    networks = [([vars(key)], restore) for key, restore in ((BASELINE, model.baseline), (TARGET, model.target))]
    networks = [(labels, partial(model.restore, weights)) for labels, weights in networks]
    return evaluate(chain(networks, masked_networks(model, chosen)), inputs, measured, advance)


def measure_curves(
    model: PathModel,
    inputs: Mapping[str, Sequence[Batch]],
    attributed: Sequence[str],
    chosen: Mapping[Key, np.ndarray],
    advance: Callable[[int], None] = lambda _: None,
) -> pd.DataFrame:
    """PSNR of :func:`measure`, and of the networks that keep the target's kernels at the chosen filters alone.

    Args:
        attributed: degradations of ``inputs`` on which insertion is measured: what filters bring back of other gains
            is not asked, and a sweep is long.

    Returns:
        The columns of :func:`measure`, and curve: deletion (also of the two unmasked networks) or insertion.

    Raises:
        InputError: there are no inputs of an attributed degradation.
    """
    if missing := [name for name in attributed if name not in inputs]:
        raise InputError(f"insertion cannot be measured on {missing[0]}: the inputs are {', '.join(inputs)}")
    deletion = measure(model, inputs, chosen, advance)
    own = {name: inputs[name] for name in attributed}
    insertion = evaluate(masked_networks(model, chosen, insert=True), own, PSNR, advance)
    return pd.concat([deletion.assign(curve=DELETION), insertion.assign(curve=INSERTION)], ignore_index=True)


def masked_networks(
    model: PathModel, chosen: Mapping[Key, np.ndarray], *, insert: bool = False
) -> Iterator[tuple[list[dict[str, object]], Restore]]:
    """Each different set of filters (n,) once: the rankings that chose it, and the network masked at it.

    ``insert``: masked at all other filters instead.
    """
    for filters, keys in distinct(chosen):
        masked = np.setdiff1d(np.arange(model.index.num_filters), filters) if insert else filters
        yield [vars(key) for key in keys], partial(model.restore, model.masked(masked))


def distinct(chosen: Mapping[Key, np.ndarray]) -> list[tuple[np.ndarray, list[Key]]]:
    """The different sets of filters among ``chosen``, each with all of its rankings."""
    sets: dict[bytes, tuple[np.ndarray, list[Key]]] = {}
    for key, filters in chosen.items():
        sets.setdefault(np.sort(filters).astype(np.int64).tobytes(), (filters, []))[1].append(key)
    return list(sets.values())


def num_networks(chosen: Mapping[Key, np.ndarray]) -> int:
    """How many networks :func:`measure` runs."""
    return 2 + len(distinct(chosen))


def num_passes(inputs: Collection[str], attributed: Collection[str], chosen: Mapping[Key, np.ndarray]) -> int:
    """How often :func:`measure_curves` calls ``advance``."""
    return num_networks(chosen) * len(inputs) + len(distinct(chosen)) * len(attributed)


def _outputs(model: PathModel, inputs: Mapping[str, Sequence[Batch]]) -> Iterator[tuple[Batch, Tensor]]:
    with torch.no_grad():
        for batches in inputs.values():
            for batch in batches:
                yield batch, model.restore(model.target, batch.lr).cpu()
