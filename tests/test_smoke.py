"""The whole pipeline in a fresh clone, on the smoke preset: what it writes, and what another mask ratio re-runs.

One story, told once by the fixture ``story`` (runs take a minute or two); each test is about one chapter.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faig.experiments.claims import VERDICTS
from project import ALWAYS, Project, commit, dependents, expand, smoke_project, stages

from faig.base.params import read_params
from faig.experiments.score_table import read_metadata

pytestmark = pytest.mark.slow
TARGETS = {"blind": ["blur", "noise"], "blur": ["blur"], "noise": ["noise"]}
"""By target, the attributed degradations."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run everything, then again, then with another ratio; each chapter starts where the last one ended."""
    project = smoke_project(tmp_path_factory)
    project.dvc("first", "repro")
    project.kept["first"] = project.results()
    commit(project)
    project.dvc("nothing changed", "repro")
    project.dvc("forced", "repro", "--force", "--single-item", "train_baseline", "finetune@blind", "score@blind")
    project.kept["forced"] = project.results()

    project.dvc("another ratio", "exp", "run", "-S", "mask_ratio=0.1")
    project.run("git", "checkout", "-q", "params.yaml")
    project.dvc("the ratio before", "repro")
    project.kept["the ratio before"] = project.results()
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


# What a run writes


def test_every_stage_runs(story: Project):
    assert story.ran["first"] == set(stages(story))


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
    for values in score.values():
        assert values["convergence_error"] >= 0
        assert values["barrier"].keys() >= {"clean"}
        assert min(values["barrier"].values()) >= 0


def test_what_masking_takes_away_is_reported_for_every_method(story: Project):
    params, metrics = read_params(story.folder / "params.yaml"), first_metrics(story)
    for target, attributed in TARGETS.items():
        methods = metrics["mask"][target]
        assert {"faig", "ig", "taylor", "weight_change", "random"} <= set(methods)
        for by_degradation in methods.values():
            assert set(by_degradation) == set(attributed)
            for degradation, values in by_degradation.items():
                assert values["gradient_distance"] >= 0
                assert set(values["lost_db"]) == {"clean", *params["targets"][target]["mixture"]}
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


def test_the_ends_of_a_dial_are_the_target_and_the_masked_network(story: Project):
    """``modulate`` and ``mask`` take the same share of the filters."""
    params, metrics = read_params(story.folder / "params.yaml"), first_metrics(story)
    assert params["modulate"]["ratio"] == params["mask_ratio"]
    for name in TARGETS["blind"]:
        dial, fine = metrics["modulate"][name], metrics["finetune"]["blind"][name]
        assert dial["psnr_target"] == pytest.approx(fine["psnr_target"], abs=1e-3)
        lost = metrics["mask"]["blind"]["faig"][name]["lost_db"][name]
        assert dial["psnr_target"] - dial["psnr_masked"] == pytest.approx(lost, abs=1e-5)


def test_every_claim_gets_a_verdict(story: Project):
    claims = first_metrics(story)["claims"]
    assert set(claims) == set(read_params(story.folder / "params.yaml")["claims"])
    assert {values["verdict"] for values in claims.values()} <= set(VERDICTS)
    table = pd.read_csv(story.folder / "plots/claims.csv")
    assert table["verdict"].tolist() == [values["verdict"] for values in claims.values()]


def test_specialists_and_the_blind_target_are_compared(story: Project):
    found = first_metrics(story)["compare_targets"]
    assert set(found["agreement"]) == set(TARGETS["blind"])
    assert {name: set(depths) for name, depths in found["depth"].items()} == {n: set(a) for n, a in TARGETS.items()}
    for values in found["agreement"].values():
        assert 0 <= values["random"] <= values["random_high"] <= 1
        assert 0 <= values["jaccard"] <= 1


def test_retraining_is_reported_for_every_variant(story: Project):
    params, metrics = read_params(story.folder / "params.yaml")["retrain"], first_metrics(story)
    variants = {"grafted", "shuffled", "discovered", "same_count", "rewired", "random", "all"}
    for name in TARGETS["blind"]:
        values = metrics["retrain"][name]
        assert set(values) == {"gain", *variants}
        assert values["gain"] == pytest.approx(metrics["finetune"]["blind"][name]["gain"], abs=1e-3)
        shares = [variant for variant in variants if "recovered" in values[variant]]
        assert len(shares) == (len(variants) if values["gain"] >= params["min_gain"] else 0)


def test_one_branch_and_two_are_compared_on_every_degradation(story: Project):
    params = read_params(story.folder / "params.yaml")
    found = first_metrics(story)["compare_branches"]
    mixture = set(params["targets"]["blind"]["mixture"])
    assert set(found) == {"mean", "prediction", "one_branch", "two_branches", *mixture}
    for name in mixture:
        assert found[name]["lead_low"] <= found[name]["lead"] <= found[name]["lead_high"]
    added = found["two_branches"]["parameters"] / found["one_branch"]["parameters"] - 1
    assert 0 < added <= params["compare_branches"]["budget"]
    assert found["two_branches"]["gflops"] > found["one_branch"]["gflops"]


