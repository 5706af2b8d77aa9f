"""Do two networks keep a degradation's removal in the same filters, and how deep do those lie?

J(A, B) = |A and B| / |A or B| (Jaccard 1901), 1 for equal sets. What chance gives is drawn, not assumed: |A and B| of
two sets of fixed sizes drawn from F filters is hypergeometric; of sets of fixed sizes per layer, a sum of such.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from faig.attribution.filters import FilterIndex
from faig.base.params import Count, Name, Ratio, settings
from faig.base.statistics import bootstrap_means, percentile_interval
from faig.data.targets import TargetParams


@settings
class AgreementParams:
    """Settings of the compare_targets stage: of which target, with what share of the filters discovered."""

    target: Name
    ratio: Ratio
    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]


def specialists(targets: Mapping[str, TargetParams], target: str) -> dict[str, str]:
    """By degradation that ``target`` attributes, the first other target trained on it alone, where there is one."""
    found: dict[str, str] = {}
    for name, other in targets.items():
        if name != target and len(other.mixture) == 1 and other.attribute == tuple(other.mixture):
            found.setdefault(other.attribute[0], name)
    return {name: found[name] for name in targets[target].attribute if name in found}


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """J of two sets of filter numbers, not both empty."""
    common = len(np.intersect1d(first, second))
    return common / (len(first) + len(second) - common)


def chance(
    first: np.ndarray, second: np.ndarray, sizes: np.ndarray, *, num_draws: int, generator: np.random.Generator
) -> np.ndarray:
    """J of random sets (num_draws,), as many filters as the given ones in each layer.

    ``first``, ``second``: filters in each layer, (L,), of ``sizes`` (L,); one layer of all filters: no layers.
    """
    drawn = generator.hypergeometric(first, sizes - first, second, size=(num_draws, len(sizes)))
    common = drawn.sum(axis=1)
    return common / (first.sum() + second.sum() - common)


def agreement(
    index: FilterIndex,
    own: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray],
    params: AgreementParams,
    generator: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """How the filters (n,) discovered in a target agree with those discovered in its specialists.

    Args:
        own: by degradation, in the target.
        others: by degradation, in that degradation's specialist.

    Returns:
        By degradation with a specialist: ``jaccard``; ``random`` and ``same_count``: the mean J of as many filters at
        random, anywhere or with the same count per layer, and with ``_high`` the upper end of their interval;
        ``other.<e>``: J with the specialist of another degradation e.
    """
    results: dict[str, dict[str, Any]] = {}
    for name, theirs in others.items():
        values: dict[str, Any] = {"jaccard": jaccard(own[name], theirs)}
        counts = [index.count_by_layer(filters) for filters in (own[name], theirs)]
        everywhere = [np.array([count.sum()]) for count in counts]
        for key, (first, second), sizes in (
            ("random", everywhere, np.array([index.num_filters])),
            ("same_count", counts, np.array(index.sizes)),
        ):
            samples = chance(first, second, sizes, num_draws=params.num_resamples, generator=generator)
            high = percentile_interval(samples, level=params.level)[1]
            values |= {key: float(samples.mean()), f"{key}_high": high}
        values["other"] = {other: jaccard(own[name], filters) for other, filters in others.items() if other != name}
        results[name] = values
    return results


def depth_profile(
    index: FilterIndex, found: Mapping[str, np.ndarray], params: AgreementParams, generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    """By degradation the mean relative depth of its filters (n,), 0 first and 1 last layer.

    With ``mean_low`` and ``mean_high``, a bootstrap interval over the filters, and ``all``: the mean depth of all
    filters, what filters at random would have.
    """
    everything = float(index.depths(np.arange(index.num_filters)).mean())
    results = {}
    for name, filters in found.items():
        depths = index.depths(filters)
        samples = bootstrap_means(depths, num_resamples=params.num_resamples, generator=generator)[:, 0]
        low, high = percentile_interval(samples, level=params.level)
        results[name] = {"mean": float(depths.mean()), "mean_low": low, "mean_high": high, "all": everything}
    return results
