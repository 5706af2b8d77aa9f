"""Both pipelines in a fresh clone, on the smoke preset: what they write, and what another mask ratio re-runs.

One story, told once by the fixture ``story`` (runs take a minute or two); each test is about one chapter.
"""

import io
import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project import Project, commit, dependents, smoke_project, stages

from faig.base.params import read_params
from faig.experiments.score_table import read_metadata
from faig.report.claims import VERDICTS
from faig.report.numbers import to_results

pytestmark = pytest.mark.slow
TARGETS = {"blind": ["blur", "noise"], "only_blur": ["blur"], "only_noise": ["noise"]}
"""By target, the attributed degradations."""
REPORTS = {"summarize", "argument/dvc.yaml:claims"}
"""Run no network; DVC keeps no run-cache of them, since their numbers lie in git."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run everything, then again, then with another ratio; each chapter starts where the last one ended."""
    project = smoke_project(tmp_path_factory)
    project.dvc("mission", "repro")
    project.dvc("argument", "repro", "-P")
    project.kept["first"] = project.results()
    commit(project)
    project.kept["status"] = project.run(sys.executable, "-m", "dvc", "status")
    project.dvc("nothing changed", "repro", "-P")
    project.dvc("forced", "repro", "--force", "--single-item", "train_baseline", "finetune@blind", "score@blind")
    project.kept["forced"] = project.results()

    project.dvc("another ratio", "exp", "run", "-P", "-S", "mask_ratio=0.1")
    project.kept["diff"] = project.run(
        sys.executable, "-m", "dvc", "metrics", "diff", "--targets", "metrics/mission.json"
    )
    project.run("git", "checkout", "-q", "params.yaml")
    project.dvc("the ratio before", "repro", "-P")
    project.kept["the ratio before"] = project.results()
    return project


@pytest.fixture
def results(story: Project) -> dict[str, Any]:
    """All numbers of the first run."""
    found: dict[str, Any] = {}
    for name in ("mission", "argument"):
        found |= to_results(pd.read_parquet(io.BytesIO(story.kept["first"][f"metrics/{name}.parquet"])))
    return found


def leaves(values: Any) -> Iterator[float]:
    for value in values.values():
        yield from leaves(value) if isinstance(value, dict) else [value]


# What a run writes


def test_every_stage_runs_in_its_pipeline(story: Project):
    names = set(stages(story))
    assert story.ran["mission"] == {name for name in names if ":" not in name}
    assert story.ran["argument"] == {name for name in names if ":" in name}


def test_all_metrics_are_finite_numbers(story: Project, results: dict[str, Any]):
    found = list(leaves(results))
    assert len(found) > 100
    assert all(math.isfinite(value) for value in found)
    for name in ("mission", "argument"):
        headline = list(leaves(json.loads(story.kept["first"][f"metrics/{name}.json"])))
        assert all(math.isfinite(value) for value in headline)
        assert len(headline) <= (20 if name == "mission" else 40)


def test_every_target_s_gain_is_reported_on_each_of_its_degradations(results: dict[str, Any]):
    assert set(results["finetune"]) == set(TARGETS)
    for target, attributed in TARGETS.items():
        for degradation in ["clean", *attributed]:
            values = results["finetune"][target][degradation]
            assert values["gain"] == pytest.approx(values["psnr_target"] - values["psnr_baseline"], abs=2e-6)
            assert 5 < values["psnr_baseline"] < 60


def test_the_convergence_error_is_reported(results: dict[str, Any]):
    assert set(results["score"]) == set(TARGETS)
    for values in results["score"].values():
        assert values["convergence_error"] >= 0
        assert values["barrier"].keys() >= {"clean"}
        assert min(values["barrier"].values()) >= 0


def test_what_masking_takes_away_is_reported_for_every_method(story: Project, results: dict[str, Any]):
    params = read_params(story.folder / "params.yaml")
    assert set(results["mask"]) == {"blind"}
    methods = {"blind": results["mask"]["blind"]}
    assert {"faig", "ig", "taylor", "weight_change", "random"} <= set(methods["blind"])
    for target, found in methods.items():
        for by_degradation in found.values():
            assert set(by_degradation) == set(TARGETS[target])
            for degradation, values in by_degradation.items():
                assert values["gradient_distance"] >= 0
                assert set(values["lost_db"]) >= {"clean", *params["targets"][target]["mixture"]}
                gain = results["finetune"][target][degradation]["gain"]
                assert ("removed" in values) == (gain >= params["min_gain"])
                if "removed" in values:
                    removed = values["lost_db"][degradation] / gain
                    assert values["removed"] == pytest.approx(removed, rel=1e-3, abs=1e-3)
                    assert values["removed_low"] <= values["removed_high"]


