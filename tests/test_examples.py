"""The examples of networks that are defined elsewhere go through the stages, and restore what they should."""

import os
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT, overlay
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from examples.waifu2x import network as waifu2x
from faig.attribution.filters import find_layers
from faig.data.images import write_png
from faig.data.pairs import list_pairs, write_entries
from faig.networks.foreign import ForeignSpec
from faig.networks.frames import Frame
from faig.networks.weights import NetworkChoice, adopt, load_network, make_network
from stages.check import main as check
from stages.finetune import main as finetune
from stages.score import main as score
from stages.train_baseline import main as train_baseline
from tools.preset import apply_preset

TRAINING = "{iterations: 2, batch_size: 1, patch_size: 32, log_every: 1, checkpoint_every: 1, validation_images: 1}"
TINY = f"""
train_baseline: {TRAINING}
finetune: {TRAINING}
score:
  images: {{num: 1, size: 32}}
  dead_leaves: {{num: 1, size: 32}}
  quadrature: {{num_nodes: 2}}
  learned: {{images: {{num: 1, size: 32}}, steps: 2}}
  num_random: 1
"""
PAIR = ("scale", "noise3_scale")


def start_project(preset: str, *degradations: str) -> None:
    """Write params.yaml of a preset, much reduced, and two images of each split and degradation, where we are."""
    text = apply_preset(preset, (ROOT / "params.yaml").read_text(encoding="utf-8"))[0]
    Path("params.yaml").write_text(overlay(text, TINY), encoding="utf-8")
    shutil.copytree(ROOT / f"examples/{preset}", f"examples/{preset}", ignore=shutil.ignore_patterns("*.safetensors"))
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for folder, size in {"hr": 32, **{f"lr/{name}": 16 for name in degradations}}.items():
            path = Path("data", folder, split, "a.png")
            path.parent.mkdir(parents=True)
            write_png(path, generator.integers(256, size=(size, size, 3), dtype=np.uint8))
    write_entries(Path("pairs.csv"), list_pairs(Path("data/hr"), Path("data/lr"), list(degradations)))


