"""How good the swept sets of filters are: a number per curve, and how near each method comes to the best set found.

Definitions, for filters sought for degradation d. Q, gain, removed and collateral are those of
:mod:`faig.report.effects`, of the target with these filters masked (deletion). Q_inserted(e) is the mean PSNR where the
target's kernels stay at these filters alone and the baseline's are put back at all others (insertion).

* kept(d) = (Q_inserted(d) - Q_baseline(d)) / gain(d): the share of the gain that these filters alone bring back
* kept elsewhere(d) = the largest such share on another attributed degradation
* area of a curve = its mean over log(ratio) between the smallest and the largest swept ratio, by the trapezoidal rule:
  1 means all of it at every ratio. Areas of runs that sweep other ratios cannot be compared.
* area of removed: of min(removed(d), 1), since what takes away more than the whole gain breaks the network
* area of selectivity: of min(removed(d), 1) - collateral(d); area of kept: of kept(d)
* net(d) = min(removed(d), 1) - max(collateral(d), 0): what a set removes, less what it takes along
* best found(d) = at each ratio, the set with the largest net(d) among the sets of all methods: a lower bound of what is
  possible, since a better set may exist that no method found. It is chosen on one half of the test photographs and
  reported on the other, both ways round, and the two are averaged: no image has a say in what is reported on it.

Where a target attributes one degradation, there is no other to take along, and collateral counts as 0.

Shapes: N images, K ratios, E attributed degradations whose gain is large enough, M replicates, W sets of weights of the
images. Each row of weights sums to 1; the first gives the value, the others are resamples of the images and give its
interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from faig.base.errors import InputError
from faig.base.statistics import BootstrapParams, bootstrap_means, with_interval
from faig.experiments.score_table import DELETION, INSERTION
from faig.report.effects import UNMASKED

COLUMNS = ("curve", "method", "degradation", "replicate", "ratio", "input", "image", "psnr")
REMOVES, TAKES_ALONG = 0.9, 0.05
"""What a set must remove at least, and take along less than, to count as selective."""
LEAST_FOUND = 0.1
"""Where the net of the best found is less, no share of it is taken; and no resample of the images divides by less."""
BEST = "best_found"
"""What stands in the numbers where a method's name stands else."""


@dataclass(frozen=True)
class Sweep:
    """One target's measurements as arrays.

    ``names``: the E degradations; ``images``: the names of the N images; ``ratios`` (K,) rise; ``gain`` (E, N) in dB.
    ``moved``: by curve, method and degradation whose filters they are, the PSNR in dB that deletion takes away or that
    insertion brings back, (M, K, E, N).
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    ratios: np.ndarray
    gain: np.ndarray
    moved: Mapping[tuple[str, str, str], np.ndarray]

    def of(self, curve: str, degradation: str) -> dict[str, np.ndarray]:
        """What one curve of each method moves, of the filters for one degradation: (M, K, E, N)."""
        return {key[1]: moved for key, moved in self.moved.items() if (key[0], key[2]) == (curve, degradation)}

    def shares(self, moved: np.ndarray, degradation: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the gain: of ``degradation``'s own, and the largest of another's (0 where there is none).

        ``moved`` (..., K, E, N) in dB and ``weights`` (W, N) give (..., K, W) each.
        """
        # A resample's gain can be tiny although the mean's is not.
        shares = (moved @ weights.T) / np.maximum(self.gain @ weights.T, 1e-9)  # (..., K, E, W)
        own = self.names.index(degradation)
        others = np.delete(shares, own, axis=-2)
        return shares[..., own, :], others.max(axis=-2) if others.size else np.zeros_like(shares[..., own, :])


