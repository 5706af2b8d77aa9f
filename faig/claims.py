"""The paper's claims against what was measured: each a statistic, its interval, a threshold and a verdict."""

import json
from collections.abc import Mapping
from typing import Any

from faig.params import settings

VERDICTS = ("holds", "unsure", "fails", "not measured")
"""``unsure``: the value is on the right side of the threshold, but its interval is not."""


@settings
class ClaimParams:
    """One claim.

    ``says``: in words. ``metric``: where its statistic is, names joined by ``/``; the interval, where there is one, is
    beside it under ``_low`` and ``_high``. ``at_least`` or ``at_most``: the threshold, a number or another metric.
    """

    says: str
    metric: str
    at_least: float | str | None = None
    at_most: float | str | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.metric}: give one of at_least and at_most")


def look_up(metrics: Mapping[str, Any], place: str) -> float | None:
    """The number at ``place`` (names joined by ``/``); None where it was left out, with nothing to divide by.

    Raises:
        ValueError: there is nothing like it: names the first part that is not there, and what is.
    """
    value: Any = metrics
    *parents, last = place.split("/")
    for part in parents:
        if not isinstance(value, Mapping) or part not in value:
            known = ", ".join(value) if isinstance(value, Mapping) else json.dumps(value)
            raise ValueError(f"there is no metric {place}: {part} is not among {known}")
        value = value[part]
    found = value.get(last)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
        raise ValueError(f"metric {place} is not a number: {json.dumps(found)}")
    return found


def judge(claim: ClaimParams, metrics: Mapping[str, Any]) -> dict[str, float | str]:
    """Statistic, interval, threshold and verdict; only what was measured.

    Raises:
        ValueError: as :func:`look_up`.
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
