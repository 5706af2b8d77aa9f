"""Adding a degradation and removing it, in a fresh clone on the smoke preset with two targets.

One story, told once by the fixture ``story``; each test is about one chapter.
"""

import sys

import pytest
from project import Project, commit, dependents, expand, smoke_project

from faig.report.numbers import read_numbers

pytestmark = pytest.mark.slow
TARGETS = ["blind", "only_noise"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run everything, add jpeg, and remove jpeg; each chapter starts where the last one ended."""
    project = smoke_project(tmp_path_factory)
    project.edit_params("  only_blur:\n    mixture: {blur: 1}\n    attribute: [blur]\n    effort: 0.2\n", "")
    project.dvc("first", "repro")
    project.kept["first"] = project.results()
    commit(project)
    project.edit_params("degradations:\n", "degradations:\n  jpeg:\n    - downsample\n    - jpeg: {quality: 20}\n")
    project.edit_params("mixture: {clean: 2.0, ", "mixture: {clean: 2.0, jpeg: 1.0, ")
    project.dvc("jpeg added", "repro")
    project.kept["with jpeg"] = read_numbers(project.folder / "metrics/mission.parquet")
    project.run("git", "checkout", "-q", "params.yaml")
    project.run(sys.executable, "-m", "tools.clean_stale")
    project.dvc("jpeg removed", "repro")
    project.kept["jpeg removed"] = project.results()
    return project


def test_adding_a_degradation_runs_only_what_it_affects(story: Project):
    affected = {"check", "synthesize@jpeg", *expand(TARGETS, "pair@*"), *dependents(story, "pair@blind")}
    assert {"synthesize@jpeg", "finetune@blind", "score@blind", "mask"} <= story.ran["jpeg added"] <= affected


def test_the_added_degradation_is_trained_on_and_measured(story: Project):
    metrics = story.kept["with jpeg"]
    assert "jpeg" in metrics["finetune"]["blind"]
    assert "jpeg" not in metrics["finetune"]["only_noise"]
    assert "jpeg" in metrics["mask"]["blind"]["faig"]["noise"]["lost_db"]
    assert "jpeg" not in metrics["ratios"]["only_noise"]["faig"]["noise"]["0.1"]["lost_db"]


def test_removing_the_degradation_leaves_nothing_stale(story: Project):
    assert not [name for name in story.kept["jpeg removed"] if "jpeg" in name]
    assert story.kept["jpeg removed"] == story.kept["first"]
    assert story.ran["jpeg removed"] <= {"check", "summarize"}  # all else is taken from the run-cache
