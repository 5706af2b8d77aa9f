"""What masking took away, from measurements.

Definitions, for inputs of degradation e, with Q = mean PSNR over images, and filters masked for degradation d:

* gain(e) = Q_target(e) - Q_baseline(e): what fine-tuning brought, in dB
* share lost(d, e) = (Q_target(e) - Q_masked(e)) / gain(e): 1 when masking takes the whole gain away
* removed(d) = share lost(d, d)
* collateral(d) = the largest share lost(d, e) over the other attributed degradations e
* selectivity(d) = removed(d) - collateral(d)
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from faig.base.statistics import BootstrapParams, bootstrap_means, with_interval
from faig.experiments.score_table import BASELINE, TARGET, Key

UNMASKED = (BASELINE.method, TARGET.method)
LABELS = ("method", "degradation", "replicate", "ratio", "input", "image", "curve")
"""Columns of a table of measurements that say what was measured; each of the others is a measure of quality."""
DISTANCES = ("lpips", "dists")
"""Measures of which less is better: what is lost by them is what they grow by."""
GAINS = {"psnr": "gain", "psnr_y": "gain_y"}
"""Measures in dB, and what the gain is called by each."""
Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From R rows, one per resample, to named values (R,)."""


def gains(table: pd.DataFrame, bootstrap: BootstrapParams, seed: int) -> dict[str, dict[str, float]]:
    """By degradation of the inputs: mean quality of baseline and target by each measure, and the gains in dB.

    psnr_baseline, psnr_target, gain; where they were measured also psnr_y_..., gain_y (on luma), ssim_... and others;
    each with its interval over images, see :func:`effects`.
    """
    results: dict[str, dict[str, float]] = {}
    for name, rows in table.groupby("input"):
        columns: dict[str, np.ndarray] = {}
        for measure in _compared(table):
            by_image = pd.DataFrame(rows.pivot_table(index="image", columns="method", values=measure))
            before, after = (by_image[method].to_numpy() for method in UNMASKED)
            columns |= {f"{measure}_baseline": before, f"{measure}_target": after}
            if measure in GAINS:
                columns[GAINS[measure]] = after - before
        results[str(name)] = _means_with_intervals(columns, bootstrap, seed)
    return results


