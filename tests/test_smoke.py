"""The whole pipeline in a fresh clone, on the smoke preset: what it writes, and what each change re-runs.

One story, told once by the fixture ``story`` (runs take a minute or two); each test is about one chapter.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import project_files

from faig.params import read_params

ROOT = Path(__file__).parents[1]
TARGETS = {"blind": ["blur", "noise"], "blur": ["blur"], "noise": ["noise"]}
"""By target, the attributed degradations."""
IDENTITY = {f"GIT_{role}_{key}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


@dataclass
class Project:
    """A clone, and what happened in it: by chapter, the stages that ran; snapshots of files."""

    folder: Path
    environment: dict[str, str]
    ran: dict[str, set[str]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def run(self, *command: str) -> str:
        """Run a command in the clone; returns what it printed."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, f"{' '.join(command)} failed:\n{result.stdout[-4000:]}"
        return result.stdout

    def dvc(self, chapter: str, *arguments: str) -> None:
        """Run dvc and note the stages whose commands it ran."""
        output = self.run(sys.executable, "-m", "dvc", *arguments)
        self.ran[chapter] = set(re.findall(r"Running stage '([^']+)'", output))

    def metrics(self) -> dict[str, Any]:
        """All metrics files, merged; equal names on one level are united."""
        merged: dict[str, Any] = {}
        for path in sorted((self.folder / "metrics").rglob("*.json")):
            for section, values in json.loads(path.read_text()).items():
                merged.setdefault(section, {}).update(values)
        return merged

    def results(self) -> dict[str, bytes]:
        """Content of all results by path."""
        paths = [path for name in ("data", "metrics", "plots") for path in (self.folder / name).rglob("*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def edit_params(self, old: str, new: str) -> None:
        path = self.folder / "params.yaml"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), encoding="utf-8")