def test_both_curves_are_reported_where_a_share_of_the_gain_can_be_taken(results: dict[str, Any]):
    for target, methods in results["ratios"].items():
        found = results.get("yardstick", {}).get(target, {})
        for method, by_degradation in methods.items():
            for degradation, by_ratio in by_degradation.items():
                assert all(("kept" in values) == ("removed" in values) for values in by_ratio.values())
                has_areas = {"area_of_removed", "area_of_kept"} <= found.get(degradation, {}).get(method, {}).keys()
                assert has_areas == any("removed" in values for values in by_ratio.values())


def test_the_ends_of_a_dial_are_the_target_and_the_masked_network(results: dict[str, Any]):
    for name in TARGETS["blind"]:
        dial, fine = results["modulate"][name], results["finetune"]["blind"][name]
        assert dial["psnr_target"] == pytest.approx(fine["psnr_target"], abs=1e-3)
        lost = results["mask"]["blind"]["faig"][name]["lost_db"][name]
        assert dial["psnr_target"] - dial["psnr_masked"] == pytest.approx(lost, abs=1e-5)


def test_every_claim_gets_a_verdict(story: Project):
    table = pd.read_csv(io.BytesIO(story.kept["first"]["plots/argument/claims.csv"]))
    assert table["claim"].tolist() == list(read_params(story.folder / "argument/claims.yaml"))
    assert set(table["verdict"]) <= set(VERDICTS)
    assert set(table["set"]) <= {"before", "after"}


def test_specialists_and_the_blind_target_are_compared(results: dict[str, Any]):
    found = results["compare_targets"]
    assert set(found["agreement"]) == set(TARGETS["blind"])
    assert {name: set(depths) for name, depths in found["depth"].items()} == {n: set(a) for n, a in TARGETS.items()}


def test_retraining_is_reported_for_every_variant(results: dict[str, Any]):
    variants = {"grafted", "shuffled", "discovered", "same_count", "rewired", "random", "all"}
    for name in TARGETS["blind"]:
        values = results["retrain"][name]
        assert set(values) == {"gain", *variants}
        assert values["gain"] == pytest.approx(results["finetune"]["blind"][name]["gain"], abs=1e-3)


def test_plug_ins_are_reported_alone_and_together(story: Project, results: dict[str, Any]):
    alone, together = {"plugin", "full"}, {"plugins_together", "plugins_in_turn", "tasks_together"}
    variants = alone | together | {"plugin_joint", "full_joint"}
    found = results["plugins"]
    assert set(found) == {"clean", "blur", "noise", "blur_noise"}
    for name in TARGETS["blind"]:
        assert set(found[name]) == variants
        assert 0 < found[name]["plugin"]["of_full"] < 0.5
    kept = {path: content for path, content in story.kept["first"].items() if path.startswith("data/argument/plugins/")}
    names = [f"{folder}{name}.safetensors" for folder in ("", "full/") for name in (*TARGETS["blind"], "joint")]
    names += [f"in_turn/{name}.safetensors" for name in list(TARGETS["blind"])[1:]]
    assert set(kept) == {f"data/argument/plugins/{name}" for name in names}
    assert found["blur"]["plugin"]["bytes"] == len(kept["data/argument/plugins/blur.safetensors"])


def test_one_branch_and_two_are_compared_on_every_degradation(story: Project, results: dict[str, Any]):
    params, found = read_params(story.folder / "params.yaml"), results["compare_branches"]
    mixture = set(params["targets"]["blind"]["mixture"])
    assert set(found) == {"mean", "prediction", "one_branch", "two_branches", *mixture}
    added = found["two_branches"]["parameters"] / found["one_branch"]["parameters"] - 1
    assert 0 < added <= params["compare_branches"]["budget"]
    assert found["two_branches"]["gflops"] > found["one_branch"]["gflops"]


def test_rival_predictors_are_measured_alike(story: Project, results: dict[str, Any]):
    params = read_params(story.folder / "params.yaml")
    assert set(results["predict"]) == {"overlap", "response"}
    found = results["compare_predictors"]
    assert set(found) == {*params["compare_predictors"]["methods"], "trivial", "classifier"}
    assert found["faig"] == results["predict"]["response"]  # at the same ratio, the same predictor


