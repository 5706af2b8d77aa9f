"""When do locations and connections matter? The retrain stage under other conditions, one changed at a time.

``python benchmarks/conditions.py`` after ``dvc repro``: reads the networks and scores in data/, runs ``stages.retrain``
with other values, and writes results/conditions.json. Conditions that are there already stay unless named.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from common import RESULTS, write

from presets.apply import overlay

ROOT = Path(__file__).resolve().parents[1]
CONDITIONS = {
    "as in params.yaml": "",
    "ratio 0.01": "{ratio: 0.01}",
    "ratio 0.1": "{ratio: 0.1}",
    "30 iterations": "{training: {iterations: 30, log_every: 30, checkpoint_every: 30}}",
    "400 iterations": "{training: {iterations: 400}}",
    "learning rate 3e-3": "{training: {learning_rate: 3.0e-3}}",
    "learning rate 3e-4": "{training: {learning_rate: 3.0e-4}}",
    "filters of the specialist": "",
}
"""What differs from the section ``retrain`` of params.yaml."""
SPECIALISTS = "filters of the specialist"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(CONDITIONS)))
@click.option("--threads", default=None, type=int, help="CPU threads")
def main(names: tuple[str, ...], threads: int | None) -> None:
    """Measure the named conditions, or those that the results lack."""
    known: dict[str, Any] = {}
    if (path := RESULTS / "conditions.json").exists():
        known = json.loads(path.read_text(encoding="utf-8"))["conditions"]
    for name in names or [name for name in CONDITIONS if name not in known]:
        click.echo(name)
        tables = ["blur", "noise"] if name == SPECIALISTS else ["blind"]
        known[name] = {}
        for table in tables:
            known[name] |= retrain(CONDITIONS[name], ROOT / f"data/scores/{table}.parquet", threads)
        write("conditions", {"conditions": known})


def retrain(changes: str, scores: Path, threads: int | None) -> dict[str, Any]:
    """What each variant recovers, by degradation."""
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    if changes:
        params = overlay(params, f"retrain: {changes}", source="condition")
    if threads is not None:
        params = overlay(params, f"compute: {{threads: {threads}}}", source="condition")
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "params.yaml").write_text(params, encoding="utf-8")
        data = ROOT / "data"
        options = {
            "hr": data / "hr",
            "lr": data / "lr",
            "pairs": data / "pairs/blind.csv",
            "baseline": data / "networks/baseline.safetensors",
            "network": data / "networks/blind.safetensors",
            "scores": scores,
            "output": "retraining.parquet",
            "metrics": "retrain.json",
            "chart": "retraining.png",
        }
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", "stages.retrain", *words], cwd=folder, env=environment, check=True)
        return json.loads((folder / "retrain.json").read_text(encoding="utf-8"))["retrain"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
