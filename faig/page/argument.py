"""What the rest of the argument measured: dials, training of few filters, plug-ins, predictors, branches, severity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from faig.base.statistics import bootstrap_means, percentile_interval
from faig.figures.plots import BLUE, colours_of, label_of
from faig.page.charts import bars, lines
from faig.page.run import Files, Missing, Run
from faig.page.values import Number, Numbers

VARIANTS = {
    "all": "all filters",
    "discovered": "the discovered filters",
    "same_count": "as many per layer",
    "rewired": "as many per output channel",
    "random": "as many anywhere",
    "grafted": "none, weights grafted",
    "shuffled": "none, kernels shuffled",
}
"""What was trained in the retraining, in the order of the table."""

PLUGGED = {
    "plugin": "its own plug-in",
    "full": "the whole network, trained on it alone",
    "plugins_together": "the plug-ins of all degradations together",
    "plugins_in_turn": "plug-ins of all degradations, each trained upon those before it",
    "tasks_together": "the task vectors of all degradations added",
    "plugin_joint": "one plug-in, trained on all degradations",
    "full_joint": "the whole network, trained on all degradations",
}
"""What the baseline was given in the experiment with plug-ins, in the order of the table."""


def shown(files: Files, run: Run, numbers: Numbers | str) -> dict[str, Any]:
    """The argument's parts, each None where it was not measured.

    Raises:
        Missing: none was measured.
    """
    if isinstance(numbers, str):
        raise Missing(numbers)
    parts = {
        "dials": _curves(files, run, "dials", ("dial", "value", "input", "image", "psnr")),
        "severity": _curves(files, run, "severity", ("degradation", "value", "filters", "image", "response")),
        "retraining": _retraining(numbers, run),
        "plugins": _plugins(numbers, run),
        "predictors": _predictors(numbers, run),
        "branches": _branches(numbers),
    }
    if not any(parts.values()):
        raise Missing("The argument's numbers hold nothing that is shown here. `make argument` makes them.")
    return parts


def _curves(files: Files, run: Run, name: str, columns: Sequence[str]) -> dict[str, Any] | None:
    """Means over images with their intervals: a chart per value of the first column, a line per value of the third."""
    panel, value, series, image, measure = columns
    try:
        table = files.table("measured", f"{name}.parquet", columns=columns)
    except Missing:
        return None
    names = [str(each) for each in dict.fromkeys(table[series])]
    if not names:
        return None
    if measure == "response":
        table = table.assign(response=table["response"] * 20 / np.log(10))  # dB of the full range
    charts, shown_rows = [], []
    href = files.link(files["measured"] / f"{name}.parquet")
    for of, rows in table.groupby(panel, sort=False):
        own = label_of(str(of))
        parts = {each: pd.DataFrame(rows[rows[series] == each]) for each in names}
        points = [point for each in names for point in _means(parts[each], each, value, image, measure, run)]
        title = f"{own} filters turned" if name == "dials" else f"{own} inputs"
        x_title = f"lambda of the {own} filters" if name == "dials" else "level"
        y_title = "PSNR in dB" if name == "dials" else "response in dB"
        spec = lines(points, names, x_title=x_title, y_title=y_title)
        charts.append({"id": f"argument-{name}-{of}", "title": title, "spec": spec})
        for point in points:
            number = Number(point["y"], "dB", f"mean {measure}", href, point["low"], point["high"])
            labels = {"panel": own, "series": label_of(point["series"]), "at": point["x"]}
            shown_rows.append({**labels, "number": number})
    colours = colours_of(names)
    kind = "inputs" if name == "dials" else "filters"
    legend = [{"key": each, "label": f"{label_of(each)} {kind}", "colour": colours[each]} for each in names]
    return {"charts": charts, "legend": legend, "rows": shown_rows, "href": href}


def _means(rows: pd.DataFrame, series: str, value: str, image: str, measure: str, run: Run) -> list[dict[str, Any]]:
    """Mean over images at each value, with a bootstrap interval over images."""
    by_image = rows.pivot_table(index=image, columns=value, values=measure).dropna()
    if by_image.empty:
        return []
    generator = np.random.default_rng(run.seed)
    samples = bootstrap_means(by_image.to_numpy(), num_resamples=run.bootstrap.num_resamples, generator=generator)
    points = []
    for place, (at, mean) in enumerate(by_image.mean(axis=0).items()):
        low, high = percentile_interval(samples[:, place], confidence=run.bootstrap.confidence)
        number = Number(float(mean), "dB", "", "", low, high)
        text = f"{label_of(series)}, at {at:g}: {number.text} {number.interval}"
        points.append({"series": series, "x": float(str(at)), "y": float(mean), "low": low, "high": high, "said": text})
    return points


def _retraining(numbers: Numbers, run: Run) -> dict[str, Any] | None:
    rows = [
        {"label": label, **{name: numbers(f"retrain/{name}/{variant}/recovered") for name in run.attributed}}
        for variant, label in VARIANTS.items()
    ]
    rows = [row for row in rows if any(row[name] for name in run.attributed)]
    charts = []
    for name in run.attributed:
        found = [(row["label"], number) for row in rows if (number := row[name]) is not None]
        if found:
            points = [
                {
                    "label": label,
                    "value": n.value,
                    "low": n.low,
                    "high": n.high,
                    "said": f"{label}: {n.text} {n.interval}".strip(),
                }
                for label, n in found
            ]
            colour = colours_of([name])[name]
            title = f"Recovered of the gain on {label_of(name)}"
            spec = bars(points, [label for label, _ in found], colour or BLUE, "share of the gain")
            charts.append({"id": f"retraining-{name}", "title": title, "spec": spec})
    return {"rows": rows, "charts": charts} if rows else None


def _plugins(numbers: Numbers, run: Run) -> dict[str, Any] | None:
    """What each variant gains on each attributed degradation, and a sentence on each degradation's own plug-in."""
    rows: list[dict[str, Any]] = []
    sentence: list[object] = []
    for name in run.attributed:
        place = f"plugins/{name}"
        for variant in (each for each in PLUGGED if each in numbers.below("plugins", name)):
            gained = numbers(f"{place}/{variant}/gained_db", "gain")
            shares = {key: numbers(f"{place}/{variant}/{key}") for key in ("recovered", "kept")}
            rows.append({"degradation": label_of(name), "label": PLUGGED[variant], "gained": gained, **shares})
        size, part = numbers(f"{place}/plugin/bytes", "count"), numbers(f"{place}/plugin/of_full")
        if size and part:
            sentence += [f"The plug-in for {label_of(name)} takes ", size, " bytes, ", part]
            sentence += [" of what the whole network takes", *_gained(numbers, place), ". "]
    return {"rows": rows, "sentence": sentence} if rows else None