def test_severity_is_a_rank_correlation_of_every_degradation(story: Project, results: dict[str, Any]):
    levels = read_params(story.folder / "params.yaml")["severity"]["levels"]
    assert {name: values["num_levels"] for name, values in results["severity"].items()} == {
        name: len(values["values"]) for name, values in levels.items()
    }


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
        assert {f"plots/{kind}/{target}.png" for kind in ("layers", "ratios")} <= names
    assert {f"plots/{table}.csv" for table in ("training", "quality", "removed", "confusion")} <= names
    assert {"plots/masks/blind.png", "plots/selectivity/blind.png"} <= names
    figures = {"modulation", "modulation_strip", "retraining", "severity"}
    assert {f"plots/argument/figures/{name}.png" for name in figures} <= names
    pictures = [content for name, content in story.kept["first"].items() if re.match(r"plots/.*\.png", name)]
    assert all(content.startswith(b"\x89PNG") and len(content) > 5000 for content in pictures)


def test_each_pipeline_ends_with_a_page(story: Project):
    pages = {name: story.kept["first"][f"report/{name}.html"].decode() for name in ("index", "argument")}
    assert all(len(page) < 5e6 and page.startswith("<!doctype html>") for page in pages.values())
    assert ["PSNR over lambda" in page for page in pages.values()] == [False, True]
    assert "make argument" in pages["index"]


def test_git_holds_metrics_and_plots_and_no_data(story: Project):
    tracked = set(story.run("git", "ls-files").splitlines())
    assert {"dvc.lock", "argument/dvc.lock", "metrics/mission.parquet", "plots/masks/blind.png"} <= tracked
    data = {name for name in tracked if name.startswith("data/") and not name.endswith(".gitignore")}
    assert data == {"data/README.md"}


def test_a_finished_run_leaves_no_checkpoint_no_live_curve_and_no_half_written_file(story: Project):
    assert [path.name for path in (story.folder / "live").rglob("*")] == [".gitignore"]
    assert [path for path in (story.folder / ".ckpt").rglob("*") if path.is_file()] == []
    assert [path for path in story.kept["the ratio before"] if path.endswith(".part")] == []


# What a change re-runs


def test_nothing_runs_when_nothing_changed(story: Project):
    assert story.ran["nothing changed"] == set()
    assert "up to date" in story.kept["status"]


def test_a_forced_run_gives_the_same_bytes(story: Project):
    assert story.ran["forced"] == {"train_baseline", "finetune@blind", "score@blind"}
    assert story.kept["forced"] == story.kept["first"]


def test_another_ratio_runs_masking_and_what_hangs_on_it(story: Project):
    read = {name for name, keys in stages(story).items() if "mask_ratio" in keys}
    assert "mask" in read
    assert read <= story.ran["another ratio"]
    assert story.ran["another ratio"] <= {"check", *read, *dependents(story, *read)}
    assert len(story.kept["diff"].splitlines()) <= 25


def test_going_back_to_a_ratio_runs_no_network(story: Project):
    assert story.ran["the ratio before"] <= {"check", *REPORTS}
    assert story.kept["the ratio before"] == story.kept["first"]


def test_scoring_in_two_processes_gives_the_same_table(story: Project):
    """``compute.launcher`` starts them; one shows the progress and writes."""
    story.edit_params("launcher: null", "launcher: torchrun --standalone --nproc-per-node 2")
    command = read_params(story.folder / "dvc.yaml")["stages"]["score"]["do"]["cmd"].replace("${key}", "blind")
    words = command.replace("data/scores", "data/unused").split()
    assert story.run(sys.executable, *words[1:]).count("score blind: 9/9") == 1
    one, two = (story.folder / f"data/{name}/blind.parquet" for name in ("scores", "unused"))
    keys = ["method", "degradation", "replicate", "filter"]
    first, second = (
        pd.read_parquet(path).astype({"method": str, "degradation": str}).sort_values(keys) for path in (one, two)
    )
    largest = first.groupby(["method", "degradation", "replicate"])["score"].transform("max")
    assert (np.abs(first["score"].to_numpy() - second["score"].to_numpy()) <= 1e-6 * largest.to_numpy()).all()
    assert read_metadata(two)["computed_with"]["processes"] == "2"
