"""What is published is what the run has: results copied, weights with their digests, and a card that says both."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT, TINY, overlay

from faig.data.dead_leaves import PREFIX
from faig.networks.models import build_network
from faig.networks.pretrained import find_weights
from faig.networks.weights import load_network, save_network
from faig.report.numbers import write_numbers
from stages.shared.outputs import write_parquet
from stages.shared.timings import COLUMNS, timings_file
from tools import publish
from tools.publish import main

GAINS = {"blur": {"psnr_baseline": 28.0, "psnr_target": 31.234, "gain": 3.234}}


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def all_stages() -> dict[str, list[Path]]:
    """As if one stage had made everything, plots/layers as a folder."""
    kept = [path for name in ("metrics", "plots", "data") for path in Path(name).rglob("*") if path.is_file()]
    kept = [path for path in kept if path.parent.name != "layers"]
    return {"finetune@blind": [*kept, Path("plots/layers")]}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of a tiny network, with 40 filters in one layer."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(publish, "current_stages", all_stages)
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c", "--allow-empty"]):
        subprocess.run(["git", *words], check=True)
    shutil.copy(ROOT / "params.yaml", folder)
    write_numbers(Path("metrics/mission.parquet"), {"finetune": {"blind": GAINS}})
    write("plots/removed.csv", "ratio,removed\n0.01,0.5\n")
    write("plots/layers/blind.png", "")
    for name in ("train/a", "train/b", f"train/{PREFIX}0", "test/c"):
        write(f"data/hr/{name}.png", "")
    write(
        str(timings_file()),
        f"{','.join(COLUMNS)}\nfinetune@blind,10.0,500,False\nprepare,1.0,90,True\nfinetune@blind,5.5,700,True\n",
    )
    for seed, name in enumerate(("baseline", "blind")):
        curve = pd.DataFrame({"iteration": [1]})
        curve.attrs["device"] = f"device {seed}"
        write_parquet(Path(f"data/curves/{name}.parquet"), curve)
        save_network(Path(f"data/networks/{name}.safetensors"), TINY, build_network(TINY, seed).state_dict())
    filters = pd.DataFrame({"layer": "first", "out_channel": np.repeat(range(4), 10), "in_channel": [*range(10)] * 4})
    tables = [filters.assign(method=method, rank=range(40)) for method in ("faig", "random")]
    Path("data/scores").mkdir()
    pd.concat(tables).to_parquet("data/scores/blind.parquet")
    return folder


def take_published() -> None:
    path = Path("params.yaml")
    path.write_text(overlay(path.read_text(), "network: {pretrained: published/tiny/weights}"))


def published(test: str, to: Path) -> Any:
    to.mkdir(exist_ok=True)
    result = CliRunner().invoke(main, ["tiny", "--test", test, "--terms", "Noise, free for all.", "--to", str(to)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_results_are_copied_and_the_best_tenth_of_each_ranking(finished: Path):
    to = finished.parent / "to"
    assert published("A", to).exit_code == 0
    folder = to / "published/tiny/runs/A"
    for name in (
        "params.yaml",
        "metrics/mission.parquet",
        "plots/removed.csv",
        "plots/layers/blind.png",
    ):
        assert (folder / name).read_bytes() == Path(name).read_bytes()
    scores = pd.read_parquet(folder / "scores/blind.parquet")
    assert scores.groupby("method")["rank"].apply(list).to_dict() == {"faig": [0, 1, 2, 3], "random": [0, 1, 2, 3]}
    timings = pd.read_csv(folder / "timings.csv")
    assert timings.to_dict("list") == {
        "stage": ["finetune@blind"],
        "seconds": [15.5],
        "peak_memory_mib": [700],
    }
    about = json.loads((folder / "run.json").read_text())
    assert list(about["images"].values()) == [2, 1, 1]
    assert about["computed_with"] == {"train_baseline": {"device": "device 0"}, "finetune": {"device": "device 1"}}
    assert re.fullmatch("[0-9a-f]{40}", about["commit"])


def test_published_weights_are_those_of_the_run_and_verified(finished: Path):
    to = finished.parent / "to"
    assert published("A", to).exit_code == 0
    for name in ("baseline", "blind"):
        path = find_weights(to / "published/tiny/weights", name)
        assert path is not None
        assert path.read_bytes() == Path(f"data/networks/{name}.safetensors").read_bytes()
        assert load_network(path)[1] == TINY


def test_the_card_has_a_row_per_test_set_and_the_weights_stay(finished: Path):
    to = finished.parent / "to"
    assert published("A", to).exit_code == 0
    first = (to / "published/tiny/weights/README.md").read_text()
    assert "| A | blur | 28.00 | 31.23 | +3.23 |" in first
    assert "Noise, free for all." in first
    assert "2 photographs to train on, 1 dead-leaves images to train on, 1 test images" in first
    weights = (to / "published/tiny/weights/blind.safetensors").read_bytes()
    take_published()
    assert published("B", to).exit_code == 0
    second = (to / "published/tiny/weights/README.md").read_text()
    assert "| A | blur |" in second
    assert "| B | blur |" in second
    assert (to / "published/tiny/weights/blind.safetensors").read_bytes() == weights


PIPELINE = """
stages:
  list_imports: {cmd: cp source seen.txt, deps: [source], outs: [seen.txt]}
  check: {cmd: echo checked > checked.txt, deps: [params.in], outs: [checked.txt]}
  a: {cmd: mkdir a; echo a > a/a.txt, deps: [checked.txt, seen.txt, a.in], outs: [a]}
  b: {cmd: echo b > b.txt, deps: [a, b.in], outs: [b.txt]}
  alone: {cmd: echo c > c.txt, deps: [b.in], outs: [c.txt]}
