"""The page's sections of numbers: quality and gains, what masking takes, predictors, claims, settings, time."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from faig.figures.plots import label_of
from faig.page.images import shown_crops
from faig.page.run import Files, Missing, Run, methods_in
from faig.page.values import Kind, Number, Numbers, listed, phrase
from faig.report.claims import ClaimParams, judge
from faig.report.numbers import COLUMNS, to_results
from faig.report.prediction import evaluate_predictors, predictors

PACKAGES = ("faig", "torch", "numpy", "opencv-python", "pandas", "scikit-learn", "altair", "vl-convert-python")
MISSION = ("finetune", "score", "mask", "ratios", "predict")
"""What the names of the mission's numbers begin with that claims are about; all others are the argument's."""
ARGUMENT = "argument/dvc.yaml:"
"""What DVC puts before the names of the argument's stages."""
MARKS = {"holds": "✓", "unsure": "~", "fails": "✗", "not measured": "·"}
"""A sign beside each verdict's word."""
WORDS = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "unsure": (
        "is unsure, since its interval reaches over the threshold",
        "are unsure, since their intervals reach over the threshold",
    ),
}
"""What is said of one claim, and of several, of each verdict."""


def quality(numbers: Numbers, run: Run) -> dict[str, Any]:
    """Mean quality of baseline and target on each input, and the gains; what masking takes, by method.

    Raises:
        Missing: the numbers hold nothing of the main target.
    """
    place = f"finetune/{run.target}"
    inputs = [name for name in numbers.below(place) if numbers(f"{place}/{name}/gain")]
    if not inputs:
        raise Missing(
            f"The numbers of this run say nothing of the target {run.target}. `dvc repro summarize` makes them."
        )
    rows = [
        {
            "input": label_of(name),
            "baseline": numbers(f"{place}/{name}/psnr_baseline", "dB"),
            "target": numbers(f"{place}/{name}/psnr_target", "dB"),
            "gain": numbers(f"{place}/{name}/gain", "gain"),
            "ssim_baseline": numbers(f"{place}/{name}/ssim_baseline", "plain"),
            "ssim_target": numbers(f"{place}/{name}/ssim_target", "plain"),
        }
        for name in inputs
    ]
    gains = phrase([[row["gain"], f" on {row['input']}"] for row in rows])
    return {
        "rows": rows,
        "has_ssim": any(row["ssim_target"] for row in rows),
        "sentence": ["The gain, averaged over the test images, is ", *gains, "."],
    }


def masking(numbers: Numbers, run: Run) -> dict[str, Any]:
    """What masking at the run's ratio takes away, a row per method and degradation.

    Raises:
        Missing: it was not measured.
    """
    place = f"mask/{run.target}"
    rows = []
    for method in methods_in(numbers, run, "mask"):
        for name in (name for name in run.attributed if name in numbers.below(place, method)):
            row = f"{place}/{method}/{name}"
            rows.append(
                {
                    "method": label_of(method),
                    "degradation": label_of(name),
                    "removed": numbers(f"{row}/removed"),
                    "collateral": numbers(f"{row}/collateral"),
                    "lost": numbers(f"{row}/lost_db/{name}", "dB"),
                    "clean": numbers(f"{row}/lost_db/clean", "dB"),
                    "own": method == run.method,
                }
            )
    if not rows:
        raise Missing("Masking was not measured in this run. `dvc repro summarize` measures it.")
    return {"rows": rows}


# Predictors


def confusion(files: Files, run: Run, numbers: Numbers | None, room: int) -> dict[str, Any]:
    """Every predictor's confusion matrix, and the crops behind its cells, in PNG files of ``room`` bytes at most.

    Raises:
        Missing: nothing was predicted.
    """
    table = files.table("predictions", columns=["set", "class", "image"])
    if "test" not in set(table["set"]):
        raise Missing("No test crop was predicted in this run. `dvc repro predict` does that.")
    try:
        named, _ = evaluate_predictors(table, run.attributed, run.classes, run.bootstrap)
    except ValueError as error:
        raise Missing(f"The predictions of this run cannot be evaluated: {error}.") from error
    shown: dict[str, pd.DataFrame] = {}
    matrices = []
    for name in predictors(table):
        shown[name] = pd.DataFrame({"class": named["class"], "image": named["image"], "named": named[name].astype(str)})
        counts = shown[name].groupby(["class", "named"]).size().to_dict()
        cells = [[int(counts.get((actual, said), 0)) for said in run.classes] for actual in run.classes]
        place = f"predict/{name}"
        matrices.append(
            {
                "key": name,
                "label": label_of(name),
                "cells": cells,
                "most": max(map(max, cells)),
                "accuracy": numbers(f"{place}/accuracy_all") if numbers else None,
                "accuracy_attributed": numbers(f"{place}/accuracy_attributed") if numbers else None,
            }
        )
    try:
        crops, counts = shown_crops(shown, files["lr"], room)
    except Missing:
        crops, counts = [], {"shown": 0, "all": len(named), "wrong": 0}
    accuracies = [matrix for matrix in matrices if matrix["accuracy"]]
    parts = [
        [matrix["accuracy"], f"{'' if place else ' of all crops'} by {matrix['label']}"]
        for place, matrix in enumerate(accuracies)
    ]
    chance = f"; by guessing it would be {100 / len(run.classes):.0f} %."
    sentence = ["Named rightly are ", *phrase(parts), chance] if parts else []
    return {
        "sentence": sentence,
        "classes": [{"key": name, "label": label_of(name)} for name in run.classes],
        "matrices": matrices,
        "crops": crops,
        "counts": counts,
        "href": files.link(files["predictions"]),
    }


