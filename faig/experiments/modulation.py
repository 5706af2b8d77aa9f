"""Filter modulation: how much of the fine-tuning the discovered filters keep is a dial per degradation.

At the filters of dial d the weights are theta-bar + lambda_d (theta - theta-bar), elsewhere the target's: lambda 1 is
the target, 0 the network masked for d, above 1 goes past the target. Nothing is trained, no parameter is added.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, Weights
from faig.base.params import Name, settings
from faig.data.crops import Batch
from faig.experiments.evaluation import PSNR, evaluate

MAX_LAMBDA = 1.5
"""How far a dial goes: half the fine-tuning beyond the target."""
Lambda = Annotated[float, Field(ge=0, le=MAX_LAMBDA)]
Lambdas = Annotated[tuple[Lambda, ...], Field(min_length=2)]


@settings
class ModulationParams:
    """Settings of the modulate stage.

    ``curve``: values of lambda of one dial alone; ``grid``: of two dials at once, on inputs of the degradation
    ``mixed``; ``strip``: those shown of the test image of number ``picture``.
    """

    curve: Lambdas
    grid: Lambdas
    strip: Lambdas
    mixed: Name
    picture: Annotated[int, Field(ge=0)]

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
    advance: Callable[[int], None] = lambda _: None,
) -> pd.DataFrame:
    """PSNR of the modulated networks on each image of each degradation.

    Returns:
        The points' marks, and columns input, image, psnr in dB; empty for no point. ``advance`` is called with 1 after
        each network and degradation.
    """
    networks = []
    for marks, dials in points:
        weights = modulate(model.target, model.baseline, model.index, dials)
        networks.append(([marks], partial(model.restore, weights)))
    return evaluate(networks, inputs, PSNR, advance)
