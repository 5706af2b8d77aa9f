"""Filter modulation: how much of the fine-tuning the discovered filters keep is a dial per degradation.

At the filters of dial d the weights are theta-bar + lambda_d (theta - theta-bar), elsewhere the target's: lambda 1 is
the target, 0 the network masked for d, above 1 goes past the target. Nothing is trained, no parameter is added.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, Weights
from faig.base.params import Count, Name, Ratio, settings
from faig.base.statistics import bootstrap_means, percentile_interval
from faig.data.crops import Batch
from faig.data.quality import psnr
from faig.experiments.masking import restore

Lambda = Annotated[float, Field(ge=0, le=1.5)]
Lambdas = Annotated[tuple[Lambda, ...], Field(min_length=2)]


@settings
class ModulationParams:
    """Settings of the modulate stage.

    ``target``: whose filters; ``ratio``: share of the filters in each dial; ``curve``: values of lambda of one dial
    alone; ``grid``: of two dials at once, on inputs of the degradation ``mixed``; ``strip``: those shown of the test
    image of number ``picture``.
    """

    target: Name
    ratio: Ratio
    curve: Lambdas
    grid: Lambdas
    strip: Lambdas
    mixed: Name
    picture: Annotated[int, Field(ge=0)]
    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]

    def __post_init__(self) -> None:
        for key, values in (("curve", self.curve), ("grid", self.grid)):
            if list(values) != sorted(set(values)) or not {0.0, 1.0} <= set(values):
                raise ValueError(f"{key} = {list(values)} must rise and hold 0 and 1")


def modulate(
    target: Weights, baseline: Weights, index: FilterIndex, dials: Sequence[tuple[np.ndarray, float]]
) -> dict[str, Tensor]:
    """The target's weights with each dial's filters (n,) moved to its lambda; a filter of two dials takes the product.

    All lambdas 1 give the target bit for bit, all 0 the network masked at all of the filters.
    """
    factors = torch.ones(index.num_filters)
    for filters, value in dials:
        factors[torch.from_numpy(np.asarray(filters, dtype=np.int64))] *= value
    modulated = dict(target)
    for value in factors.unique().tolist():
        chosen = np.flatnonzero((factors == value).numpy())
        for name, flags in index.spread(chosen, target).items() if value != 1 else ():
            moved = torch.lerp(baseline[name], target[name], value)  # exact at 0
            modulated[name] = torch.where(flags.to(moved.device), moved, modulated[name])
    return modulated


Point = tuple[dict[str, Any], list[tuple[np.ndarray, float]]]
"""What a row of results is marked with, and the dials: filters (n,) and lambda of each."""


def curve_points(found: Mapping[str, np.ndarray], params: ModulationParams) -> list[Point]:
    """Each dial alone over its curve, marked ``dial`` and ``value`` (lambda); ``found``: filters (n,) by dial."""
    return [
        ({"dial": dial, "value": value}, [(filters, value)])
        for dial, filters in found.items()
        for value in params.curve
    ]


def grid_points(found: Mapping[str, np.ndarray], params: ModulationParams) -> list[Point]:
    """The first two dials at once, marked ``first`` and ``second`` (lambdas); nothing where there is one dial only."""
    dials = list(found.values())[:2]
    pairs = itertools.product(params.grid, repeat=2) if len(dials) == 2 else ()
    return [({"first": one, "second": two}, list(zip(dials, (one, two), strict=True))) for one, two in pairs]


def measure(
    model: PathModel,
    inputs: Mapping[str, Sequence[Batch]],
    points: Sequence[Point],
    *,
    border: int,
    advance: Callable[[int], None],
) -> pd.DataFrame:
    """PSNR of the modulated networks on each image of each degradation.

    Args:
        border: pixels cut on each side before PSNR.
        advance: called with 1 after each network.

    Returns:
        The points' marks, and columns input, image, psnr in dB; empty for no point.
    """
    rows = []
    for marks, dials in points:
        weights = modulate(model.target, model.baseline, model.index, dials)
        for name, batches in inputs.items():
            for batch, sr in zip(batches, restore(model, weights, batches), strict=True):
                values = pd.DataFrame({"image": batch.names, "psnr": psnr(sr, batch.hr, border)})
                rows.append(values.assign(**marks, input=name))
        advance(1)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def summarize(
    table: pd.DataFrame, params: ModulationParams, generator_of: Callable[[], np.random.Generator]
) -> dict[str, dict[str, Any]]:
    """What each dial does to the inputs of its own degradation.

    Args:
        table: as :func:`measure` returns it of :func:`curve_points`.
        generator_of: gives a fresh generator, so that every interval rests on the same resamples.

    Returns:
        By dial: ``psnr_masked`` and ``psnr_target`` (lambda 0 and 1), ``best_lambda`` and ``psnr_best`` of the mean
        curve, in dB; ``monotonicity``: of the steps of lambda between 0 and 1, the share at which an image's PSNR
        rises, mean over images, with a bootstrap interval; ``other_db.<input>``: on the inputs of another degradation,
        how far mean PSNR goes from the target's while the dial is between 0 and 1.
    """
    results: dict[str, dict[str, Any]] = {}
    within = [value for value in params.curve if value <= 1]
    for dial in dict.fromkeys(table["dial"]):
        rows = pd.DataFrame(table[table["dial"] == dial])
        means = {name: _by_lambda(rows, name).mean(axis=0) for name in dict.fromkeys(rows["input"])}
        own = means[dial]
        rising = (np.diff(_by_lambda(rows, dial)[:, : len(within)], axis=1) > 0).mean(axis=1)
        samples = bootstrap_means(rising, num_resamples=params.num_resamples, generator=generator_of())[:, 0]
        low, high = percentile_interval(samples, level=params.level)
        at_target = params.curve.index(1.0)
        results[dial] = {
            "psnr_masked": float(own[0]),
            "psnr_target": float(own[at_target]),
            "psnr_best": float(own.max()),
            "best_lambda": params.curve[own.argmax()],
            "monotonicity": float(rising.mean()),
            "monotonicity_low": low,
            "monotonicity_high": high,
            "other_db": {
                name: float(np.abs(curve[: len(within)] - curve[at_target]).max())
                for name, curve in means.items()
                if name != dial
            },
        }
    return results


def _by_lambda(rows: pd.DataFrame, name: str) -> np.ndarray:
    """PSNR on inputs of one degradation, (num_images, num_lambdas), lambdas rising."""
    chosen = pd.DataFrame(rows[rows["input"] == name])
    return chosen.pivot_table(index="image", columns="value", values="psnr").to_numpy()


def best_pair(table: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Of a grid's mean over images: the best lambdas of the two dials ``names``; PSNR there and elsewhere, in dB."""
    means = table.pivot_table(index="first", columns="second", values="psnr")
    values, firsts, seconds = means.to_numpy(), list(means.index), list(means.columns)
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    return {
        f"best_{names[0]}": float(firsts[row]),
        f"best_{names[1]}": float(seconds[column]),
        "psnr_best": float(values[row, column]),
        "psnr_target": float(values[firsts.index(1), seconds.index(1)]),
        "psnr_masked": float(values[firsts.index(0), seconds.index(0)]),
    }
