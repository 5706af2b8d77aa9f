"""Do two networks keep a degradation's removal in the same filters, and how deep do those lie?

J(A, B) = |A and B| / |A or B| (Jaccard 1901), 1 for equal sets. What chance gives is drawn, not assumed: |A and B| of
two sets of fixed sizes drawn from F filters is hypergeometric; of sets of fixed sizes per layer, a sum of such.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from faig.base.statistics import BootstrapParams, bootstrap_means, percentile_interval, with_interval
from faig.data.targets import TargetParams
from faig.experiments.score_table import Layers


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
    layers: Layers,
    own: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray],
    bootstrap: BootstrapParams,
    generator: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """How the filters (n,) discovered in a target agree with those discovered in its specialists.

    Args:
        layers: of the network that both are of.
        own: by degradation, in the target.
        others: by degradation, in that degradation's specialist.
        bootstrap: ``num_resamples`` random sets are drawn, with ``generator``.

    Returns:
        By degradation with a specialist: ``jaccard``; ``random`` and ``same_count``: the mean J of as many filters at
        random, anywhere or with the same count per layer, and with ``_high`` the upper end of their interval;
        ``other.<e>``: J with the specialist of another degradation e.
    """
    results: dict[str, dict[str, Any]] = {}
    for name, theirs in others.items():
        values: dict[str, Any] = {"jaccard": jaccard(own[name], theirs)}
        counts = [layers.count(filters) for filters in (own[name], theirs)]
        everywhere = [np.array([count.sum()]) for count in counts]
        for key, (first, second), sizes in (
            ("random", everywhere, np.array([len(layers.numbers)])),
            ("same_count", counts, layers.sizes),
        ):
            samples = chance(first, second, sizes, num_draws=bootstrap.num_resamples, generator=generator)
            high = percentile_interval(samples, confidence=bootstrap.confidence)[1]
            values |= {key: float(samples.mean()), f"{key}_high": high}
        values["other"] = {other: jaccard(own[name], filters) for other, filters in others.items() if other != name}
        results[name] = values
    return results


def depth_profile(
    layers: Layers, found: Mapping[str, np.ndarray], bootstrap: BootstrapParams, generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    """By degradation the mean relative depth of its filters (n,), 0 first and 1 last layer.

    With ``mean_low`` and ``mean_high``, a bootstrap interval over the filters, and ``all``: the mean depth of all
    filters, what filters at random would have.
    """
    everything = float(layers.depths(np.arange(len(layers.numbers))).mean())
    results = {}
    for name, filters in found.items():
        depths = layers.depths(filters)
        samples = bootstrap_means(depths, num_resamples=bootstrap.num_resamples, generator=generator)[:, 0]
        results[name] = with_interval("mean", float(depths.mean()), samples, bootstrap.confidence) | {"all": everything}
    return results
