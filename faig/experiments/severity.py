"""Does the response of the discovered filters grow with the severity of a degradation?

Test images are degraded anew with one operation at rising levels, seen in training or not. The response to an image of
the filters of d is log RMS of what masking them changes in the target's output (see
:mod:`faig.experiments.prediction`). Taken relative to the output's detail, it does not fall merely because a blurred
image has less to change.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from faig.base.params import Count, Name, Ratio, settings
from faig.base.statistics import bootstrap_means, percentile_interval
from faig.data.degradation import degrade, image_generator, parse_operations


@settings
class LevelsParams:
    """A degradation's levels: values of ``key`` of its operation ``operation``."""

    operation: str
    key: str
    values: Annotated[tuple[float, ...], Field(min_length=6)]

    def __post_init__(self) -> None:
        if list(self.values) != sorted(set(self.values)):
            raise ValueError(f"values = {list(self.values)} must rise")


@settings
class SeverityParams:
    """Settings of the severity stage: ``ratio`` of the filters masked, ``levels`` of what is varied."""

    target: Name
    ratio: Ratio
    levels: Annotated[dict[Name, LevelsParams], Field(min_length=1)]
    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]


def at_level(key: str, operations: Sequence[Any], levels: LevelsParams, value: float) -> list[Any]:
    """The operations of params.yaml's degradation ``key`` with one of their values replaced.

    Raises:
        ValueError: the degradation has no such operation or key, or the value is out of its range.
    """
    changed, found = [], False
    for operation in operations:
        if isinstance(operation, dict) and levels.key in operation.get(levels.operation, {}):
            operation = {levels.operation: {**operation[levels.operation], levels.key: value}}
            found = True
        changed.append(operation)
    if not found:
        raise ValueError(f"{key} has no operation {levels.operation} with {levels.key}: see severity.levels")
    parse_operations(key, changed)
    return changed


def trained_level(operations: Sequence[Any], levels: LevelsParams) -> float:
    """The value that the operations of params.yaml themselves have."""
    [value] = [
        operation[levels.operation][levels.key]
        for operation in operations
        if isinstance(operation, dict) and levels.key in operation.get(levels.operation, {})
    ]
    return value


def degraded(
    hr: np.ndarray, name: str, key: str, operations: Sequence[Any], *, scale: int, downsampling: str, seed: int
) -> np.ndarray:
    """LR (H, W, 3) of an 8-bit HR image; its noise is the same at all levels but for the level."""
    generator = image_generator(seed, key, name)
    return degrade(hr, parse_operations(key, operations), scale=scale, downsampling=downsampling, generator=generator)


def summarize(
    table: pd.DataFrame, trained: Mapping[str, float], params: SeverityParams, generator: np.random.Generator
) -> dict[str, Any]:
    """Rank correlation (Spearman) of level and response in each image, mean over images.

    Args:
        table: columns degradation, value, image, filters, response, detail (log RMS of the output's detail); a row per
            level, image and whose filters.
        trained: by degradation the level that the target was trained on.

    Returns:
        By degradation, of its own filters with bootstrap intervals over images: ``rank_correlation``; the same over
        the levels ``up_to_trained``, where there are three of them, and of the response ``relative`` to the detail.
        Further ``num_levels``, and ``other.<e>``: the rank correlation of another degradation's filters. An image
        whose response is the same at all levels counts as 0.
    """
    table = table.assign(relative=table["response"] - table["detail"])
    results: dict[str, Any] = {}
    for degradation, rows in table.groupby("degradation", sort=False):
        name = str(degradation)
        own = pd.DataFrame(rows[rows["filters"] == name])
        below = pd.DataFrame(own[own["value"] <= trained[name]])
        kinds = {"rank_correlation": correlations(own, "response"), "relative": correlations(own, "relative")}
        if len(set(below["value"])) >= 3:
            kinds["up_to_trained"] = correlations(below, "response")
        results[name] = {"num_levels": len(set(own["value"]))}
        for kind, values in kinds.items():
            samples = bootstrap_means(values, num_resamples=params.num_resamples, generator=generator)[:, 0]
            low, high = percentile_interval(samples, level=params.level)
            results[name] |= {kind: float(values.mean()), f"{kind}_low": low, f"{kind}_high": high}
        others = {str(of): part for of, part in rows.groupby("filters", sort=False) if of != name}
        results[name]["other"] = {of: float(correlations(part, "response").mean()) for of, part in others.items()}
    return results


def correlations(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Rank correlation of level and ``column`` in each image, (num_images,)."""
    curves = rows.pivot_table(index="image", columns="value", values=column)
    return np.array([rank_correlation(curve) for curve in curves.to_numpy()])


def rank_correlation(curve: np.ndarray) -> float:
    """Spearman's rho between a curve (L,) and its positions; 0 for a constant curve."""
    ranks = pd.Series(curve).rank().to_numpy()
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])