def clone(folder: Path) -> None:
    """Copy the files that are, or would be, in the repository."""
    for path in project_files():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run everything, then again, then with other settings; each chapter starts where the last one ended."""
    folder = tmp_path_factory.mktemp("smoke")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "FAIG_"))}
    environment |= IDENTITY | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_SITE_CACHE_DIR": str(tmp_path_factory.mktemp("site")),
    }
    project = Project(folder / "clone", environment)
    clone(project.folder)
    project.run("git", "init", "-q")
    for generated in ("data", "metrics", "plots", "dvc.lock"):  # of the user's own runs
        path = project.folder / generated
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    project.run(sys.executable, "-m", "presets.apply", "smoke")

    project.dvc("first", "repro")
    project.kept["first"] = project.results()
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "smoke")
    project.dvc("nothing changed", "repro")
    project.dvc("forced", "repro", "--force", "--single-item", "train_baseline", "finetune@blind", "score@blind")
    project.kept["forced"] = project.results()

    project.dvc("another ratio", "exp", "run", "-S", "mask_ratio=0.1")
    project.kept["diff"] = json.loads(project.run(sys.executable, "-m", "dvc", "metrics", "diff", "--json"))
    project.kept["params diff"] = json.loads(project.run(sys.executable, "-m", "dvc", "params", "diff", "--json"))
    project.run("git", "checkout", "-q", "params.yaml")
    project.dvc("the ratio before", "repro")

    project.edit_params("degradations:\n", "degradations:\n  jpeg:\n    - downsample\n    - jpeg: {quality: 20}\n")
    project.edit_params("mixture: {clean: 2.0, ", "mixture: {clean: 2.0, jpeg: 1.0, ")
    project.dvc("jpeg added", "repro")
    project.kept["with jpeg"] = project.metrics()
    project.run("git", "checkout", "-q", "params.yaml")
    project.dvc("jpeg removed", "repro")
    project.kept["jpeg removed"] = project.results()
    project.dvc("still removed", "repro")
    return project


def numbers(values: Any) -> Iterator[float]:
    for value in values.values() if isinstance(values, dict) else [values]:
        if isinstance(value, dict):
            yield from numbers(value)
        elif not isinstance(value, str):
            yield value


def first_metrics(story: Project) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path, content in story.kept["first"].items():
        if path.startswith("metrics/") and path.endswith(".json"):
            for section, values in json.loads(content).items():
                merged.setdefault(section, {}).update(values)
    return merged


def expand(*stages: str) -> set[str]:
    """``mask@*`` for every target."""
    return {stage.replace("*", target) for stage in stages for target in TARGETS}


# What a run writes


def test_every_stage_runs(story: Project):
    degradations = read_params(story.folder / "params.yaml")["degradations"]
    expected = {"check", "tidy", "prepare", "train_baseline", "attribute_crops", "predict"}
    expected |= {f"synthesize@{name}" for name in degradations}
    assert story.ran["first"] == expected | expand("pair@*", "finetune@*", "score@*", "mask@*", "sweep@*")


def test_all_metrics_are_finite_numbers(story: Project):
    found = list(numbers(first_metrics(story)))
    assert len(found) > 100
    assert all(math.isfinite(value) for value in found)


def test_every_target_s_gain_is_reported_on_each_of_its_degradations(story: Project):
    finetune = first_metrics(story)["finetune"]
    assert set(finetune) == set(TARGETS)
    for target, attributed in TARGETS.items():
        for degradation in ["clean", *attributed]:
            values = finetune[target][degradation]
            assert values["gain"] == pytest.approx(values["psnr_target"] - values["psnr_baseline"], abs=2e-6)
            assert 5 < values["psnr_baseline"] < 60


def test_the_convergence_error_is_reported(story: Project):
    score = first_metrics(story)["score"]
    assert set(score) == set(TARGETS)
    assert all(values["convergence_error"] >= 0 for values in score.values())


def test_what_masking_takes_away_is_reported_for_every_method(story: Project):
    params, metrics = read_params(story.folder / "params.yaml"), first_metrics(story)
    for target, attributed in TARGETS.items():
        methods = metrics["mask"][target]
        assert {"faig", "ig", "taylor", "weight_change", "random"} <= set(methods)
        for by_degradation in methods.values():
            assert set(by_degradation) == set(attributed)
            for degradation, values in by_degradation.items():
                assert values["gradient_distance"] >= 0
                assert set(values["lost_db"]) == set(params["degradations"])
                gain = metrics["finetune"][target][degradation]["gain"]
                assert ("removed" in values) == (gain >= params["mask"]["min_gain"])
                if "removed" in values:
                    removed = values["lost_db"][degradation] / gain
                    assert values["removed"] == pytest.approx(removed, rel=1e-3, abs=1e-3)
                    assert values["removed_low"] <= values["removed_high"]


def test_the_predictors_accuracies_are_shares(story: Project):
    predict = first_metrics(story)["predict"]
    assert set(predict) == {"overlap", "response"}
    for values in predict.values():
        for task in ("accuracy_three", "accuracy_four"):
            assert 0 <= values[f"{task}_low"] <= values[task] <= values[f"{task}_high"] <= 1


def test_score_tables_rank_every_filter_once_per_ranking(story: Project):
    for target, attributed in TARGETS.items():
        table = pd.read_parquet(story.folder / "data" / "scores" / f"{target}.parquet")
        assert set(table["degradation"]) == set(attributed)
        for _, ranking in table.groupby(["method", "degradation", "replicate"], observed=True):
            num_filters = len(ranking)
            np.testing.assert_array_equal(ranking["rank"], np.arange(num_filters))
            np.testing.assert_array_equal(np.sort(ranking["filter"]), np.arange(num_filters))
            assert (np.diff(ranking["score"]) <= 0).all()


def test_every_picture_and_curve_is_there(story: Project):
    names = set(story.kept["first"])
    for target in TARGETS:
        assert {f"plots/masks/{target}.png", f"plots/layers/{target}.png", f"plots/ratios/{target}.png"} <= names
        assert {f"plots/training/{target}.csv", f"plots/ratios/{target}.csv"} <= names
    assert {"plots/training/baseline.csv", "plots/confusion/overlap.csv", "plots/confusion/response.csv"} <= names
    pictures = [content for name, content in story.kept["first"].items() if re.match(r"plots/.*\.png", name)]
    assert all(content.startswith(b"\x89PNG") and len(content) > 5000 for content in pictures)


def test_git_holds_metrics_and_plots_and_no_data(story: Project):
    tracked = story.run("git", "ls-files").splitlines()
    assert {"dvc.lock", "metrics/predict.json", "plots/masks/blind.png"} <= set(tracked)
    assert [name for name in tracked if name.startswith("data/") and not name.endswith(".gitignore")] == []


def test_a_finished_run_leaves_no_checkpoint_and_no_half_written_file(story: Project):
    assert [path for path in (story.folder / ".ckpt").rglob("*") if path.is_file()] == []
    assert [path for path in story.kept["jpeg removed"] if path.endswith(".part")] == []


# What a change re-runs


def test_nothing_runs_when_nothing_changed(story: Project):
    assert story.ran["nothing changed"] == {"tidy"}


def test_a_forced_run_gives_the_same_bytes(story: Project):
    assert story.ran["forced"] == {"train_baseline", "finetune@blind", "score@blind"}
    assert story.kept["forced"] == story.kept["first"]


def test_another_ratio_runs_masking_and_what_hangs_on_it(story: Project):
    assert story.ran["another ratio"] == {"check", "tidy", "predict", *expand("mask@*")}


def test_the_diff_of_params_and_metrics_shows_the_ratio_and_its_effect(story: Project):
    [params] = [values for name, values in story.kept["params diff"].items() if name == "params.yaml"]
    assert (params["mask_ratio"]["old"], params["mask_ratio"]["new"]) == (0.03, 0.1)
    changed = {name: values for name, values in story.kept["diff"].items() if values}
    assert {f"metrics/mask/{target}.json" for target in TARGETS} <= set(changed)
    assert not [name for name in changed if name.startswith(("metrics/finetune", "metrics/score"))]
    rows = [row for values in changed.values() for row in values.values()]
    assert all({"old", "new"} <= set(row) for row in rows)


def test_going_back_to_a_ratio_runs_no_network(story: Project):
    assert story.ran["the ratio before"] <= {"check", "tidy"}


def test_adding_a_degradation_runs_only_what_it_affects(story: Project):
    blind = {"finetune@blind", "score@blind", "attribute_crops", "predict"}
    everywhere = expand("pair@*", "mask@*", "sweep@*")  # measured on every degradation
    assert story.ran["jpeg added"] == {"check", "tidy", "synthesize@jpeg"} | blind | everywhere


def test_the_added_degradation_is_trained_on_and_measured(story: Project):
    metrics = story.kept["with jpeg"]
    assert "jpeg" in metrics["finetune"]["blind"]
    assert "jpeg" not in metrics["finetune"]["noise"]
    assert "jpeg" in metrics["mask"]["noise"]["faig"]["noise"]["lost_db"]


def test_removing_the_degradation_leaves_nothing_stale(story: Project):
    assert not [name for name in story.kept["jpeg removed"] if "jpeg" in name]
    assert story.kept["jpeg removed"] == story.kept["first"]
    assert story.ran["jpeg removed"] <= {"check", "tidy"}  # all else is taken from the run-cache
    assert story.ran["still removed"] == {"tidy"}
