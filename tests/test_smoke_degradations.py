"""Sharing results, adding a degradation and removing it, in a fresh clone on the smoke preset with two targets.

One story, told once by the fixture ``story``; each test is about one chapter.
"""

import sys
from pathlib import Path

import pytest
from project import ALWAYS, Project, commit, expand, smoke_project
from ssh_server import ssh_server

TARGETS = ["blind", "noise"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run everything, share it, add jpeg, and remove jpeg; each chapter starts where the last one ended."""
    folder = tmp_path_factory.mktemp("shared")
    project = smoke_project(tmp_path_factory)
    project.edit_params("  blur:\n    mixture: {blur: 1}\n    attribute: [blur]\n    effort: 0.2\n", "")
    project.dvc("first", "repro")
    project.kept["first"] = project.results()
    commit(project)
    with ssh_server(folder) as (port, key, home):
        project.environment["HOME"] = str(home)
        url = f"ssh://somebody@127.0.0.1:{port}{folder}/far"
        push(project, "far", url, "keyfile", str(key))
        project.kept["far"] = pull(project, folder / "from_far")
    push(project, "near", str(folder / "near"))
    project.kept["damaged"] = pull_damaged(project, folder)
    project.edit_params("degradations:\n", "degradations:\n  jpeg:\n    - downsample\n    - jpeg: {quality: 20}\n")
    project.edit_params("mixture: {clean: 2.0, ", "mixture: {clean: 2.0, jpeg: 1.0, ")
    project.dvc("jpeg added", "repro")
    project.kept["with jpeg"] = project.metrics()
    project.run("git", "checkout", "-q", "params.yaml")
    project.dvc("jpeg removed", "repro")
    project.kept["jpeg removed"] = project.results()
    project.dvc("still removed", "repro")
    return project


DVC = (sys.executable, "-m", "dvc")


def push(project: Project, remote: str, url: str, *settings: str) -> None:
    """Push the results to a remote, which the clones then know."""
    project.run(*DVC, "remote", "add", "--default", "--force", remote, url)
    project.run(*DVC, "remote", "modify", remote, "verify", "true")
    if settings:
        project.run(*DVC, "remote", "modify", remote, *settings)
    commit(project)
    project.run(*DVC, "push")


def pull(project: Project, folder: Path) -> Project:
    """A colleague clones into ``folder``, pulls, and runs the pipeline."""
    project.run("git", "clone", "-q", ".", str(folder))
    colleague = Project(folder, project.environment)
    colleague.run(*DVC, "pull")
    colleague.dvc("pulled", "repro")
    colleague.kept["pulled"] = colleague.results()
    return colleague


def pull_damaged(project: Project, folder: Path) -> str:
    """Damage the largest object of the near remote, and pull into another clone; returns what was printed."""
    largest = max(
        (path for path in (folder / "near").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    largest.chmod(0o644)
    largest.write_bytes(b"?" + largest.read_bytes()[1:])
    project.run("git", "clone", "-q", ".", str(folder / "damaged"))
    return Project(folder / "damaged", project.environment).fail(*DVC, "pull")


def test_a_colleague_pulls_over_ssh_and_has_nothing_to_run(story: Project):
    assert story.kept["far"].ran["pulled"] == ALWAYS
    assert story.kept["far"].kept["pulled"] == story.kept["first"]


def test_a_damaged_object_is_noticed(story: Project):
    assert "Checkout failed for following targets:\ndata/hr\n" in story.kept["damaged"]


def test_adding_a_degradation_runs_only_what_it_affects(story: Project):
    blind = {f"{stage}@blind" for stage in ("finetune", "score", "mask", "sweep")} | {"attribute_crops", "predict"}
    blind |= {"modulate", "compare_targets", "retrain", "compare_branches", "compare_predictors", "severity", "claims"}
    assert story.ran["jpeg added"] == {*ALWAYS, "check", "synthesize@jpeg"} | expand(TARGETS, "pair@*") | blind


def test_the_added_degradation_is_trained_on_and_measured(story: Project):
    metrics = story.kept["with jpeg"]
    assert "jpeg" in metrics["finetune"]["blind"]
    assert "jpeg" not in metrics["finetune"]["noise"]
    assert "jpeg" in metrics["mask"]["blind"]["faig"]["noise"]["lost_db"]
    assert "jpeg" not in metrics["mask"]["noise"]["faig"]["noise"]["lost_db"]


def test_removing_the_degradation_leaves_nothing_stale(story: Project):
    assert not [name for name in story.kept["jpeg removed"] if "jpeg" in name]
    assert story.kept["jpeg removed"] == story.kept["first"]
    assert story.ran["jpeg removed"] <= {*ALWAYS, "check"}  # all else is taken from the run-cache
    assert story.ran["still removed"] == ALWAYS
