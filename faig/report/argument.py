"""Summaries of the argument's measurements: dials, retraining, plug-ins, one branch against two, severity."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faig.base.statistics import (
    BootstrapParams,
    bootstrap_means,
    bootstrap_replicates,
    by_replicate,
    with_interval,
)

QUALITY = ("psnr", "ssim", "psnr_y", "ssim_y")
"""What may have been measured of networks of one and of two branches."""
CONTROLS = ("same_count", "rewired", "random")
"""Variants of retraining that the discovered filters are compared with."""


def summarize_dials(table: pd.DataFrame, bootstrap: BootstrapParams, seed: int) -> dict[str, dict[str, Any]]:
    """What each dial does to the inputs of its own degradation.

    Args:
        table: columns dial, value (lambda), input, image, psnr.
        bootstrap: of the intervals; all of them rest on the same resamples, drawn from ``seed``.

    Returns:
        By dial: ``psnr_masked`` and ``psnr_target`` (lambda 0 and 1), ``best_lambda`` and ``psnr_best`` of the mean
        curve, in dB; ``monotonicity``: of the steps of lambda between 0 and 1, the share at which an image's PSNR
        rises, mean over images, with an interval; ``other_db.<input>``: on the inputs of another degradation, how far
        mean PSNR goes from the target's while the dial is between 0 and 1.
    """
    results: dict[str, dict[str, Any]] = {}
    for dial, rows in table.groupby("dial", sort=False):
        lambdas = sorted(set(rows["value"]))
        at_target, num_within = lambdas.index(1.0), sum(value <= 1 for value in lambdas)
        curves = {name: _curves(part, "value", "psnr") for name, part in rows.groupby("input", sort=False)}
        means = {str(name): values.mean(axis=0) for name, values in curves.items()}
        own = means[str(dial)]
        rising = (np.diff(curves[dial][:, :num_within], axis=1) > 0).mean(axis=1)
        results[str(dial)] = {
            "psnr_masked": float(own[0]),
            "psnr_target": float(own[at_target]),
            "psnr_best": float(own.max()),
            "best_lambda": float(lambdas[own.argmax()]),
            **_mean_with_interval("monotonicity", rising, bootstrap, np.random.default_rng(seed)),
            "other_db": {
                name: float(np.abs(curve[:num_within] - curve[at_target]).max())
                for name, curve in means.items()
                if name != dial
            },
        }
    return results


def best_pair(table: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """The best lambdas of two dials at once: PSNR there, at the target (1, 1) and masked (0, 0), in dB.

    Args:
        table: columns first, second (lambdas) and psnr, a row per image.
        names: of the two dials.
    """
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


def summarize_retraining(
    table: pd.DataFrame, min_gain: float, bootstrap: BootstrapParams, generator: np.random.Generator
) -> dict[str, Any]:
    """How much of the target's gain each variant recovers.

    Args:
        table: columns variant, replicate, image, psnr, of one degradation; variants ``baseline``, ``target``, others.
        min_gain: in dB; where the target's gain is smaller, shares of it are left out.
        generator: of the bootstrap, over images and over replicates at once.

    Returns:
        ``gain`` of the target in dB; by variant ``gained_db``, mean over replicates and images, and ``recovered``, the
        share of the gain, with its interval; of the :data:`CONTROLS` also ``behind`` with its interval: how much less
        they recover than the discovered filters do.
    """
    by_variant = {str(name): by_replicate(rows, "psnr") for name, rows in table.groupby("variant", sort=False)}
    base = by_variant.pop("baseline")
    gained = {name: values - base for name, values in by_variant.items()}
    target = gained.pop("target")
    results: dict[str, Any] = {"gain": float(target.mean())}
    known = results["gain"] >= min_gain
    samples = bootstrap_replicates({**gained, "target": target}, bootstrap.num_resamples, generator)
    for name, values in gained.items():
        results[name] = {"gained_db": float(values.mean())}
        if known:
            share = float(values.mean() / target.mean())
            results[name] |= with_interval("recovered", share, samples[name] / samples["target"], bootstrap.confidence)
    for name in [name for name in CONTROLS if name in gained and known]:
        lead = float((gained["discovered"].mean() - gained[name].mean()) / target.mean())
        leads = (samples["discovered"] - samples[name]) / samples["target"]
        results[name] |= with_interval("behind", lead, leads, bootstrap.confidence)
    return results


def summarize_plugins(
    table: pd.DataFrame, min_gain: float, bootstrap: BootstrapParams, generator: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """What plug-ins gain alone, and keep together.

    Args:
        table: columns variant, degradation, strength, num_bytes, input, image, psnr, as
            :mod:`faig.experiments.plugging` measures them.
        min_gain: in dB; shares of a smaller gain are left out.
        generator: of the bootstrap over images.

    Returns:
        By input and variant, but of what was trained on another degradation: ``gained_db`` over the baseline;
        ``gained_at/<strength>``, where several were measured. On the inputs of a plug-in's degradation also
        ``recovered``, the gain as a share of the whole network's that was trained on that degradation; and of what is
        put together ``kept``, as a share of the gain of the part of that degradation alone; with intervals. Of the
        plug-in and the whole network ``clean_db``: their gain on clean inputs; ``bytes`` on disk, and of the plug-in
        ``of_full``: as a share of the whole network's.
    """
    base = pd.DataFrame(table.loc[table["variant"] == "baseline", ["input", "image", "psnr"]])
    gains = table[table["variant"] != "baseline"].merge(base, on=["input", "image"], suffixes=("", "_of_baseline"))
    gains = gains.assign(gain=gains["psnr"] - gains["psnr_of_baseline"]).sort_values("image")
    results: dict[str, dict[str, Any]] = {}
    for name, rows in gains.groupby("input"):
        parts = _by_variant(rows[rows["degradation"].isin([name, ""])])
        found = results[str(name)] = {variant: _gained(part) for variant, part in parts.items()}
        if "plugin" not in parts:
            continue
        at_one = {variant: part.loc[part["strength"] == 1, "gain"] for variant, part in parts.items()}
        values = {variant: gain.to_numpy()[None] for variant, gain in at_one.items()}
        samples = bootstrap_replicates(values, bootstrap.num_resamples, generator)
        for key, variant, whole in _plugin_shares(values):
            if values[whole].mean() >= min_gain:
                share = float(values[variant].mean() / values[whole].mean())
                spread = samples[variant] / samples[whole]
                found[variant] |= with_interval(key, share, spread, bootstrap.confidence)
        clean = gains[(gains["input"] == "clean") & (gains["degradation"] == name) & (gains["strength"] == 1)]
        for variant, part in _by_variant(clean).items():
            found[variant] |= {"clean_db": float(np.mean(part["gain"])), "bytes": int(part["num_bytes"].to_list()[0])}
        found["plugin"]["of_full"] = found["plugin"]["bytes"] / found["full"]["bytes"]
    return {name: found for name, found in results.items() if found}


def _by_variant(rows: Any) -> dict[str, pd.DataFrame]:
    return {str(variant): pd.DataFrame(part) for variant, part in rows.groupby("variant")}


def _gained(rows: pd.DataFrame) -> dict[str, Any]:
    """Mean gain of one variant on one kind of input, at strength 1 and, where there are more, at each."""
    means = {f"{strength:g}": float(np.mean(part["gain"])) for strength, part in rows.groupby("strength")}
    return {"gained_db": means["1"], **({"gained_at": means} if len(means) > 1 else {})}


def _plugin_shares(variants: Collection[str]) -> list[tuple[str, str, str]]:
    """The shares that are taken: name, variant, and the variant whose gain it is a share of."""
    wholes = {"plugins_together": "plugin", "plugins_in_turn": "plugin", "tasks_together": "full"}
    kept = [("kept", variant, whole) for variant, whole in wholes.items()]
    recovered = [("recovered", variant, "full") for variant in variants if variant != "full"]
    return [*recovered, *(entry for entry in kept if entry[1] in variants)]


def summarize_branches(
    table: pd.DataFrame, bootstrap: BootstrapParams, generator: np.random.Generator
) -> dict[str, Any]:
    """Quality of the network with one branch and of that with two, and how far two branches lead.

    Args:
        table: columns network (``one_branch`` or ``two_branches``), replicate, input, image, psnr and others, predicted
            (the degradation that the second branch names), parameters, gflops.

    Returns:
        By degradation, and as ``mean`` over them: ``psnr_one_branch``, ``psnr_two_branches`` in dB, ``ssim_...``, on
        luma ``psnr_y_...``, ``ssim_y_...``, and ``lead``: PSNR of two branches minus one; ``prediction.accuracy``;
        all with intervals over images and replicates; by network ``parameters`` and ``gflops``. Nothing of an empty
        table, which stands for a network without blocks that a second branch could modulate.
    """
    results: dict[str, Any] = {}
    if table.empty:
        return results
    measured = {}  # by result and key, (replicates, images)
    for name in [*dict.fromkeys(table["input"]), "mean"]:
        rows = table if name == "mean" else pd.DataFrame(table[table["input"] == name])
        for quality in [measure for measure in QUALITY if measure in rows]:
            both = {str(network): by_replicate(part, quality) for network, part in rows.groupby("network")}
            measured |= {f"{name}/{quality}_{network}": values for network, values in both.items()}
            if quality == "psnr":
                measured[f"{name}/lead"] = both["two_branches"] - both["one_branch"]
    named = pd.DataFrame(table[table["network"] == "two_branches"])
    right = named.assign(right=(named["predicted"] == named["input"]).astype(float))
    measured["prediction/accuracy"] = by_replicate(right, "right")
    samples = bootstrap_replicates(measured, bootstrap.num_resamples, generator)
    for place, values in measured.items():
        name, key = place.split("/")
        found = with_interval(key, float(values.mean()), samples[place], bootstrap.confidence)
        results[name] = results.get(name, {}) | found
    for network, rows in table.groupby("network"):
        results[str(network)] = {name: float(rows[name].iloc[0]) for name in ("parameters", "gflops")}
    return results


def summarize_severity(
    table: pd.DataFrame, bootstrap: BootstrapParams, generator: np.random.Generator
) -> dict[str, Any]:
    """Rank correlation (Spearman) of level and response in each image, mean over images.

    Args:
        table: columns degradation, value (the level), trained (the level that the target was trained on), image,
            filters, response, detail (log RMS of the output's detail); a row per level, image and whose filters.

    Returns:
        By degradation, of its own filters with intervals over images: ``rank_correlation``; the same over the levels
        ``up_to_trained``, where there are three of them, and of the response ``relative`` to the detail. Further
        ``num_levels``, and ``other.<e>``: the rank correlation of another degradation's filters. An image whose
        response is the same at all levels counts as 0.
    """
    # Relative to the detail, the response does not fall merely because a blurred image has less to change.
    table = table.assign(relative=table["response"] - table["detail"])
    results: dict[str, Any] = {}
    for degradation, rows in table.groupby("degradation", sort=False):
        name = str(degradation)
        own = pd.DataFrame(rows[rows["filters"] == name])
        below = pd.DataFrame(own[own["value"] <= own["trained"]])
        kinds = {"rank_correlation": _correlations(own, "response"), "relative": _correlations(own, "relative")}
        if len(set(below["value"])) >= 3:
            kinds["up_to_trained"] = _correlations(below, "response")
        results[name] = {"num_levels": len(set(own["value"]))}
        for kind, values in kinds.items():
            results[name] |= _mean_with_interval(kind, values, bootstrap, generator)
        others = {str(of): part for of, part in rows.groupby("filters", sort=False) if of != name}
        results[name]["other"] = {of: float(_correlations(part, "response").mean()) for of, part in others.items()}
    return results


def rank_correlation(curve: np.ndarray) -> float:
    """Spearman's rho between a curve (L,) and its positions; 0 for a constant curve."""
    ranks = pd.Series(curve).rank().to_numpy()
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])


def _correlations(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Rank correlation of level and ``column`` in each image, (num_images,)."""
    return np.array([rank_correlation(curve) for curve in _curves(rows, "value", column)])


def _curves(rows: pd.DataFrame, over: str, column: str) -> np.ndarray:
    """``column`` of each image over rising values of another column, (num_images, num_values)."""
    return rows.pivot_table(index="image", columns=over, values=column).to_numpy()


def _mean_with_interval(
    name: str, values: np.ndarray, bootstrap: BootstrapParams, generator: np.random.Generator
) -> Mapping[str, float]:
    """The mean of one value per image (num_images,), with its interval over images."""
    samples = bootstrap_means(values, num_resamples=bootstrap.num_resamples, generator=generator)[:, 0]
    return with_interval(name, float(values.mean()), samples, bootstrap.confidence)
