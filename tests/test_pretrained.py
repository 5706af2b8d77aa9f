"""Published weights are taken as they were published, or refused; what is not published is trained."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from conftest import overlay

from faig.data.images import write_png
from faig.data.pairs import list_pairs, write_entries
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.pretrained import SUMS, find_weights, given_network, published_digests, verify_given
from faig.networks.training import CURVE
from faig.networks.weights import NetworkChoice, save_network
from stages.check import main as check
from stages.finetune import main as finetune
from stages.train_baseline import main as train_baseline
from tools.publish import MOST

ROOT = Path(__file__).parents[1]
TINY = NetworkSpec(params=NetworkParams(name="srresnet", width=4, depth=1), scale=2)
TRAINING = "{iterations: 2, batch_size: 1, patch_size: 16, log_every: 1, checkpoint_every: 1, validation_images: 1}"


def publish(folder: Path, *names: str, spec: NetworkSpec = TINY) -> Path:
    """Write weights of each name, of seeds 1, 2, ..., and their list."""
    for seed, name in enumerate(names, start=1):
        save_network(folder / f"{name}.safetensors", spec, build_network(spec, seed).state_dict())
    write_sums(folder)
    return folder


def choose(folder: Path, width: int = 4) -> NetworkChoice:
    return NetworkChoice(name="srresnet", width=width, depth=1, pretrained=folder, files={})


def write_sums(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))


def test_a_published_file_is_found_and_others_are_trained(tmp_path: Path):
    folder = publish(tmp_path, "baseline", "blind")
    assert find_weights(folder, "blind") == folder / "blind.safetensors"
    assert find_weights(folder, "noise") is None


def test_an_empty_folder_publishes_nothing_and_a_missing_one_is_refused(tmp_path: Path):
    for folder in (ROOT / "published/none", tmp_path):
        assert published_digests(folder) == {}
        assert find_weights(folder, "baseline") is None
    with pytest.raises(ValueError, match=r"network\.pretrained: the folder .*nowhere does not exist"):
        find_weights(tmp_path / "nowhere", "baseline")


def test_a_folder_of_anything_else_is_refused(tmp_path: Path):
    """A published network's folder, say, in place of the folder weights in it."""
    publish(tmp_path / "weights", "baseline")
    with pytest.raises(ValueError, match=r"SHA256SUMS does not exist"):
        find_weights(tmp_path, "baseline")


def test_digests_are_those_of_the_files(tmp_path: Path):
    digests = published_digests(publish(tmp_path, "baseline", "blind"))
    assert digests == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.safetensors")
    }


def damage(folder: Path) -> None:
    path = folder / "blind.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage, r"blind\.safetensors is not the file that was published: SHA-256 \w{64}, expected \w{64}"),
        (lambda folder: (folder / "blind.safetensors").unlink(), r"blind\.safetensors is missing, but .*SHA256SUMS"),
        (lambda folder: (folder / SUMS).unlink(), r"network\.pretrained: .*SHA256SUMS does not exist"),
        (lambda folder: (folder / SUMS).write_text("0  blind.safetensors"), r"SHA256SUMS, line 1 is not a SHA-256"),
        (lambda folder: (folder / SUMS).write_text(f"{'0' * 64}  ../x.safetensors"), r"line 1 is not a SHA-256"),
        (lambda folder: (folder / SUMS).write_bytes(b"\xff\xfe\x00"), r"line 1 is not a SHA-256"),
        (lambda folder: (folder / SUMS).write_text(""), r"lists no baseline\.safetensors"),
    ],
)
def test_what_was_changed_is_refused(tmp_path: Path, change: Callable[[Path], object], message: str):
    folder = publish(tmp_path, "baseline", "blind")
    change(folder)
    with pytest.raises(ValueError, match=message):
        find_weights(folder, "blind")
    with pytest.raises(ValueError, match=message):
        verify_given(choose(folder), ["blind"], scale=2)


def test_another_network_s_weights_are_refused(tmp_path: Path):
    given = given_network(choose(publish(tmp_path, "baseline")), "baseline", scale=2)
    assert given is not None
    assert given[0].state_dict().keys() == build_network(TINY).state_dict().keys()
    with pytest.raises(ValueError, match=r"is srresnet of width 4, depth 1, scale 2, but .* of width 8, depth 1"):
        given_network(choose(tmp_path, width=8), "baseline", scale=2)


