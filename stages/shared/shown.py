"""The settings of a run as its report shows them."""

from typing import Any

from faig.base.params import Name, NonNegative, Ratio, Seed, load_params
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import Method
from faig.page.run import Run


def run_of_params() -> Run:
    """What the report is made by, and what it lists."""
    targets, main_target = load_params("targets", dict[Name, TargetParams]), load_params("main_target", Name)
    shown = {
        "seed": load_params("seed", Seed),
        "method": load_params("method", Method),
        "mask_ratio": load_params("mask_ratio", Ratio),
        "main_target": main_target,
        "granularity": load_params("granularity", str),
        "min_gain": load_params("min_gain", NonNegative),
        "bootstrap": load_params("bootstrap", Any),
        "scale": load_params("scale", int),
        "downsampling": load_params("downsampling", str),
        "degradations": load_params("degradations", Any),
        "targets": load_params("targets", Any),
        "network": load_params("network", Any),
        "dataset.source": load_params("dataset.source", str),
        "dataset.train": load_params("dataset.train", str),
        "dataset.test": load_params("dataset.test", str),
        "dataset.limit": load_params("dataset.limit", int | None),
        "dataset.test_tiles": load_params("dataset.test_tiles", Any),
        "train_baseline": load_params("train_baseline", Any),
        "finetune": load_params("finetune", Any),
        "score": load_params("score", Any),
        "predict.classes": load_params("predict.classes", list[Name]),
    }
    return Run(
        target=main_target,
        attributed=targets[main_target].attribute,
        method=shown["method"],
        ratio=shown["mask_ratio"],
        scale=shown["scale"],
        min_gain=shown["min_gain"],
        bootstrap=load_params("bootstrap", BootstrapParams),
        classes=shown["predict.classes"],
        picture=load_params("mask.picture", int),
        seed=derive_seed(shown["seed"], "bootstrap"),
        shown=shown,
    )
