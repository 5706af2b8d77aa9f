"""What a run found, written to files: the target with its dials turned, the baseline with plug-ins, and plug-ins."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT, TINY, overlay
from safetensors.torch import save_file
from torch import Tensor

from faig.attribution.filters import FilterIndex
from faig.attribution.path import mask
from faig.base.ranking import discovered
from faig.experiments.score_table import Key, write_scores
from faig.networks.models import build_network
from faig.networks.plugins import extract, load_plugin, moving_weights, plug_in, save_plugin
from faig.networks.weights import load_network, save_network
from tools.export import main

PARAMS = "network: {width: 4, depth: 1, pretrained: given, files: {}}\nmask_ratio: 0.05"
AS_GIVEN = "network: {files: {baseline: a.pth, blind: b.pth}}"
INDEX = FilterIndex.of(build_network(TINY, 0))
BASELINE, TARGET = (moving_weights(build_network(TINY, seed)) for seed in (0, 1))
SCORES = {
    name: np.random.default_rng(number).random(INDEX.num_filters) for number, name in enumerate(("blur", "noise"))
}
FOUND = {name: discovered(scores, 0.05) for name, scores in SCORES.items()}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which we are, with what a run leaves of two tiny networks and their scores."""
    monkeypatch.chdir(tmp_path)
    text = overlay((ROOT / "params.yaml").read_text(encoding="utf-8"), PARAMS)
    Path("params.yaml").write_text(text, encoding="utf-8")
    for name, weights in (("baseline", BASELINE), ("blind", TARGET)):
        save_network(Path(f"data/networks/{name}.safetensors"), TINY, weights)
    write_scores(Path("data/scores/blind.parquet"), INDEX, {Key("faig", name): SCORES[name] for name in SCORES}, {})
    return tmp_path


def export(*words: str, code: int = 0) -> str:
    """Run the command; returns what it said."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code, result.output or result.exception
    return " ".join(result.output.split())


def written(path: str) -> dict[str, Tensor]:
    return moving_weights(load_network(Path(path))[0])


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def make_both() -> None:
    for name in FOUND:
        export("--make-plug-in", name, "--output", f"{name}.safetensors")


def test_a_plugin_of_the_run_holds_the_targets_kernels_and_says_how_it_was_made(run: Path):
    make_both()
    plugin = load_plugin(Path("blur.safetensors"))
    assert np.array_equal(plugin.filters, np.sort(FOUND["blur"]))
    assert equal(plug_in(BASELINE, INDEX, [(plugin, 1.0)]), mask(BASELINE, TARGET, INDEX, FOUND["blur"]))
    assert plugin.header.settings == {"degradation": "blur", "method": "faig", "mask_ratio": 0.05, "iterations": 0}


def test_the_baseline_is_written_with_plugins_at_their_strengths(run: Path):
    make_both()
    said = export("--plug-in", "blur.safetensors=1", "--plug-in", "noise.safetensors=0.5", "--output", "x.safetensors")
    assert said == "x.safetensors written: blur.safetensors=1, noise.safetensors=0.5"
    plugins = [(load_plugin(Path(f"{name}.safetensors")), value) for name, value in (("blur", 1.0), ("noise", 0.5))]
    assert equal(written("x.safetensors"), plug_in(BASELINE, INDEX, plugins))
    export("--plug-in", "blur.safetensors=0", "--output", "x.safetensors")
    assert equal(written("x.safetensors"), BASELINE)


def test_a_baseline_elsewhere_needs_no_run(run: Path, monkeypatch: pytest.MonkeyPatch):
    make_both()
    elsewhere = run / "elsewhere"
    elsewhere.mkdir()
    for name in ("data/networks/baseline.safetensors", "blur.safetensors"):
        (run / name).rename(elsewhere / Path(name).name)
    monkeypatch.chdir(elsewhere)
    export("--plug-in", "blur.safetensors=1", "--baseline", "baseline.safetensors", "--output", "x.safetensors")
    assert equal(written("x.safetensors"), mask(BASELINE, TARGET, INDEX, FOUND["blur"]))


def test_a_baseline_of_others_is_written_under_their_keys(run: Path):
    """The paper's models call their first layer conv_first, ours first; theirs lie under params."""
    make_both()
    Path("params.yaml").write_text(overlay(Path("params.yaml").read_text(), AS_GIVEN))
    theirs = {"first": "conv_first", "upsample.0": "upconv1", "high": "conv_hr", "last": "conv_last"}
    keys = {own: own for own in build_network(TINY, 0).state_dict()}
    for own, other in theirs.items():
        keys |= {key: key.replace(own, other, 1) for key in keys if key.startswith(f"{own}.")}
    Path("given").mkdir()
    torch.save({"params": {keys[name]: value for name, value in BASELINE.items()}}, "given/a.pth")
    export("--plug-in", "blur.safetensors=1", "--output", "x.pth")
    found = torch.load("x.pth", weights_only=True)["params"]
    expected = mask(BASELINE, TARGET, INDEX, FOUND["blur"])
    assert equal(found, {keys[name]: value for name, value in expected.items()})
    assert "is a file that the output is made of" in export(
        "--plug-in", "blur.safetensors=1", "--output", "given/a.pth", code=1
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plug-in", "fog.safetensors=1"), "fog.safetensors does not exist"),
        (("--plug-in", "text.safetensors=1"), "text.safetensors is not a plug-in of this project"),
        (("--plug-in", "data/networks/baseline.safetensors=1"), "baseline.safetensors is not a plug-in"),
        (("--plug-in", "other.safetensors=1"), "other.safetensors: the plug-in was made for the baseline"),
        (("--plug-in", "blur.safetensors=1", "--plug-in", "channel.safetensors=1"), "granularity channel, not kernel"),
        (("--plug-in", "blur.safetensors=much"), "--plug-in blur.safetensors=much: write a plug-in's file and its"),
        (("--plug-in", "blur.safetensors=inf"), "write a plug-in's file and its strength, blur.safetensors=0.5"),
        (("--plug-in", "blur.safetensors"), "write a plug-in's file and its strength"),
        (("--plug-in", "blur.safetensors=1", "--plug-in", "blur.safetensors=1"), "blur.safetensors is named twice"),
        (("--plug-in", "blur.safetensors=1e39"), "write a plug-in's file and its strength"),
        (("--plug-in", "=1"), "write a plug-in's file and its strength"),
        (("--plug-in", "blur.safetensors=1", "--baseline", "fog.safetensors"), "fog.safetensors does not exist"),
        (("--make-plug-in", "fog"), "there are no filters of fog; known are blur, noise"),
        (("--dial", "fog=0"), "there are no filters of fog; known are blur, noise"),
    ],
)
def test_what_cannot_be_written_is_refused_and_said(run: Path, words: tuple[str, ...], message: str):
    make_both()
    Path("text.safetensors").write_text("no safetensors")
    other = {name: value + 1 for name, value in BASELINE.items()}
    save_plugin(Path("other.safetensors"), extract(TARGET, other, INDEX, FOUND["blur"]))
    channels = FilterIndex.of(build_network(TINY, 0), granularity="channel")
    save_plugin(Path("channel.safetensors"), extract(TARGET, BASELINE, channels, np.array([0])))
    assert message in export(*words, "--output", "x.safetensors", code=1)
    assert not Path("x.safetensors").exists()


