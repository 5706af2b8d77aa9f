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

from tools.seeds import CLAIMS, METRICS, NUMBERS, PARAMS, find_runs


def item(rev: str, params: dict[str, Any], value: float | None) -> dict[str, Any]:
    metrics = {} if value is None else {METRICS: {"data": {"few": value}}}
    return {"rev": rev, "data": {"params": {PARAMS: {"data": params}}, "metrics": metrics}}


def shown(head: dict[str, Any], *experiments: dict[str, Any]) -> list[dict[str, Any]]:
    """What ``dvc exp show`` shows; its first entry is the workspace."""
    others = [{"revs": [experiment]} for experiment in experiments]
    return [item("workspace", {"seed": 99}, 9.0), {**head, "experiments": others or None}]


def test_runs_that_differ_in_more_than_the_seed_or_have_no_results_are_left_out():
    head = item("head", {"seed": 0, "scale": 2}, 0.1)
    others = [
        item("two", {"seed": 2, "scale": 2}, 0.3),
        item("other scale", {"seed": 1, "scale": 3}, 0.4),
        item("no results", {"seed": 3, "scale": 2}, None),
        item("older", {"seed": 2, "scale": 2}, 0.5),
    ]
    assert find_runs(shown(head, *others)) == {0: "head", 2: "two"}


def test_a_commit_without_results_is_refused():
    with pytest.raises(ValueError, match=r"HEAD holds no metrics/argument\.json"):
        find_runs(shown(item("head", {"seed": 0}, None)))


RUN = f"""
import json
from pathlib import Path
from ruamel.yaml import YAML
from faig.report.numbers import write_numbers

seed = YAML(typ="safe").load(open("params.yaml"))["seed"]
write_numbers(Path("{NUMBERS[0]}"), {{"mask": {{"removed": 0.75 + seed / 4}}}})
write_numbers(Path("{NUMBERS[1]}"), {{"severity": {{"bound": 0.5}}}})
Path("{METRICS}").write_text(json.dumps({{"few": 0.75 + seed / 4}}))
"""


@pytest.mark.slow
def test_experiments_of_dvc_become_a_table(tmp_path: Path):
    environment = {**os.environ, **IDENTITY, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    uncached = {"cache": False}
    stage = {"cmd": "python run.py", "params": ["seed"], "metrics": [{METRICS: uncached}]}
    stage["outs"] = [{path: uncached} for path in NUMBERS]
    claim = {"says": "few filters", "metric": "mask/removed", "at_least": "severity/bound", "set": "before"}
    for path, content in (
        ("dvc.yaml", json.dumps({"stages": {"claims": stage}})),
        ("params.yaml", json.dumps({"seed": 0})),
        (CLAIMS, json.dumps({"few": claim})),
        ("run.py", RUN),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
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