"""
FIRST = {"list_imports", "check"}


def test_only_what_is_up_to_date_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("source", "params.in", "a.in", "b.in"):
        write(name, "1")
    write("dvc.yaml", PIPELINE)
    for words in (["init", "-q", "--no-scm"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True)

    def current_with(name: str | None = None) -> set[str]:
        """What is current while one file differs."""
        for path in ("source", "params.in", "a.in", "b.in"):
            write(path, "2" if path == name else "1")
        return set(publish.current_stages())

    assert current_with() == {*FIRST, "a", "b", "alone"}
    assert publish.current_stages()["a"] == [Path("a")]
    assert current_with("b.in") == {*FIRST, "a"}
    assert current_with("a.in") == {*FIRST, "alone"}  # b's own inputs are as they were, but a's are not
    assert current_with("source") == {"check", "alone"}
    assert current_with("params.in") == {"list_imports", "alone"}


def without(name: str) -> dict[str, list[Path]]:
    return {stage: [path for path in paths if path != Path(name)] for stage, paths in all_stages().items()}


def test_weights_that_are_out_of_date_are_refused(finished: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publish, "current_stages", lambda: without("data/networks/blind.safetensors"))
    result = published("A", finished.parent / "to")
    assert result.exit_code == 1
    assert "blind.safetensors is missing or out of date" in result.output


def test_what_is_out_of_date_is_left_out_but_never_taken_away(finished: Path, monkeypatch: pytest.MonkeyPatch):
    to = finished.parent / "to"
    monkeypatch.setattr(publish, "current_stages", lambda: without("plots/removed.csv"))
    assert published("A", to).exit_code == 0
    assert not (to / "published/tiny/runs/A/plots/removed.csv").exists()
    monkeypatch.setattr(publish, "current_stages", all_stages)
    assert published("A", to).exit_code == 0
    before = contents(to)
    assert b"0.01,0.5" in before["published/tiny/runs/A/plots/removed.csv"]
    monkeypatch.setattr(publish, "current_stages", lambda: without("plots/removed.csv"))
    result = published("A", to)
    assert result.exit_code == 1
    assert "published/tiny/runs/A would lose plots/removed.csv" in result.output
    assert contents(to) == before


def test_weights_too_large_for_a_repository_are_refused(finished: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publish, "MOST", 100)
    result = published("A", finished.parent / "to")
    assert result.exit_code == 1
    assert "baseline.safetensors has" in result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_that_trained_is_refused_and_changes_nothing(finished: Path):
    to = finished.parent / "to"
    assert published("A", to).exit_code == 0
    before = contents(to)
    save_network(Path("data/networks/blind.safetensors"), TINY, build_network(TINY, 7).state_dict())
    result = published("B", to)
    assert result.exit_code == 1
    assert "published/tiny/runs/A is of the run that trained" in result.output
    assert contents(to) == before
    assert published("A", to).exit_code == 0, "the same test set again is an update"


def test_a_run_that_used_other_weights_is_refused_and_changes_nothing(finished: Path):
    to = finished.parent / "to"
    assert published("A", to).exit_code == 0
    before = contents(to)
    take_published()
    save_network(Path("data/networks/blind.safetensors"), TINY, build_network(TINY, 7).state_dict())
    result = published("B", to)
    assert result.exit_code == 1
    assert "the weights in data/networks are not those in" in result.output
    assert contents(to) == before


def test_weights_that_another_test_set_s_results_are_of_are_not_replaced(finished: Path):
    to, params = finished.parent / "to", Path("params.yaml").read_text()
    assert published("A", to).exit_code == 0
    take_published()
    assert published("B", to).exit_code == 0
    before = contents(to)
    Path("params.yaml").write_text(params)
    save_network(Path("data/networks/blind.safetensors"), TINY, build_network(TINY, 7).state_dict())
    result = published("A", to)
    assert result.exit_code == 1
    assert "published/tiny/runs/B is of the weights in" in result.output
    assert contents(to) == before


def test_results_of_weights_whose_training_is_not_published_are_refused(finished: Path):
    to = finished.parent / "to"
    assert published("A", to).exit_code == 0
    shutil.rmtree(to / "published/tiny/runs")
    take_published()
    result = published("B", to)
    assert result.exit_code == 1
    assert "lacks the run that trained" in result.output