def test_nothing_that_is_needed_is_overwritten_nor_called_what_it_is_not(run: Path):
    make_both()
    for words, output, message in (
        (("--plug-in", "blur.safetensors=1"), "blur.safetensors", "is a file that the output is made of"),
        (("--plug-in", "blur.safetensors=1"), "data/networks/baseline.safetensors", "is a file that the output"),
        (("--make-plug-in", "blur"), "data/networks/blind.safetensors", "is a file that the output is made of"),
        (("--make-plug-in", "blur"), "blur.pth", "must end in .safetensors, as a plug-in's file does"),
        (("--plug-in", "blur.safetensors=1"), "x.pth", "must end in .safetensors: data/networks/baseline"),
        (("--plug-in", "blur.safetensors=1"), "x.npz", "must end in .safetensors, .pth"),
    ):
        before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
        assert message in export(*words, "--output", output, code=1)
        assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == before


def test_one_thing_is_written_at_a_time(run: Path):
    for words in (
        (),
        ("--dial", "blur=0", "--plug-in", "blur.safetensors=1"),
        ("--dial", "a=0", "--make-plug-in", "a"),
    ):
        assert "one of --dial, --plug-in and --make-plug-in" in export(*words, "--output", "x.safetensors", code=2)
    words = ("--dial", "blur=0", "--baseline", "a.safetensors", "--output", "x.safetensors")
    assert "--baseline goes with --plug-in" in export(*words, code=2)


def test_without_a_run_the_stage_that_is_missing_is_named(run: Path):
    Path("data/networks/baseline.safetensors").unlink()
    save_file({"weight": torch.zeros(1)}, "blur.safetensors")
    message = "data/networks/baseline.safetensors does not exist: run the stage that writes it first"
    assert message in export("--make-plug-in", "blur", "--output", "x.safetensors", code=1)
    assert message in export("--plug-in", "blur.safetensors=1", "--output", "x.safetensors", code=1)