def run(stage: click.Command, *options: str) -> str:
    """Run a stage with the paths that it asks for; returns what it printed."""
    known = {option for parameter in stage.params for option in parameter.opts}
    paths = {"--hr": "data/hr", "--lr": "data/lr", "--pairs": "pairs.csv", "--target": "blind"}
    paths |= {"--baseline": "baseline.safetensors", "--network": "blind.safetensors"}
    words = [word for option, path in paths.items() if option in known for word in (option, path)]
    result = CliRunner().invoke(stage, [*words, *options])
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def run_stages() -> tuple[str, pd.DataFrame]:
    """What the stages that make the baseline and the target print, and the scores of the target's filters."""
    run(check, "--output", "checked.txt")
    printed = run(train_baseline, "--output", "baseline.safetensors", "--curve", "baseline.parquet")
    printed += run(finetune, "--output", "blind.safetensors", "--curve", "blind.parquet")
    run(score, "--output", "scores.parquet")
    return printed, pd.read_parquet("scores.parquet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which we are, as DVC is in the project's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def narrow() -> dict[str, torch.Tensor]:
    """Weights of the example's network, four channels wide."""
    network = nn.ModuleDict()
    for number, (before, after) in enumerate(pairwise((3, *(4,) * 6)), start=1):
        network[f"conv{number}"] = nn.Conv2d(before, after, 3)
    network["conv7"] = nn.ConvTranspose2d(4, 3, 4, bias=False)
    return network.state_dict()


@pytest.mark.slow
def test_waifu2x_s_pair_goes_through_the_stages_and_keeps_its_weights(folder: Path):
    start_project("waifu2x", "clean", "jpeg_40", "jpeg_15")
    path = Path("examples/waifu2x/network.py")
    path.write_text(path.read_text().replace(str(waifu2x.CHANNELS)[1:-1], str((3, *(4,) * 6))[1:-1]))
    weights = {name: narrow() for name in PAIR}
    for name in PAIR:
        save_file(weights[name], path.with_name(f"{name}.safetensors"))
    printed, scores = run_stages()
    assert printed.count("is taken, nothing is trained") == 2
    for name, given in (("baseline", "scale"), ("blind", "noise3_scale")):
        taken = load_file(f"{name}.safetensors")
        assert all(torch.equal(taken[key], value) for key, value in weights[given].items())
    assert set(scores["degradation"]) == {"jpeg_40"}
    assert scores.query("method == 'faig'").shape[0] == 3 * 4 + 5 * 4 * 4 + 4 * 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")  # in spandrel's SwinIR
def test_a_small_swinir_is_trained_and_its_attention_scored(folder: Path):
    start_project("swinir", "clean", "blur", "noise", "blur_noise")
    printed, scores = run_stages()
    assert "is taken" not in printed
    before, after = (load_file(f"{name}.safetensors") for name in ("baseline", "blind"))
    fixed = [name for name, value in before.items() if not value.is_floating_point()]
    assert fixed
    assert all(torch.equal(before[name], after[name]) for name in fixed)
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    choice = NetworkChoice(
        name="network.py:make_network", width=2, depth=1, pretrained=folder / "examples/swinir", files={}
    )
    network, spec = load_network(folder / "blind.safetensors", choice)
    assert spec == make_network(choice, 2, seed=0)[1]
    found = scores.query("method == 'learned' and degradation == 'blur'")
    assert len(found) == sum(layer.num_out for layer in find_layers(network))
    assert found["layer"].astype(str).str.endswith("attn.qkv").any()
    assert network(torch.rand(1, 3, 9, 13)).shape == (1, 3, 18, 26)


def write_wheel(path: Path, weights: dict[str, torch.Tensor], names: tuple[str, ...]) -> Path:
    arrays = {key.replace(".weight", "/W").replace(".bias", "/b"): value.numpy() for key, value in weights.items()}
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            with wheel.open(f"waifu2x/models/upconv7/anime_style_{name}_rgb.npz", "w") as file:
                np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    return path


def test_the_converter_writes_each_network_s_weights(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waifu2x, "__file__", str(folder / "network.py"))
    result = CliRunner().invoke(waifu2x.main, [str(write_wheel(folder / "a.whl", narrow(), waifu2x.WEIGHTS))])
    assert result.exit_code == 0, result.output
    for name in waifu2x.WEIGHTS:
        assert load_file(folder / f"{name}.safetensors").keys() == narrow().keys()


def test_the_converter_refuses_another_wheel(folder: Path):
    (folder / "text.whl").write_text("no wheel")
    for path in (folder / "text.whl", write_wheel(folder / "empty.whl", {}, ())):
        result = CliRunner().invoke(waifu2x.main, [str(path)])
        assert result.exit_code == 1
        assert f"{path} is not the wheel of waifu2x" in result.output


class UpConv7(nn.Module):
    """A second implementation: the image's edge is repeated around it first, the convolutions take it away."""

    def __init__(self) -> None:
        super().__init__()
        for number, (before, after) in enumerate(pairwise((3, 16, 32, 64, 128, 256, 256)), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3))
        self.conv7 = nn.ConvTranspose2d(256, 3, 4, stride=2, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(x, (7,) * 4, mode="replicate")
        for layer in list(self.children())[:-1]:
            x = functional.leaky_relu(layer(x), 0.1)
        return self.conv7(x)


def pretrained(folder: Path) -> Path:
    """The example's weights: those in its folder, or of the wheel that WAIFU2X_WHEEL names, or else drawn at random."""
    path, wheel = ROOT / "examples/waifu2x/noise3_scale.safetensors", os.environ.get("WAIFU2X_WHEEL")
    if path.is_file():
        return path
    path = folder / path.name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(waifu2x.read_weights(Path(wheel), path.stem) if wheel else UpConv7().state_dict(), path)
    return path


def test_waifu2x_s_network_in_its_frame_restores_what_the_second_implementation_does_bit_for_bit(folder: Path):
    path = pretrained(folder)
    choice = NetworkChoice(
        name="network.py:make_network", width=2, depth=1, pretrained=ROOT / "examples/waifu2x", files={}
    )
    network, spec = adopt(path, choice, scale=2)
    assert isinstance(spec, ForeignSpec)
    assert spec.frame == Frame(scale=2, channels=3, multiple=1, margin=7, several=False)
    reference = UpConv7()
    reference.load_state_dict(load_file(path))
    for size in ((13, 17), (8, 8), (1, 30)):
        image = torch.from_numpy(np.random.default_rng(0).random((1, 3, *size), dtype=np.float32))
        with torch.no_grad():
            assert torch.equal(network(image), reference(image))
