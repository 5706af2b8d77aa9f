"""When do locations and connections matter? The retrain stage under other conditions, one changed at a time.

``python -m benchmarks.studies.conditions`` after ``dvc repro`` of the preset ``srresnet_32x8``: reads the networks and
scores in data/, runs ``stages.retrain`` with other values, and writes benchmarks/studies/results/conditions.json.
Conditions that are there already stay unless named.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.common import results_file, write
from faig.base.params import validate
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.report.argument import summarize_retraining

ROOT = Path(__file__).resolve().parents[2]
SPECIALISTS = "filters of the specialist"
CONDITIONS: dict[str, dict[str, Any]] = {
    "3 %, 100 iterations": {},
    "ratio 0.01": {"mask_ratio": 0.01},
    "ratio 0.1": {"mask_ratio": 0.1},
    "30 iterations": {"iterations": 30},
    "300 iterations": {"iterations": 300},
    "learning rate 3e-3": {"learning_rate": 3.0e-3},
    "learning rate 3e-4": {"learning_rate": 3.0e-4},
    SPECIALISTS: {},
}
"""What differs from ``mask_ratio`` or ``retrain.training`` of params.yaml."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(CONDITIONS)))
@click.option("--threads", default=None, type=int, help="CPU threads")
def main(names: tuple[str, ...], threads: int | None) -> None:
    """Measure the named conditions, or those that the results lack."""
    known: dict[str, Any] = {}
    if (path := results_file("studies/conditions")).exists():
        known = json.loads(path.read_text(encoding="utf-8"))["conditions"]
    for name in names or [name for name in CONDITIONS if name not in known]:
        click.echo(name)
        tables = ["only_blur", "only_noise"] if name == SPECIALISTS else ["blind"]
        known[name] = {}
        for table in tables:
            known[name] |= retrain(CONDITIONS[name], ROOT / f"data/scores/{table}.parquet", threads)
        write("studies/conditions", {"conditions": known})


def retrain(changes: dict[str, Any], scores: Path, threads: int | None) -> dict[str, Any]:
    """What each variant recovers, by degradation."""
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    training = params["retrain"]["training"]
    for key, value in changes.items():
        (training if key in training else params)[key] = value
    training["log_every"] = training["checkpoint_every"] = training["iterations"]
    params["compute"]["threads"] = threads
    with tempfile.TemporaryDirectory() as folder:
        YAML().dump(params, Path(folder, "params.yaml"))
        data = ROOT / "data"
        options = {
            "hr": data / "hr",
            "lr": data / "lr",
            "pairs": data / "pairs/blind.csv",
            "baseline": data / "networks/baseline.safetensors",
            "network": data / "networks/blind.safetensors",
            "scores": scores,
            "output": "retraining.parquet",
        }
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", "stages.retrain", *words], cwd=folder, env=environment, check=True)
        table = pd.read_parquet(Path(folder, "retraining.parquet"))
    bootstrap = validate("bootstrap", params["bootstrap"], BootstrapParams, source="params.yaml")
    seed = derive_seed(params["seed"], "bootstrap")
    return {
        str(name): summarize_retraining(rows, params["min_gain"], bootstrap, np.random.default_rng(seed))
        for name, rows in table.groupby("input", sort=False)
    }


if __name__ == "__main__":
    main()
