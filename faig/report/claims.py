"""The paper's claims against what was measured: each a statistic, its interval, a threshold and a verdict."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from faig.base.errors import InputError
from faig.base.params import Finite, settings

SECTIONS = (
    "finetune",
    "score",
    "mask",
    "ratios",
    "predict",
    "modulate",
    "compare_targets",
    "retrain",
    "plugins",
    "compare_branches",
    "compare_predictors",
    "severity",
)
"""What a metric's name may begin with; ``ratios``: the curves over the share of filters masked."""
VERDICTS = ("holds", "unsure", "fails", "not measured")
"""``unsure``: the value is on the right side of the threshold, but its interval is not."""


@settings
class ClaimParams:
    """One claim.

    ``says``: in words. ``metric``: the name of its statistic, parts joined by ``/``; the interval, where there is one,
    is beside it under ``_low`` and ``_high``. ``at_least`` or ``at_most``: the threshold, a number or another metric.
    ``set``: whether the threshold was set before the first run that measured the statistic, or after.
    """

    says: str
    metric: str
    set: Literal["before", "after"]
    at_least: Finite | str | None = None
    at_most: Finite | str | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise InputError(f"{self.metric}: give one of at_least and at_most")
        for place in (self.metric, self.at_least, self.at_most):
            if isinstance(place, str) and place.split("/")[0] not in SECTIONS:
                raise InputError(f"{place} begins with none of {', '.join(SECTIONS)}")


def look_up(metrics: Mapping[str, Any], place: str) -> float | None:
    """The number at ``place`` (names joined by ``/``).

    None where there is none: left out, with nothing to divide by, or of a degradation, method or ratio that this run
    did not measure.

    Raises:
        InputError: what is there is not a number.
    """
    value: Any = metrics
    for part in place.split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InputError(f"metric {place} is not a number: {json.dumps(value)}")
    return value


def judge(claim: ClaimParams, metrics: Mapping[str, Any]) -> dict[str, float | str]:
    """Statistic, interval, threshold and verdict; only what was measured.

    Raises:
        InputError: as :func:`look_up`.
    """
    rising = claim.at_least is not None
    bound = claim.at_least if rising else claim.at_most
    threshold = look_up(metrics, bound) if isinstance(bound, str) else bound
    names = {"value": "", "low": "_low", "high": "_high"}
    found = {name: look_up(metrics, claim.metric + end) for name, end in names.items()} | {"threshold": threshold}
    result: dict[str, float | str] = {name: value for name, value in found.items() if value is not None}
    if "value" not in result or threshold is None:
        return {**result, "verdict": "not measured"}
    sign = 1 if rising else -1
    margins = {name: sign * (found[name] - threshold) for name in names if found[name] is not None}  # pyright: ignore
    verdict = "fails" if margins["value"] < 0 else "unsure" if min(margins.values()) < 0 else "holds"
    return {**result, "verdict": verdict}


def over_seeds(
    claims: Mapping[str, ClaimParams], runs: Sequence[Mapping[str, Mapping[str, Any]]], *, level: float
) -> list[dict[str, Any]]:
    """Every claim over several runs that differ in their seed alone.

    Args:
        runs: by claim what :func:`judge` returned, of each run.
        level: of Student's t interval over the runs.

    Returns:
        By claim ``value`` and ``threshold`` (means over the runs), ``margin``: how far the value is on the right side,
        with its interval ``margin_low`` and ``margin_high``, ``num_runs`` that measured it, in how many of them the
        value is on the right side, ``num_right``, and the ``verdict`` by that interval.

    Raises:
        InputError: fewer than two runs, or a level that is not between 0 and 1.
    """
    from scipy.stats import t as student  # slow to import; no stage comes here

    if len(runs) < 2 or not 0 < level < 1:
        raise InputError(f"an interval at level {level} over {len(runs)} seeds: two seeds are needed at least")
    rows = []
    for name, claim in claims.items():
        found = [run[name] for run in runs if "value" in run.get(name, {}) and "threshold" in run[name]]
        row = {"claim": name, "says": claim.says, "num_runs": len(found)}
        if len(found) < 2:
            rows.append({**row, "verdict": "not measured"})
            continue
        values, thresholds = (np.array([run[key] for run in found]) for key in ("value", "threshold"))
        margins = values - thresholds if claim.at_least is not None else thresholds - values
        half = student.ppf((1 + level) / 2, len(found) - 1) * margins.std(ddof=1) / np.sqrt(len(found))
        mean = float(margins.mean())
        row |= {"value": values.mean(), "threshold": thresholds.mean(), "margin": mean}
        row |= {"margin_low": mean - half, "margin_high": mean + half, "num_right": int((margins >= 0).sum())}
        rows.append({**row, "verdict": "fails" if mean < 0 else "unsure" if mean < half else "holds"})
    return rows
