"""Two checkpoints of others through both pipelines: SPAN, which has gradients in training mode alone, by channels."""

import json

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from project import Project, commit, smoke_project
from zoo import NETWORKS, vary

from faig.attribution.filters import ALL_INPUTS
from faig.networks.checkpoints import read_checkpoint
from faig.networks.foreign import import_spandrel
from tools.export import main as export

pytestmark = pytest.mark.slow
FOUR_LINES = """only: [targets]
granularity: channel
targets: {blind: {}}
network: {name: spandrel, pretrained: weights, files: {baseline: a.pth, blind: b.pth}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The smoke preset, and two files of which the second is the first with other weights."""
    import_spandrel()
    project = smoke_project(tmp_path_factory)
    network = NETWORKS["span"].build()
    (project.folder / "weights").mkdir()
    torch.save({"params_ema": network.state_dict()}, project.folder / "weights/a.pth")
    torch.save({"params": vary(network.state_dict(), network)}, project.folder / "weights/b.pth")
    (project.folder / "presets/mine.yaml").write_text(FOUR_LINES, encoding="utf-8")
    project.run("python", "-m", "tools.preset", "mine")
    commit(project)
    project.dvc("all", "repro", "-P")
    return project


def test_both_pipelines_run_and_nothing_is_trained(project: Project):
    assert {"train_baseline", "finetune@blind", "summarize"} <= project.ran["all"]
    curves = pd.concat([pd.read_parquet(path) for path in (project.folder / "data/curves").glob("*.parquet")])
    assert curves["iteration"].to_list() == [0, 0]
    metrics = json.loads((project.folder / "metrics/mission.json").read_text())
    assert metrics["weights_correlation"] > 0.99
    assert metrics["faig_convergence_error"] < 1e-3  # in evaluation mode it would be near 1


def test_filters_are_whole_channels(project: Project):
    scores = pd.read_parquet(project.folder / "data/scores/blind.parquet")
    assert set(scores["in_channel"]) == {ALL_INPUTS}


def test_what_a_second_branch_would_need_is_said_and_left_out(project: Project):
    claims = pd.read_csv(project.folder / "plots/argument/claims.csv").set_index("claim")
    assert set(claims[claims.index.str.contains("branch")]["verdict"]) == {"not measured"}


def test_the_target_is_exported_without_an_ability_under_its_own_keys(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project.folder)
    result = CliRunner().invoke(export, ["--dial", "noise=0", "--output", "quiet.pth"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    before, after = (read_checkpoint(project.folder / name) for name in ("weights/b.pth", "quiet.pth"))
    assert (after.wrapping, list(after.weights)) == ("params", list(before.weights))
    changed = [key for key, value in before.weights.items() if not torch.equal(value, after.weights[key])]
    assert changed
    assert all(key.endswith("weight") for key in changed)  # masking leaves biases alone


@pytest.mark.parametrize(
    ("dial", "message"),
    [
        ("fog=0", "there are no filters of fog; known are blur, noise"),
        ("noise", "write a degradation and its lambda"),
        ("noise=nan", "write a degradation and its lambda"),
    ],
)
def test_a_dial_that_does_not_exist_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, dial: str, message: str
):
    monkeypatch.chdir(project.folder)
    result = CliRunner().invoke(export, ["--dial", dial, "--output", "quiet2.pth"])
    assert result.exit_code == 1
    assert message in result.output
    assert not (project.folder / "quiet2.pth").exists()


def test_a_file_that_others_open_is_never_overwritten_nor_of_another_kind(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project.folder)
    for output, message in (("weights/b.pth", "is a file that the output is made of"), ("a.npz", "must end in")):
        result = CliRunner().invoke(export, ["--dial", "noise=0", "--output", output])
        assert result.exit_code == 1
        assert message in result.output