def arrange(table: pd.DataFrame, attributed: Sequence[str], min_gain: float) -> Sweep:
    """Arrange a target's sweep; degradations whose gain is under ``min_gain`` dB are left out.

    Args:
        table: as :func:`faig.experiments.masking.measure_curves` returns it.
        attributed: the target's attributed degradations.

    Raises:
        InputError: a column or a measurement is missing.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(f"the sweep lacks the columns {missing}: run the stage sweep again")
    images = sorted(set(table["image"]))
    baseline, target = (_psnr(table, {"method": [name], "input": attributed, "image": images})[0] for name in UNMASKED)
    usable = (target - baseline).mean(axis=1) >= min_gain
    names = [name for name, is_usable in zip(attributed, usable, strict=True) if is_usable]
    before, gain = baseline[usable], (target - baseline)[usable]  # (E, N)
    masked = pd.DataFrame(table[~table["method"].isin(UNMASKED)])
    ratios, moved = sorted(set(masked["ratio"])), {}
    for curve, method, degradation in sorted(set(zip(*(masked[name] for name in COLUMNS[:3]), strict=True))):
        key = {"curve": [curve], "method": [method], "degradation": [degradation]}
        own = pd.DataFrame(masked[(masked["curve"] == curve) & (masked["method"] == method)])
        axes = {"replicate": sorted(set(own["replicate"])), "ratio": ratios, "input": names, "image": images}
        kept = _psnr(own, {**key, **axes})[0, 0, 0] - before  # (M, K, E, N)
        moved[curve, method, degradation] = kept if curve == INSERTION else gain - kept
    return Sweep(tuple(names), tuple(images), np.array(ratios), gain, moved)


def _psnr(table: pd.DataFrame, axes: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """PSNR as an array with an axis for each of some columns.

    Raises:
        InputError: nothing was measured of some combination of their values.
    """
    index = pd.MultiIndex.from_product(list(axes.values()), names=list(axes))
    means = pd.DataFrame(table.groupby(list(axes))[["psnr"]].mean())
    values = means.reindex(index)["psnr"].to_numpy()
    if np.isnan(values).any():
        lacks = ", ".join(str(value) for value in index[int(np.isnan(values).argmax())])
        raise InputError(f"the sweep lacks {lacks} ({', '.join(axes)}): run the stage sweep again")
    return values.reshape([len(of) for of in axes.values()])


def kept(
    table: pd.DataFrame, attributed: Sequence[str], min_gain: float, bootstrap: BootstrapParams, seed: int
) -> dict[str, Any]:
    """What filters bring back alone: ``<method>.<degradation>.<ratio>``: kept and kept_elsewhere, with intervals.

    Arguments and errors as of :func:`arrange` and :func:`faig.report.effects.effects`, on whose resamples the intervals
    rest. ``kept_elsewhere`` is left out where there is no other degradation.
    """
    sweep = arrange(table, attributed, min_gain)
    weights = _weights(len(sweep.images), bootstrap, np.random.default_rng(seed))
    results: dict[str, Any] = {}
    for degradation in sweep.names:
        for method, moved in sweep.of(INSERTION, degradation).items():
            own, others = sweep.shares(moved.mean(axis=0), degradation, weights)
            quantities = {"kept": own, "kept_elsewhere": others} if len(sweep.names) > 1 else {"kept": own}
            results.setdefault(method, {})[degradation] = _by_ratio(sweep.ratios, quantities, bootstrap)
    return results


def yardstick(
    table: pd.DataFrame,
    attributed: Sequence[str],
    min_gain: float,
    bootstrap: BootstrapParams,
    seed: int,
    *,
    tiled: bool,
) -> dict[str, Any]:
    """Areas, best found and smallest selective sets of all methods; all but the sets' sizes with intervals.

    Args:
        table, attributed, min_gain: as of :func:`arrange`.
        bootstrap: of the intervals, drawn from ``seed``.
        tiled: whether the images are tiles of photographs; else each is a photograph of its own.

    Returns:
        ``<degradation>.<method>``: area_of_removed, area_of_selectivity (where there is another degradation),
        area_of_kept; smallest_ratio, where there is one: the smallest swept ratio at which at least :data:`REMOVES` is
        removed and less than :data:`TAKES_ALONG` taken along; ``<ratio>.share_of_best_found``: the method's net over
        the best found's, averaged over the same halves of the photographs, where that is at least :data:`LEAST_FOUND`.

        ``<degradation>.best_found``: smallest_ratio, the smallest of any method; ``<ratio>``: removed, collateral and
        net of the best found, and ``chosen.<method>``, the share of the two halves on which the set is that method's.
        The best found and shares of it are left out where there is only one photograph.

    Raises:
        InputError: as :func:`arrange`; no filters for a degradation were masked; or images are said to be tiles and are
            not named like tiles.
    """
    sweep = arrange(table, attributed, min_gain)
    generator = np.random.default_rng(seed)
    weights = _weights(len(sweep.images), bootstrap, generator)
    halves = halved(sweep.images, tiled=tiled)
    of_halves = np.zeros((2, *weights.shape))
    for number, half in enumerate(halves):
        if half.any():
            of_halves[number][:, half] = _weights(int(half.sum()), bootstrap, generator)
    results: dict[str, Any] = {}
    for degradation in sweep.names:
        if not sweep.of(DELETION, degradation):
            raise InputError(f"the sweep masks no filters for {degradation}: run the stage sweep again")
        found = results[degradation] = areas(sweep, degradation, weights, bootstrap)
        for method, ratio in smallest_ratios(sweep, degradation).items():
            found[method]["smallest_ratio"] = ratio
        if smallest := [values["smallest_ratio"] for values in found.values() if "smallest_ratio" in values]:
            found[BEST] = {"smallest_ratio": min(smallest)}
        if halves[1].any():
            for method, values in best_found(sweep, degradation, of_halves, bootstrap).items():
                found.setdefault(method, {}).update(values)
    return results


def areas(sweep: Sweep, degradation: str, weights: np.ndarray, bootstrap: BootstrapParams) -> dict[str, Any]:
    """Each method's areas of removed, selectivity and kept; ``weights`` (W, N)."""
    results: dict[str, Any] = {}
    for curve in (DELETION, INSERTION):
        for method, moved in sweep.of(curve, degradation).items():
            own, others = sweep.shares(moved.mean(axis=0), degradation, weights)
            if curve == INSERTION:
                curves = {"area_of_kept": own}
            else:
                curves = {"area_of_removed": np.minimum(own, 1)}
                if len(sweep.names) > 1:
                    curves["area_of_selectivity"] = np.minimum(own, 1) - others
            found = {name: log_mean(sweep.ratios) @ values for name, values in curves.items()}
            results.setdefault(method, {}).update(_with_intervals(found, bootstrap))
    return results