def _gained(numbers: Numbers, place: str) -> list[object]:
    """What a plug-in gains and keeps, as far as shares of it were taken: the end of its sentence."""
    recovered, kept, tasks, turns = (
        numbers(f"{place}/{name}")
        for name in ("plugin/recovered", "plugins_together/kept", "tasks_together/kept", "plugins_in_turn/kept")
    )
    parts: list[object] = []
    if recovered:
        parts += [", and gains ", recovered, " of what training the whole network on it gains"]
    if kept:
        parts += ["; put in together with the others, it keeps ", kept, " of its gain"]
    if kept and tasks:
        parts += [", while added task vectors keep ", tasks, " of theirs"]
    if kept and turns:
        parts += ["; where each was trained upon those before it, ", turns, " of its gain are reached"]
    return parts


def _predictors(numbers: Numbers, run: Run) -> list[dict[str, Any]] | None:
    rows = []
    for predictor in numbers.below("compare_predictors"):
        place = f"compare_predictors/{predictor}"
        found = {key: numbers(f"{place}/{key}") for key in ("accuracy_attributed", "accuracy_all")}
        rows.append({"label": label_of(predictor), **found})
    return rows or None


def _branches(numbers: Numbers) -> list[dict[str, Any]] | None:
    rows = []
    for name in numbers.below("compare_branches"):
        place = f"compare_branches/{name}"
        if lead := numbers(f"{place}/lead", "gain"):
            one, two = (numbers(f"{place}/psnr_{kind}", "dB") for kind in ("one_branch", "two_branches"))
            rows.append({"label": label_of(name), "one": one, "two": two, "lead": lead})
    return sorted(rows, key=lambda row: row["label"] == "mean") or None