# The stages


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an image per split and degradation, and a tiny network."""
    monkeypatch.chdir(tmp_path)
    for name in ("prepare", "train_baseline", "finetune"):
        Path("stages").mkdir(exist_ok=True)
        Path(f"stages/{name}.py").write_text("")
    changes = f"network: {{width: 4, depth: 1}}\ntrain_baseline: {TRAINING}\nfinetune: {TRAINING}\n"
    Path("params.yaml").write_text(overlay((ROOT / "params.yaml").read_text(), changes))
    shutil.copytree(ROOT / "published/none", "published/none")
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for folder, size in (("hr", 32), ("lr/clean", 16), ("lr/noise", 16)):
            path = Path("data", folder, split, "a.png")
            path.parent.mkdir(parents=True)
            write_png(path, generator.integers(256, size=(size, size, 3), dtype=np.uint8))
    write_entries(Path("pairs.csv"), list_pairs(Path("data/hr"), Path("data/lr"), ["noise", "clean"]))
    return tmp_path


def set_pretrained(folder: str) -> None:
    path = Path("params.yaml")
    path.write_text(overlay(path.read_text(), f"network: {{pretrained: {folder}}}"))


def run_training(name: str) -> Result:
    """Train the baseline, or the specialist for noise on top of it."""
    options = {"hr": "data/hr", "lr": "data/lr", "output": f"{name}.safetensors"}
    options |= {"curve": f"{name}.parquet"}
    if name == "only_noise":
        options |= {"target": name, "pairs": "pairs.csv", "baseline": "baseline.safetensors"}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    result = CliRunner().invoke(finetune if name == "only_noise" else train_baseline, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_published_weights_go_through_the_training_stages_unchanged(project: Path):
    for name in ("baseline", "only_noise"):
        assert run_training(name).exit_code == 0
    trained = {name: Path(f"{name}.safetensors").read_bytes() for name in ("baseline", "only_noise")}
    Path("weights").mkdir()
    for name in trained:
        shutil.move(f"{name}.safetensors", "weights")
    write_sums(Path("weights"))
    set_pretrained("weights")
    for name, data in trained.items():
        result = run_training(name)
        assert result.exit_code == 0, result.output
        assert Path(f"{name}.safetensors").read_bytes() == data
        curve = pd.read_parquet(f"{name}.parquet")
        assert list(curve) == list(CURVE)
        assert curve["iteration"].to_list() == [0]
        assert f"{curve['validation_psnr'][0]:.2f} dB" in result.output


def test_a_target_that_is_not_published_starts_from_the_published_baseline(project: Path):
    publish(Path("weights"), "baseline")
    set_pretrained("weights")
    assert run_training("baseline").exit_code == 0
    assert Path("baseline.safetensors").read_bytes() == Path("weights/baseline.safetensors").read_bytes()
    assert run_training("only_noise").exit_code == 0
    assert len(pd.read_parquet("only_noise.parquet")) == 1


@pytest.mark.parametrize(("scale", "message"), [(2, "is missing"), (4, "scale 4, but params.yaml asks for")])
def test_weights_that_cannot_be_taken_stop_the_stage_with_one_line(project: Path, scale: int, message: str):
    publish(Path("weights"), "baseline", spec=NetworkSpec(params=TINY.params, scale=scale))
    if scale == TINY.scale:
        Path("weights/baseline.safetensors").unlink()
    set_pretrained("weights")
    result = run_training("baseline")
    assert result.exit_code == 1
    assert re.fullmatch(f"Error: weights/baseline.safetensors .*{re.escape(message)}.*\n", result.output)
    assert not Path("baseline.safetensors").exists()


def test_damaged_weights_are_noticed_before_any_work(project: Path):
    publish(Path("weights"), "baseline", "blind")
    set_pretrained("weights")
    assert CliRunner().invoke(check, ["--output", "good.txt"]).exit_code == 0
    damage(Path("weights"))
    result = CliRunner().invoke(check, ["--output", "checked.txt"])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: weights/blind\.safetensors is not the file that was published: .*\n", result.output)
    assert not Path("checked.txt").exists()


# What this project publishes


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "published").glob("*/weights")), ids=lambda folder: folder.parent.name
)
def test_the_project_s_own_weights_are_whole_small_and_described(folder: Path):
    digests = published_digests(folder)
    assert set(digests) == {"baseline.safetensors", "blind.safetensors"}
    assert {path.name for path in folder.iterdir()} == {*digests, SUMS, "README.md"}
    card = (folder / "README.md").read_text()
    for name, digest in digests.items():
        path = find_weights(folder, name.removesuffix(".safetensors"))
        assert path is not None
        assert path.stat().st_size <= MOST
        assert f"{digest}  {name}" in card
    assert list((folder.parent / "runs").glob("*/metrics/mission.parquet"))