def log_mean(ratios: np.ndarray) -> np.ndarray:
    """The weights (K,) of a curve's values at rising ratios (K,) in its mean over log(ratio), by the trapezoidal rule.

    They sum to 1; with a single ratio, the mean is the value there.
    """
    if len(ratios) == 1:
        return np.ones(1)
    steps = np.diff(np.log(ratios))
    return (np.append(steps, 0) + np.append(0, steps)) / (2 * steps.sum())


def smallest_ratios(sweep: Sweep, degradation: str) -> dict[str, float]:
    """The smallest swept ratio at which a method's filters are selective, of the methods that have one."""
    everywhere = np.full((1, len(sweep.images)), 1 / len(sweep.images))
    found = {}
    for method, moved in sweep.of(DELETION, degradation).items():
        removed, collateral = sweep.shares(moved.mean(axis=0), degradation, everywhere)  # (K, 1) each
        if (selective := (removed >= REMOVES) & (collateral < TAKES_ALONG)).any():
            found[method] = float(sweep.ratios[selective.argmax()])
    return found


def halved(images: Sequence[str], *, tiled: bool) -> np.ndarray:
    """Which of the images (N,) lie in which half of the photographs, (2, N): every other photograph by name in each.

    Tiles, which :func:`faig.data.photographs.tiles` names ``<photograph>_<number>``, stay with their photograph.

    Raises:
        InputError: an image is no tile although ``tiled`` says so.
    """
    parts = [image.rpartition("_") if tiled else (image, "_", "0") for image in images]
    if odd := ["".join(part) for part in parts if not (part[0] and part[2].isdigit())]:
        raise InputError(f"{odd[0]} is not named as a tile of a photograph is: run the stage sweep again")
    photographs = [part[0] for part in parts]
    numbers = {name: number for number, name in enumerate(sorted(set(photographs)))}
    first = np.array([numbers[name] % 2 == 0 for name in photographs])
    return np.stack([first, ~first])


