"""Filter modulation: how much of the fine-tuning the discovered filters keep is a dial per degradation.

At the filters of dial d the weights are theta-bar + lambda_d (theta - theta-bar), elsewhere the target's: lambda 1 is
the target, 0 the network masked for d, above 1 goes past the target. Nothing is trained, no parameter is added.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.crops import Batch
from faig.filters import FilterIndex
from faig.masking import restore
from faig.params import Count, Name, Ratio, settings
from faig.path import PathModel, Weights
from faig.quality import psnr
from faig.statistics import bootstrap_means, percentile_interval

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


def curves(
    model: PathModel,
    inputs: Mapping[str, Sequence[Batch]],
    found: Mapping[str, np.ndarray],
    params: ModulationParams,
    *,
    border: int,
    advance: Callable[[int], None],
) -> pd.DataFrame:
    """PSNR over lambda of each dial alone, on each image of each degradation.

    Args:
        found: filters (n,) of each dial, by degradation.
        border: pixels cut on each side before PSNR.
        advance: called with 1 after each network.

    Returns:
        Columns dial, value (lambda), input, image, psnr in dB.
    """
    rows = []
    for dial, filters in found.items():
        for value in params.curve:
            weights = modulate(model.target, model.baseline, model.index, [(filters, value)])
            rows.append(_measure(model, weights, inputs, border).assign(dial=dial, value=value))
            advance(1)
    return pd.concat(rows, ignore_index=True).reindex(columns=["dial", "value", "input", "image", "psnr"])


def grid(
    model: PathModel,
    inputs: Mapping[str, Sequence[Batch]],
    found: Mapping[str, np.ndarray],
    params: ModulationParams,
    *,
    border: int,
    advance: Callable[[int], None],
) -> pd.DataFrame:
    """PSNR over the first two dials at once, on each image; arguments as :func:`curves`.

    Returns:
        Columns first, second (their lambdas), input, image, psnr in dB. No row where there is one dial only.
    """
    rows = []
    dials = list(found.values())[:2]
    for first in params.grid if len(dials) > 1 else ():
        for second in params.grid:
            both = list(zip(dials, (first, second), strict=True))
            weights = modulate(model.target, model.baseline, model.index, both)
            rows.append(_measure(model, weights, inputs, border).assign(first=first, second=second))
            advance(1)
    columns = ["first", "second", "input", "image", "psnr"]
    return pd.concat(rows, ignore_index=True).reindex(columns=columns) if rows else pd.DataFrame(columns=columns)


def _measure(model: PathModel, weights: Weights, inputs: Mapping[str, Sequence[Batch]], border: int) -> pd.DataFrame:
    tables = []
    for name, batches in inputs.items():
        for batch, sr in zip(batches, restore(model, weights, batches), strict=True):
            tables.append(pd.DataFrame({"image": batch.names, "psnr": psnr(sr, batch.hr, border)}).assign(input=name))
    return pd.concat(tables, ignore_index=True)


def summarize(
    table: pd.DataFrame, params: ModulationParams, generator_of: Callable[[], np.random.Generator]
) -> dict[str, dict[str, Any]]:
    """What each dial does to the inputs of its own degradation.

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
