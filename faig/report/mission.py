"""All numbers of the mission's pipeline, and the few of them that its metrics file holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faig.base.statistics import BootstrapParams
from faig.data.targets import CLEAN
from faig.experiments.score_table import BASELINE, DELETION, TARGET, Key, Layers
from faig.report.effects import by_ratio, effects
from faig.report.yardstick import kept

REMOVED = ("removed", "removed_low", "removed_high")
CONTROL = "random"
"""The rankings that the discovered filters are compared with."""


def curves_of(
    table: pd.DataFrame, attributed: Sequence[str], min_gain: float, bootstrap: BootstrapParams, seed: int
) -> dict[str, Any]:
    """What masking takes away and insertion brings back over the ratio.

    Args:
        table: of one target, as :func:`faig.experiments.masking.measure_curves` returns it.
        attributed: the target's attributed degradations.

    Returns:
        ``<method>.<degradation>.<ratio>``: the effects of masking, and what :func:`faig.report.yardstick.kept` finds.

    Raises:
        InputError: the table lacks a column or a measurement.
    """
    brought = kept(table, attributed, min_gain, bootstrap, seed)
    curves: dict[str, dict[str, Any]] = {}
    for ratio, rows in by_ratio(pd.DataFrame(table[table["curve"] == DELETION])).items():
        for method, by_degradation in effects(rows, attributed, min_gain, bootstrap, seed).items():
            for degradation, values in by_degradation.items():
                values |= brought.get(method, {}).get(degradation, {}).get(f"{ratio:g}", {})
                curves.setdefault(method, {}).setdefault(degradation, {})[f"{ratio:g}"] = values
    return curves


def curve_table(curves: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """``ratios.<target>`` as a table: a row per method, degradation and ratio; the quantities and their intervals.

    Where no gain is large enough to take a share of, ``removed`` and its interval are there without a value.
    """
    rows = [
        {"method": method, "degradation": degradation, "ratio": float(ratio)}
        | {name: value for name, value in values.items() if not isinstance(value, Mapping)}
        for method, by_degradation in curves.items()
        for degradation, by_ratios in by_degradation.items()
        for ratio, values in by_ratios.items()
    ]
    columns = dict.fromkeys(["method", "degradation", "ratio", *REMOVED, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(columns))


def quality_table(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """Mean PSNR in dB by ``network`` (baseline, target, the target with filters of ``method`` masked) and ``input``.

    ``table``: as :func:`faig.experiments.masking.measure` returns it, of one share of the filters.
    """
    masked = dict.fromkeys(table.loc[table["method"] == method, "degradation"])
    keys = {"baseline": BASELINE, "target": TARGET} | {f"{name} filters masked": Key(method, name) for name in masked}
    means = pd.DataFrame(table.groupby(["method", "degradation", "input"])["psnr"].mean()).reset_index()
    rows = {
        name: pd.DataFrame(means[(means["method"] == key.method) & (means["degradation"] == key.degradation)])
        for name, key in keys.items()
    }
    return pd.DataFrame(stacked(rows, "network"), columns=["network", "input", "psnr"])


def stacked(tables: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """Tables below one another, with their names in a first column; what a table lacks has no value in its rows."""
    return pd.concat(tables, names=[column]).reset_index(level=0).reset_index(drop=True)


def with_depths(
    values: Mapping[str, Mapping[str, Any]], layers: Layers, found: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """By degradation, its values and the mean relative depth of its filters (n,): 0 first and 1 last layer."""
    return {
        name: {**values[name], "mean_depth": float(layers.depths(filters).mean())} for name, filters in found.items()
    }


def check_results(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a score table's metadata tell of a target: ``kinship`` with its baseline, and ``checks`` by degradation.

    How alike the weights are: see :func:`faig.experiments.scoring.compare_weights`. How well integrals close: the worst
    degradation's ``convergence_error``, ``nodes`` and ``unconverged``, and each degradation's ``barrier`` in dB,
    ``improvement`` and ``learning_error``.
    """
    keys, checks = ("convergence_error", "nodes", "unconverged"), metadata["checks"]
    worst = {key: max(check[key] for check in checks.values() if key in check) for key in keys}
    return {**metadata["kinship"], **worst} | {
        key: {name: check[key] for name, check in checks.items() if key in check}
        for key in ("barrier", "improvement", "learning_error")
    }


def headline(results: Mapping[str, Any], target: str, method: str) -> dict[str, Any]:
    """The main target's few numbers: gains and losses in dB, shares from 0 to 1, of the filters of ``method``.

    What was not measured, as where a gain is too small to take a share of, is left out.
    """
    masked = results["mask"][target]
    own, random = masked[method], masked[CONTROL]

    def shares(of: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, float]:
        return {name: values[key] for name, values in of.items() if key in values}

    score = results["score"][target]
    accuracy = {
        f"{predictor}_{which}": values[f"accuracy_{which}"]
        for predictor, values in results["predict"].items()
        for which in ("attributed", "all")
    }
    return {
        "gain_db": {name: values["gain"] for name, values in results["finetune"][target].items()},
        "removed_by_masking": shares(own, "removed"),
        "removed_by_masking_at_random": shares(random, "removed"),
        "collateral_of_masking": shares(own, "collateral"),
        "clean_db_lost_by_masking": {name: values["lost_db"][CLEAN] for name, values in own.items()},
        "prediction_accuracy": accuracy,
        "faig_convergence_error": score["convergence_error"],
        "faig_barrier_db": max(score["barrier"].values()),
        "weights_correlation": score["correlation"],
    }