def test_rival_predictors_are_measured_alike(story: Project):
    params, metrics = read_params(story.folder / "params.yaml"), first_metrics(story)
    found = metrics["compare_predictors"]
    assert set(found) == {*params["compare_predictors"]["methods"], "trivial", "classifier"}
    assert found["faig"] == metrics["predict"]["response"]  # at the same ratio, the same predictor
    for values in found.values():
        assert 0 <= values["accuracy_four_low"] <= values["accuracy_four"] <= values["accuracy_four_high"] <= 1
        assert all(0 <= values["auroc"][name] <= 1 for name in params["predict"]["classes"])


def test_severity_is_a_rank_correlation_of_every_degradation(story: Project):
    params, found = read_params(story.folder / "params.yaml"), first_metrics(story)["severity"]
    assert set(found) == set(params["severity"]["levels"])
    for name, values in found.items():
        assert -1 <= values["rank_correlation_low"] <= values["rank_correlation_high"] <= 1
        assert values["num_levels"] == len(params["severity"]["levels"][name]["values"])


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
        assert {f"plots/{kind}/{target}.png" for kind in ("masks", "layers", "selectivity", "ratios")} <= names
        assert {f"plots/training/{target}.csv", f"plots/ratios/{target}.csv"} <= names
    assert {"plots/training/baseline.csv", "plots/confusion/overlap.csv", "plots/confusion/response.csv"} <= names
    assert {
        "plots/modulation/curves.png",
        "plots/modulation/strip.png",
        "plots/retraining.png",
        "plots/severity.png",
    } <= names
    pictures = [content for name, content in story.kept["first"].items() if re.match(r"plots/.*\.png", name)]
    assert all(content.startswith(b"\x89PNG") and len(content) > 5000 for content in pictures)


def test_git_holds_metrics_and_plots_and_no_data(story: Project):
    tracked = story.run("git", "ls-files").splitlines()
    assert {"dvc.lock", "metrics/predict.json", "plots/masks/blind.png"} <= set(tracked)
    assert [name for name in tracked if name.startswith("data/") and not name.endswith(".gitignore")] == []


def test_a_finished_run_leaves_no_checkpoint_and_no_half_written_file(story: Project):
    assert [path for path in (story.folder / ".ckpt").rglob("*") if path.is_file()] == []
    assert [path for path in story.kept["the ratio before"] if path.endswith(".part")] == []


# What a change re-runs


def test_nothing_runs_when_nothing_changed(story: Project):
    assert story.ran["nothing changed"] == ALWAYS


def test_a_forced_run_gives_the_same_bytes(story: Project):
    assert story.ran["forced"] == {"train_baseline", "finetune@blind", "score@blind"}
    assert story.kept["forced"] == story.kept["first"]


def test_another_ratio_runs_masking_and_what_hangs_on_it(story: Project):
    read = {name for name, keys in stages(story).items() if "mask_ratio" in keys}
    assert expand(TARGETS, "mask@*") <= read <= story.ran["another ratio"]
    assert story.ran["another ratio"] <= {*ALWAYS, "check", *read, *dependents(story, *read)}


def test_going_back_to_a_ratio_runs_no_network(story: Project):
    assert story.ran["the ratio before"] <= {*ALWAYS, "check"}
    assert story.kept["the ratio before"] == story.kept["first"]


def test_scoring_in_two_processes_gives_the_same_table(story: Project):
    """``compute.launcher`` starts them; one shows the progress and writes."""
    story.edit_params("launcher: null", "launcher: torchrun --standalone --nproc-per-node 2")
    command = read_params(story.folder / "dvc.yaml")["stages"]["score"]["do"]["cmd"].replace("${key}", "blind")
    words = command.replace("data/scores", "data/unused").replace("metrics/score", "data/unused").split()
    assert story.run(sys.executable, *words[1:]).count("score blind: 4/4") == 1
    one, two = (story.folder / f"data/{name}/blind.parquet" for name in ("scores", "unused"))
    keys = ["method", "degradation", "replicate", "filter"]
    first, second = (
        pd.read_parquet(path).astype({"method": str, "degradation": str}).sort_values(keys) for path in (one, two)
    )
    largest = first.groupby(["method", "degradation", "replicate"])["score"].transform("max")
    assert (np.abs(first["score"].to_numpy() - second["score"].to_numpy()) <= 1e-6 * largest.to_numpy()).all()
    assert read_metadata(two)["computed_with"]["processes"] == "2"
