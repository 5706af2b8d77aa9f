"""What masking took away, from measurements.

Definitions, for inputs of degradation e, with Q = mean PSNR over images, and filters masked for degradation d:

* gain(e) = Q_target(e) - Q_baseline(e): what fine-tuning brought, in dB
* share lost(d, e) = (Q_target(e) - Q_masked(e)) / gain(e): 1 when masking takes the whole gain away
* removed(d) = share lost(d, d)
* collateral(d) = the largest share lost(d, e) over the other attributed degradations e
* selectivity(d) = removed(d) - collateral(d)
"""

from collections.abc import Mapping, Sequence
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


def gains(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By degradation of the inputs: mean quality of baseline and target by each measure, and the gains in dB.

    psnr_baseline, psnr_target, gain; where they were measured also psnr_y_..., gain_y (on luma), ssim_... and others.
    """
    results: dict[str, dict[str, float]] = {}
    for name, rows in table.groupby("input"):
        values = results[str(name)] = {}
        for measure in _compared(table):
            before, after = (float(rows.loc[rows["method"] == method, measure].mean()) for method in UNMASKED)
            values |= {f"{measure}_baseline": before, f"{measure}_target": after}
            if measure in GAINS:
                values[GAINS[measure]] = after - before
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
        {method: {degradation: values}}. Values: removed, collateral, selectivity, each with _low and _high;
        gradient_distance on the degradation's own inputs; lost_db.<input>: PSNR in dB lost on each input;
        lost_share.<input>: of the gain on each input; <measure>_lost.<input> by each other measure that the table has:
        ssim_lost, psnr_y_lost in dB on luma, lpips_lost, ...; positive where masking made it worse.
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
            values |= _shares_with_intervals(lost, gain, degradation, shared, bootstrap, seed)
        if "gradient_distance" in table:
            values["gradient_distance"] = float(_by_input(means, key, "gradient_distance")[degradation].mean())
        for measure in others:
            before, after = (_by_input(means, which, measure) for which in (TARGET, key))
            sign = -1 if measure in DISTANCES else 1
            values[f"{measure}_lost"] = {name: float(sign * (before[name] - after[name]).mean()) for name in before}
        values["lost_db"] = {name: float(value.mean()) for name, value in lost.items()}
        values["lost_share"] = {name: float(lost[name].mean() / gain[name].mean()) for name in usable}
        results.setdefault(method, {})[degradation] = values
    return results


def _compared(table: pd.DataFrame) -> list[str]:
    """The measures that a table has of each network by itself: all but the distance to the target."""
    return [str(name) for name in table if name not in (*LABELS, "gradient_distance")]


def _by_input(means: pd.DataFrame, key: Key, column: str) -> dict[str, np.ndarray]:
    """One ranking's values per image (num_images,) by degradation of the input."""
    pivot = pd.DataFrame(means.loc[(key.method, key.degradation), column].unstack("input"))
    return {str(name): pivot[name].to_numpy() for name in pivot.columns}


def _shares_with_intervals(
    lost: Mapping[str, np.ndarray],
    gain: Mapping[str, np.ndarray],
    degradation: str,
    names: Sequence[str],
    bootstrap: BootstrapParams,
    seed: int,
) -> dict[str, Any]:
    """removed, collateral and selectivity with intervals; ``lost`` and ``gain`` in dB per image, by input."""
    # Losses and gains are resampled together: each resample divides what its own images lost by what they gained.
    columns = np.stack([side[name] for side in (lost, gain) for name in names], axis=1)  # (num_images, 2 E)
    means = bootstrap_means(columns, num_resamples=bootstrap.num_resamples, generator=np.random.default_rng(seed))
    own = names.index(degradation)
    point, samples = (_shares(values, own) for values in (columns.mean(axis=0, keepdims=True), means))
    values: dict[str, Any] = {}
    for name, value in point.items():
        values |= with_interval(name, float(value[0]), samples[name], bootstrap.confidence)
    return values


def _shares(means: np.ndarray, own: int) -> dict[str, np.ndarray]:
    """Mean losses and gains side by side (R, 2 E) -> removed; where there are others also collateral, selectivity."""
    lost, gain = np.split(means, 2, axis=1)
    shares = lost / np.maximum(gain, 1e-9)  # a resample's gain can be tiny although the mean's is not
    removed, others = shares[:, own], np.delete(shares, own, axis=1)
    if not others.shape[1]:
        return {"removed": removed}
    collateral = others.max(axis=1)
    return {"removed": removed, "collateral": collateral, "selectivity": removed - collateral}
