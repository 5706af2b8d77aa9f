"""What the other presets find: ``python -m benchmarks.studies.presets srcnn --workspace path/to/clone``.

Reads the results of a clone in which that preset was applied and ``dvc repro`` has ended (with -P: retraining, too),
and adds them to benchmarks/studies/results/presets.json.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from benchmarks.common import results_file, write
from tools.tables import read_results


@click.command()
@click.argument("name")
@click.option("--workspace", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
def main(name: str, workspace: Path) -> None:
    """Add one preset's main numbers to benchmarks/studies/results/presets.json."""
    known: dict[str, Any] = {}
    if (path := results_file("studies/presets")).exists():
        known = json.loads(path.read_text(encoding="utf-8"))["presets"]
    known[name] = collect(workspace)
    write("studies/presets", {"presets": dict(sorted(known.items()))})


def collect(workspace: Path) -> dict[str, Any]:
    """Gains, shares lost and predictions of one finished run."""
    results = read_results(workspace)
    params = YAML(typ="safe", pure=True).load(workspace / "params.yaml")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=workspace, capture_output=True, text=True, check=True
    )
    masked = results["mask"]["blind"]
    retrained = {
        name: {variant: values[variant] for variant in ("discovered", "random", "rewired") if variant in values}
        for name, values in results.get("retrain", {}).items()
    }
    return {
        "commit": commit.stdout.strip(),
        "scale": params["scale"],
        "network": params["network"],
        "mask_ratio": params["mask_ratio"],
        "num_classes": len(params["predict"]["classes"]),
        "finetune": results["finetune"]["blind"],
        "faig": masked["faig"],
        "random": {name: values.get("removed") for name, values in masked["random"].items()},
        "retrain": retrained,
        "accuracy": {key: value for key, value in results["predict"]["response"].items() if key.startswith("accuracy")},
    }


if __name__ == "__main__":
    main()