# Claims


def claims(
    asked: Mapping[str, ClaimParams], mission: Numbers | None, argument: Numbers | None, href: str
) -> dict[str, Any]:
    """Every claim with its number, threshold and verdict; those that were not measured apart.

    ``href``: link to the file of the claims.

    Raises:
        InputError: a claim's number is none.
    """
    rows = {name: row for numbers in (mission, argument) if numbers for name, row in numbers.rows.items()}
    known = to_results(pd.DataFrame([(name, *row) for name, row in rows.items()], columns=list(COLUMNS)))

    def numbered(name: str, kind: Kind) -> Number | None:
        return next((each(name, kind) for each in (mission, argument) if each and name in each.rows), None)

    judged, others = [], []
    for name, claim in asked.items():
        found = judge(claim, known)
        row = {"says": claim.says, "set": claim.set, "verdict": found["verdict"], "mark": MARKS[str(found["verdict"])]}
        bound = claim.at_least if claim.at_least is not None else claim.at_most
        if found["verdict"] == "not measured":
            names = [place for place in (claim.metric, bound) if isinstance(place, str)]
            others.append({**row, "of_mission": all(place.split("/")[0] in MISSION for place in names)})
            continue
        kind = kind_of(claim.metric)
        fixed = Number(float(found["threshold"]), "dB" if kind == "gain" else kind, f"{name}: {bound}", href)
        row |= {
            "number": numbered(claim.metric, kind),
            "asked": "at least" if claim.at_least is not None else "at most",
            "threshold": (numbered(bound, kind) if isinstance(bound, str) else None) or fixed,
        }
        judged.append(row)
    counts = {verdict: sum(row["verdict"] == verdict for row in judged) for verdict in WORDS}
    parts = [f"{count} {WORDS[verdict][count != 1]}" for verdict, count in counts.items() if count]
    sentence = f"This run can judge {len(judged)} claim{'s' if judged[1:] else ''}: {listed(parts)}."
    return {"judged": judged, "others": others, "sentence": [sentence] if judged else []}


def kind_of(name: str) -> Kind:
    """How the number of that name is written."""
    last = name.split("/")[-1]
    if last in ("gain", "lead"):
        return "gain"
    shares = ("removed", "collateral", "selectivity", "kept", "recovered", "behind", "accuracy")
    return "share" if last.startswith(shares) else "plain"


# What it was made with


def settings(shown: Mapping[str, Any]) -> list[dict[str, str]]:
    """Settings as key and text, nested ones by dotted keys."""
    return [{"key": key, "value": text} for key, text in _flat(shown)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value and any(isinstance(part, Mapping | list) for part in value.values()):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", _text(value)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value) or "none"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def versions() -> list[dict[str, str]]:
    """Python and the packages that results depend on; nothing is imported."""
    found = [{"name": "Python", "version": platform.python_version()}]
    for name in PACKAGES:
        try:
            found.append({"name": name, "version": version(name)})
        except PackageNotFoundError:
            continue
    return found


def timings(noted: Sequence[Mapping[str, object]], *, has_argument: bool) -> dict[str, Any]:
    """Time and memory per stage, in the order of the last runs, and their sum.

    The pages' own stages are left out, and those of the argument where the page does not show it: what ran after a page
    was written does not change the page that is written next.

    Raises:
        Missing: nothing was noted.
    """
    rows = [
        {
            "stage": str(row["stage"]).removeprefix(ARGUMENT),
            "seconds": float(str(row["seconds"])),
            "memory": float(str(row["peak_memory_mib"])),
        }
        for row in noted
        if str(row["stage"]).removeprefix(ARGUMENT) not in ("report", "report_argument")
        and (has_argument or not str(row["stage"]).startswith(ARGUMENT))
    ]
    if not rows:
        raise Missing("No time was noted: DVC has run no stage with these settings on this machine.")
    return {"rows": rows, "longest": max(row["seconds"] for row in rows), "total": sum(row["seconds"] for row in rows)}
