"""Laws of the sweep over seeds: only runs that differ in the seed alone are taken, each seed once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from project import IDENTITY

from tools.seeds import METRICS, PARAMS, find_runs

CLAIMS = {"few": {"says": "few filters", "metric": "mask/removed", "at_least": 0.5}}


def data(params: dict[str, Any], value: float | None) -> dict[str, Any]:
    metrics = {} if value is None else {METRICS: {"data": {"claims": {"few": {"value": value}}}}}
    return {"params": {PARAMS: {"data": {"claims": CLAIMS, **params}}}, "metrics": metrics}


def shown(head: dict[str, Any], *experiments: dict[str, Any]) -> list[dict[str, Any]]:
    others = [{"revs": [{"data": values}]} for values in experiments]
    return [{"data": data({"seed": 99}, 9.0)}, {"data": head, "experiments": others or None}]


def test_runs_that_differ_in_more_than_the_seed_or_have_no_results_are_left_out():
    head = data({"seed": 0, "scale": 2}, 0.1)
    others = [
        data({"seed": 2, "scale": 2}, 0.3),
        data({"seed": 1, "scale": 3}, 0.4),
        data({"seed": 3, "scale": 2}, None),
        data({"seed": 2, "scale": 2}, 0.5),  # older
    ]
    params, runs = find_runs(shown(head, *others))
    assert params["scale"] == 2
    assert {seed: claims["few"]["value"] for seed, claims in runs.items()} == {0: 0.1, 2: 0.3}


def test_a_commit_without_results_is_refused():
    with pytest.raises(ValueError, match="HEAD holds no metrics/claims"):
        find_runs(shown(data({"seed": 0}, None)))


RUN = f"""
import json
from ruamel.yaml import YAML

seed = YAML(typ="safe").load(open("params.yaml"))["seed"]
result = {{"value": 0.75 + seed / 4, "threshold": 0.5, "verdict": "holds"}}
json.dump({{"claims": {{"few": result}}}}, open("{METRICS}", "w"))
"""


@pytest.mark.slow
def test_experiments_of_dvc_become_a_table(tmp_path: Path):
    environment = {**os.environ, **IDENTITY, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    stage = {"cmd": "python run.py", "params": ["seed", "claims"], "metrics": [{METRICS: {"cache": False}}]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"claims": stage}}))
    (tmp_path / "params.yaml").write_text(json.dumps({"seed": 0, "claims": CLAIMS}))
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "metrics").mkdir()
    dvc = (sys.executable, "-m", "dvc")
    run("git", "init", "-q")
    run(*dvc, "init", "-q")
    run(*dvc, "repro", "-q")
    run("git", "add", "-A")
    run("git", "commit", "-q", "-m", "results")
    run(*dvc, "exp", "run", "-q", "-S", "seed=1")
    printed = run(sys.executable, "-m", "tools.seeds", "--output", "seeds.csv")
    assert printed.startswith("seeds 0, 1\n")
    [row] = pd.read_csv(tmp_path / "seeds.csv").to_dict("records")
    assert (row["claim"], row["num_runs"], row["value"], row["margin"]) == ("few", 2, 0.875, 0.375)
