"""The argument's numbers and figures, from score tables and from what the argument's stages measured."""

from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from faig.base.params import Name, NonNegative, Ratio, Seed, load_params
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import Method, discovered_by, read_layers
from faig.figures.charts import modulation_chart, retraining_chart, severity_chart
from faig.figures.pictures import modulation_picture
from faig.report.agreement import agreement, depth_profile, specialists
from faig.report.argument import (
    best_pair,
    summarize_branches,
    summarize_dials,
    summarize_plugins,
    summarize_retraining,
    summarize_severity,
)
from faig.report.prediction import evaluate_predictors
from stages.shared.outputs import read_parquet


def compare_targets(scores: Path) -> dict[str, Any]:
    """Do the main target and its specialists keep a degradation's removal in the same filters, and how deep?"""
    targets, main_target = load_params("targets", dict[Name, TargetParams]), load_params("main_target", Name)
    bootstrap = load_params("bootstrap", BootstrapParams)
    method, ratio = load_params("method", Method), load_params("mask_ratio", Ratio)
    generator = np.random.default_rng(derive_seed(load_params("seed", Seed), "agreement"))
    layers = read_layers(scores / f"{main_target}.parquet")
    found = {name: discovered_by(scores / f"{name}.parquet", ratio, len(layers.numbers), method) for name in targets}
    experts = specialists(targets, main_target)
    for name in set(targets[main_target].attribute) - set(experts):
        click.echo(f"no target is trained on {name} alone: its filters are compared with nobody's")
    others = {name: found[expert][name] for name, expert in experts.items()}
    return {
        "agreement": agreement(layers, found[main_target], others, bootstrap, generator),
        "depth": {name: depth_profile(layers, filters, bootstrap, generator) for name, filters in found.items()},
    }


def summaries(measured: Path, plots: Path) -> dict[str, Any]:
    """Numbers of what the argument's stages measured, by stage; draws their figures."""
    targets, main_target = load_params("targets", dict[Name, TargetParams]), load_params("main_target", Name)
    bootstrap, min_gain = load_params("bootstrap", BootstrapParams), load_params("min_gain", NonNegative)
    seed = derive_seed(load_params("seed", Seed), "bootstrap")
    attributed = targets[main_target].attribute

    def read(name: str) -> pd.DataFrame:
        return read_parquet(measured / f"{name}.parquet")

    alone, both = read("dials"), read("dial_pairs")
    modulated: dict[str, Any] = summarize_dials(alone, bootstrap, seed)
    if len(both):
        modulated[str(both["input"].to_list()[0])] = best_pair(both, attributed[:2])
    modulation_chart(alone, both, list(attributed), plots / "modulation.png")
    modulation_picture(read("dial_pictures"), plots / "modulation_strip.png")
    retrained = {
        str(name): summarize_retraining(rows, min_gain, bootstrap, np.random.default_rng(seed))
        for name, rows in read("retraining").groupby("input", sort=False)
    }
    retraining_chart(retrained, plots / "retraining.png")
    severity = read("severity")
    severity_chart(severity, plots / "severity.png")
    classes = load_params("predict.classes", list[Name])
    _, predicted = evaluate_predictors(read("predictors"), attributed, classes, bootstrap, direct=["classifier"])
    return {
        "modulate": modulated,
        "retrain": retrained,
        "plugins": summarize_plugins(read("plugins"), min_gain, bootstrap, np.random.default_rng(seed)),
        "compare_branches": summarize_branches(read("branches"), bootstrap, np.random.default_rng(seed)),
        "compare_predictors": predicted,
        "severity": summarize_severity(severity, bootstrap, np.random.default_rng(seed)),
    }