def best_found(sweep: Sweep, degradation: str, weights: np.ndarray, bootstrap: BootstrapParams) -> dict[str, Any]:
    """The best found and each method's share of it, as :func:`yardstick` describes them.

    ``weights`` (2, W, N): of the images of each half, 0 outside it.
    """
    curves = sweep.of(DELETION, degradation)
    owners = [method for method, moved in curves.items() for _ in moved]  # (C,): one for each set, replicates included
    removed, collateral = _on_halves(sweep, np.concatenate(list(curves.values())), degradation, weights)
    chosen = net(removed, collateral)[:, :, :, 0].argmax(axis=0)  # (K, 2): by the images of each half, unresampled

    def crossed(values: np.ndarray) -> np.ndarray:
        """Of the sets that each half chose, the values on the other half, (C, K, 2, W) -> their mean (K, W)."""
        at = np.arange(len(sweep.ratios))
        return (values[chosen[:, 0], at, 1] + values[chosen[:, 1], at, 0]) / 2

    quantities = {"removed": crossed(removed), "net": (best := crossed(net(removed, collateral)))}
    if len(sweep.names) > 1:
        quantities["collateral"] = crossed(collateral)
    results: dict[str, Any] = {BEST: _by_ratio(sweep.ratios, quantities, bootstrap)}
    for values, numbers in zip(results[BEST].values(), chosen, strict=True):
        methods = [owners[number] for number in numbers]
        values["chosen"] = {method: methods.count(method) / 2 for method in methods}
    worth = best[:, 0] >= LEAST_FOUND  # (K,)
    for method, moved in curves.items():
        own = net(*_on_halves(sweep, moved.mean(axis=0), degradation, weights)).mean(axis=-2)  # (K, W)
        share = {"share_of_best_found": own[worth] / np.maximum(best[worth], LEAST_FOUND)}
        results[method] = _by_ratio(sweep.ratios[worth], share, bootstrap)
    return results


def _on_halves(sweep: Sweep, moved: np.ndarray, degradation: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As :meth:`Sweep.shares`, of weights (2, W, N): (..., K, 2, W) each."""
    own, others = sweep.shares(moved, degradation, np.concatenate(weights))
    return own.reshape(*own.shape[:-1], *weights.shape[:2]), others.reshape(*own.shape[:-1], *weights.shape[:2])


def net(removed: np.ndarray, collateral: np.ndarray) -> np.ndarray:
    """What sets of filters remove of a gain, at most all of it, less what they take along of another."""
    return np.minimum(removed, 1) - np.maximum(collateral, 0)


def _weights(num_images: int, bootstrap: BootstrapParams, generator: np.random.Generator) -> np.ndarray:
    """Weights of the images, (1 + R, N): equal ones, then the bootstrap's resamples."""
    each = np.eye(num_images)
    drawn = bootstrap_means(each, num_resamples=bootstrap.num_resamples, generator=generator)
    return np.concatenate([each.mean(axis=0, keepdims=True), drawn])


def _by_ratio(
    ratios: np.ndarray, found: Mapping[str, np.ndarray], bootstrap: BootstrapParams
) -> dict[str, dict[str, Any]]:
    """Quantities (K, W) -> their values with intervals by ratio."""
    return {
        f"{ratio:g}": _with_intervals({name: values[k] for name, values in found.items()}, bootstrap)
        for k, ratio in enumerate(ratios)
    }


def _with_intervals(found: Mapping[str, np.ndarray], bootstrap: BootstrapParams) -> dict[str, float]:
    """Quantities (W,) -> values with their intervals."""
    results: dict[str, float] = {}
    for name, values in found.items():
        results |= with_interval(name, float(values[0]), values[1:], bootstrap.confidence)
    return results
