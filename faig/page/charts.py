"""The page's charts: Vega-Lite specifications, drawn by the page's script in the colours of its scheme."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from faig.figures.plots import READABLE, colours_of, label_of
from faig.page.run import Missing, Run, methods_in
from faig.page.values import Numbers, alternating

QUANTITIES = {
    "removed": "Removed: of the gain on {}, when the filters found for it are masked",
    "collateral": "Collateral: of the gain on another degradation, at most, when the filters found for {} are masked",
    "kept": "Kept: of the gain on {}, when all filters but those are masked",
}
"""What the curves over the ratio show, and how each is called."""
HEIGHT = 230
HIT = 300
"""Area in pixels around a point that shows its tooltip."""


def ratio_charts(numbers: Numbers, run: Run) -> dict[str, Any]:
    """Curves over the share of the filters, a chart per quantity and degradation, a line per method.

    Returns:
        ``methods``: key, label and colour; ``charts``: id, title, spec; ``rows``: all numbers, as a table shows them.

    Raises:
        Missing: no curve was measured.
    """
    place = f"ratios/{run.target}"
    methods = methods_in(numbers, run, "ratios")
    charts, rows = [], []
    for quantity, title in QUANTITIES.items():
        found = {name: _points(numbers, place, methods, name, quantity) for name in run.attributed}
        limits = _limits([point["y"] for points in found.values() for point in points])
        for degradation, points in found.items():
            if points:
                chart = {"id": f"{quantity}-{degradation}", "title": title.format(label_of(degradation))}
                charts.append({**chart, "spec": lines(points, methods, limits=limits)})
    for method in methods:
        for degradation in (name for name in run.attributed if name in numbers.below(place, method)):
            for ratio in sorted(numbers.below(place, method, degradation), key=float):
                row = f"{place}/{method}/{degradation}/{ratio}"
                values = {name: numbers(f"{row}/{name}") for name in QUANTITIES}
                labels = {"method": label_of(method), "degradation": label_of(degradation), "ratio": float(ratio)}
                rows.append({**labels, **values, "lost": numbers(f"{row}/lost_db/{degradation}", "dB")})
    if not rows:
        raise Missing("No curve over the ratio was measured in this run. `dvc repro summarize` measures them.")
    colours = colours_of(methods)
    legend = [{"key": name, "label": label_of(name), "colour": colours[name]} for name in methods]
    return {"methods": legend, "charts": charts, "rows": rows, "best": _best(numbers, run, methods)}


def _best(numbers: Numbers, run: Run, methods: Sequence[str]) -> list[object]:
    """Which method's filters, at the run's share or the nearest one, remove most beyond what they take along."""
    clauses: list[list[object]] = []
    for degradation in run.attributed:
        found = []
        for method in methods:
            place = f"ratios/{run.target}/{method}/{degradation}"
            ratios = numbers.below(place)
            if ratios:
                ratio = min(ratios, key=lambda each: abs(float(each) - run.ratio))
                removed, along = (numbers(f"{place}/{ratio}/{name}") for name in ("removed", "collateral"))
                if removed is not None:
                    net = min(removed.value, 1) - (max(along.value, 0) if along else 0)
                    found.append((net, method, ratio, removed, along))
        if found:
            _, method, ratio, removed, along = max(found, key=lambda each: each[0])
            clause = [f"for {label_of(degradation)} those of {label_of(method)}, which take away ", removed]
            clauses.append([*clause, " and take along ", along] if along else clause)
    if not clauses:
        return []
    start = (
        f"Of the sets of about {100 * run.ratio:g} % of the filters, the best by what they take away beyond what they "
    )
    return [f"{start}take along are ", *alternating(clauses, "; "), "."]


def _points(
    numbers: Numbers, place: str, methods: Sequence[str], degradation: str, quantity: str
) -> list[dict[str, Any]]:
    points = []
    for method in methods:
        for ratio in numbers.below(place, method, degradation):
            number = numbers(f"{place}/{method}/{degradation}/{ratio}/{quantity}")
            if number is not None:
                said = f"{label_of(method)}, {100 * float(ratio):g} % of the filters: {number.text} {number.interval}"
                ends = {"low": number.low, "high": number.high}
                points.append({"series": method, "x": float(ratio), "y": number.value, **ends, "said": said.strip()})
    return sorted(points, key=lambda point: (methods.index(point["series"]), point["x"]))


def lines(
    points: Sequence[Mapping[str, Any]],
    series: Sequence[str],
    *,
    x_title: str = "share of the filters",
    y_title: str = "share of the gain",
    limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """A line per series with a band for its intervals; a point says its number when the pointer is near.

    With ``limits`` of y, shares of a gain over shares of the filters, on a logarithmic axis.

    Args:
        points: each series, x, y, low, high (None: no interval) and said, the tooltip.
        series: their names, in the order of their colours.
        x_title: of the axis.
        y_title: of the axis.
        limits: of y.
    """
    table, colours = pd.DataFrame(list(points)), colours_of(series)
    y = alt.Scale(domain=list(limits), nice=False) if limits else alt.Scale(zero=False)
    x = alt.Scale(type="log" if limits else "linear", nice=False, padding=12)
    percent: dict[str, Any] = {"format": "~%"}
    ticks: dict[str, Any] = {"values": sorted(set(table["x"]))} if limits else {"tickCount": 6}
    colour = alt.Color(
        "series:N", scale=alt.Scale(domain=list(series), range=[colours[name] for name in series]), legend=None
    )
    base = alt.Chart(table).encode(
        x=alt.X("x:Q", scale=x, axis=alt.Axis(title=x_title, grid=False, **(percent if limits else {}), **ticks)),
        color=colour,
        detail="series:N",
    )
    axis = alt.Axis(title=y_title, tickCount=5, **(percent if limits else {}))
    of_y = alt.Y("y:Q", scale=y, axis=axis)
    layers = [
        base.mark_area(aria=False, opacity=0.16, clip=True).encode(y=alt.Y("low:Q", scale=y, axis=axis), y2="high:Q"),
        base.mark_line(aria=False, strokeWidth=2, clip=True).encode(y=of_y),
        base.mark_point(aria=False, filled=True, size=38, opacity=1, clip=True).encode(y=of_y),
        base.mark_point(aria=False, filled=True, size=HIT, opacity=0, clip=True).encode(y=of_y, tooltip="said:N"),
    ]
    if not np.isfinite(table["low"].to_numpy(float)).any():
        layers = layers[1:]
    shown = alt.param(name="shown", value=list(series))
    chart = alt.layer(*layers).transform_filter("indexof(shown, datum.series) >= 0").add_params(shown)
    return _spec(chart)


def bars(rows: Sequence[Mapping[str, Any]], order: Sequence[str], colour: str, x_title: str) -> dict[str, Any]:
    """A dot with its interval per row: label, value, low, high, said; ``order`` of the labels from the top."""
    table = pd.DataFrame(list(rows))
    base = alt.Chart(table).encode(y=alt.Y("label:N", sort=list(order), axis=alt.Axis(title=None, labelLimit=170)))
    axis = alt.Axis(title=x_title, format="~%", tickCount=5)
    of_x = alt.X("value:Q", axis=axis)
    layers = [
        base.mark_rule(aria=False, color=colour, strokeWidth=2).encode(x=alt.X("low:Q", axis=axis), x2="high:Q"),
        base.mark_point(aria=False, filled=True, size=70, opacity=1, color=colour).encode(x=of_x),
        base.mark_point(aria=False, filled=True, size=HIT, opacity=0, color=colour).encode(x=of_x, tooltip="said:N"),
    ]
    return _spec(alt.layer(*layers), height=28 * len(order))


def _spec(chart: alt.LayerChart | alt.FacetChart, height: int = HEIGHT) -> dict[str, Any]:
    """The chart as plain data, as wide as its place, without what the page's script adds in its scheme's colours."""
    spec = chart.properties(width="container", height=height).to_dict()
    spec.pop("config", None)
    return spec


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits that hold 0, 1 and every value within :data:`READABLE`."""
    shown = np.append(np.clip(values, *READABLE), [0.0, 1.0])
    margin = 0.06 * float(np.ptp(shown))
    return float(shown.min()) - margin, float(shown.max()) + margin