def by_ratio(table: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """A table of measurements per share of the filters, each with the rows of the two unmasked networks."""
    unmasked = table["method"].isin(UNMASKED)
    ratios = sorted(set(table.loc[~unmasked, "ratio"]))
    return {ratio: pd.DataFrame(table[unmasked | (table["ratio"] == ratio)]) for ratio in ratios}


def effects(
    table: pd.DataFrame, attributed: Sequence[str], min_gain: float, bootstrap: BootstrapParams, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """What masking took away, by method and degradation, with bootstrap intervals over images.

    Args:
        table: as :func:`faig.experiments.masking.measure` returns it, of one share of the filters; replicates are
            averaged.
        attributed: degradations whose gains count for the collateral.
        min_gain: in dB; where a gain is smaller, shares of it are left out, so no number is divided by a small one.
        bootstrap: of the intervals; all of them rest on the same resamples, drawn from ``seed``.

    Returns:
        {method: {degradation: values}}. Values: removed, collateral, selectivity; gradient_distance on the
        degradation's own inputs; lost_db.<input>: PSNR in dB lost on each input; lost_share.<input>: of the gain on
        each input; <measure>_lost.<input> by each other measure that the table has: ssim_lost, psnr_y_lost in dB on
        luma, lpips_lost, ...; positive where masking made it worse. Beside each, but for gradient_distance, the ends
        of its interval under its name with _low and _high.
    """
    others = [name for name in _compared(table) if name != "psnr"]
    keys = ["method", "degradation", "image", "input"]
    measured = [name for name in table if name not in LABELS]
    means = pd.DataFrame(table.groupby(keys)[measured].mean())  # over the replicates
    target, baseline = (_by_input(means, key, "psnr") for key in (TARGET, BASELINE))
    gain = {name: target[name] - baseline[name] for name in target}
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for method, degradation in dict.fromkeys(zip(table["method"], table["degradation"], strict=True)):
        if method in UNMASKED:
            continue
        key = Key(method, degradation)
        lost = {name: target[name] - values for name, values in _by_input(means, key, "psnr").items()}
        usable = [name for name in lost if gain[name].mean() >= min_gain]
        shared = [name for name in attributed if name in usable]
        values: dict[str, Any] = {}
        if degradation in shared:
            own = partial(_selectivity, own=shared.index(degradation))
            values |= _shares_with_intervals(lost, gain, shared, own, bootstrap, seed)
        if "gradient_distance" in table:
            values["gradient_distance"] = float(_by_input(means, key, "gradient_distance")[degradation].mean())
        for measure in others:
            before, after = (_by_input(means, which, measure) for which in (TARGET, key))
            sign = -1 if measure in DISTANCES else 1
            worse = {name: sign * (before[name] - after[name]) for name in before}
            values[f"{measure}_lost"] = _means_with_intervals(worse, bootstrap, seed)
        values["lost_db"] = _means_with_intervals(lost, bootstrap, seed)
        values["lost_share"] = {}
        if usable:
            each = partial(_named, usable)
            values["lost_share"] = _shares_with_intervals(lost, gain, usable, each, bootstrap, seed)
        results.setdefault(method, {})[degradation] = values
    return results


def _compared(table: pd.DataFrame) -> list[str]:
    """The measures that a table has of each network by itself: all but the distance to the target."""
    return [str(name) for name in table if name not in (*LABELS, "gradient_distance")]


def _by_input(means: pd.DataFrame, key: Key, column: str) -> dict[str, np.ndarray]:
    """One ranking's values per image (num_images,) by degradation of the input."""
    pivot = pd.DataFrame(means.loc[(key.method, key.degradation), column].unstack("input"))
    return {str(name): pivot[name].to_numpy() for name in pivot.columns}


def _means_with_intervals(columns: Mapping[str, np.ndarray], bootstrap: BootstrapParams, seed: int) -> dict[str, float]:
    """Means of values per image (num_images,), by name, with their intervals."""
    return _with_intervals(np.stack(list(columns.values()), axis=1), partial(_named, list(columns)), bootstrap, seed)


def _named(names: Sequence[str], columns: np.ndarray) -> dict[str, np.ndarray]:
    """Columns (R, K) by their names."""
    return dict(zip(names, columns.T, strict=True))


def _shares_with_intervals(
    lost: Mapping[str, np.ndarray],
    gain: Mapping[str, np.ndarray],
    names: Sequence[str],
    of: Statistic,
    bootstrap: BootstrapParams,
    seed: int,
) -> dict[str, float]:
    """A statistic of the shares (R, E) lost of the gains on E inputs; ``lost`` and ``gain`` in dB per image."""
    # Losses and gains are resampled together: each resample divides what its own images lost by what they gained.
    columns = np.stack([side[name] for side in (lost, gain) for name in names], axis=1)  # (num_images, 2 E)

    def of_means(means: np.ndarray) -> dict[str, np.ndarray]:
        lost, gain = np.split(means, 2, axis=1)
        return of(lost / np.maximum(gain, 1e-9))  # a resample's gain can be tiny although the mean's is not

    return _with_intervals(columns, of_means, bootstrap, seed)


def _with_intervals(columns: np.ndarray, of: Statistic, bootstrap: BootstrapParams, seed: int) -> dict[str, float]:
    """A statistic of the means of columns (num_images, K), with intervals over resamples: the same for equal seeds."""
    generator = np.random.default_rng(seed)
    samples = of(bootstrap_means(columns, num_resamples=bootstrap.num_resamples, generator=generator))
    values: dict[str, float] = {}
    for name, point in of(columns.mean(axis=0, keepdims=True)).items():
        values |= with_interval(name, float(point[0]), samples[name], bootstrap.confidence)
    return values


def _selectivity(shares: np.ndarray, own: int) -> dict[str, np.ndarray]:
    """Shares lost (R, E), ``own`` the degradation's -> removed; where there are others also collateral, selectivity."""
    removed, others = shares[:, own], np.delete(shares, own, axis=1)
    if not others.shape[1]:
        return {"removed": removed}
    collateral = others.max(axis=1)
    return {"removed": removed, "collateral": collateral, "selectivity": removed - collateral}
