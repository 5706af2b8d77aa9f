"""Checkpoints of others: read in all their wrappings, written back under their keys, and refused where they are bad."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from zoo import NETWORKS, vary, with_new_keys

from faig.base.errors import InputError
from faig.networks.checkpoints import read_checkpoint, write_like
from faig.networks.foreign import import_spandrel
from faig.networks.models import build_network
from faig.networks.weights import NetworkChoice, adopt, write_back

WEIGHTS = {"last.weight": torch.arange(27.0).view(1, 3, 3, 3), "last.bias": torch.tensor([0.5])}


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def prefixed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize(
    ("content", "wrapping", "prefix"),
    [
        (WEIGHTS, None, ""),
        ({"params": WEIGHTS}, "params", ""),
        ({"params": {"x": torch.zeros(1)}, "params_ema": WEIGHTS}, "params_ema", ""),
        ({"state_dict": prefixed("module.", WEIGHTS), "epoch": 3, "lr": 0.1}, "state_dict", "module."),
        (prefixed("module.", WEIGHTS), None, "module."),
        ({"model_state_dict": WEIGHTS, "optimizer": {"state": {}}}, "model_state_dict", ""),
    ],
)
def test_every_usual_wrapping_is_found_and_kept(content: Any, wrapping: str | None, prefix: str, tmp_path: Path):
    torch.save(content, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert same(checkpoint.weights, WEIGHTS)
    assert (checkpoint.wrapping, checkpoint.prefix) == (wrapping, prefix)
    doubled = {key: 2 * value for key, value in WEIGHTS.items()}
    write_like(tmp_path / "b.pth", checkpoint, doubled)
    again = read_checkpoint(tmp_path / "b.pth")
    assert same(again.weights, doubled)
    assert (again.wrapping, again.prefix) == (wrapping, prefix)
    write_like(tmp_path / "b.safetensors", checkpoint, {"last.bias": torch.tensor([7.0])})
    assert same(load_file(tmp_path / "b.safetensors"), prefixed(prefix, {**WEIGHTS, "last.bias": torch.tensor([7.0])}))


def test_what_a_file_is_its_content_says_not_its_name(tmp_path: Path):
    torch.save(WEIGHTS, tmp_path / "a.safetensors")
    save_file(WEIGHTS, tmp_path / "b.pth")
    torch.save(WEIGHTS, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pth", "c.pth"):
        assert same(read_checkpoint(tmp_path / name).weights, WEIGHTS)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_fp32_and_are_written_back_as_they_were(kind: torch.dtype, tmp_path: Path):
    save_file({key: value.to(kind) for key, value in WEIGHTS.items()}, tmp_path / "a.safetensors")
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert same(checkpoint.weights, WEIGHTS)
    write_like(tmp_path / "b.safetensors", checkpoint, checkpoint.weights)
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def quantised(path: Path) -> None:
    torch.save({"w": torch.quantize_per_tensor(torch.rand(2, 2), 0.1, 0, torch.qint8)}, path)


def cut_off(path: Path) -> None:
    torch.save(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-300])


def cut_off_safetensors(path: Path) -> None:
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: torch.save({"params": WEIGHTS, "hook": Bomb()}, path), r"is refused: .* could run code"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb(), protocol=2)), r"a\.pth (is refused|cannot be read)"),
        (cut_off, r"a\.pth cannot be read, it is damaged or cut off"),
        (cut_off_safetensors, r"a\.pth is a damaged safetensors file"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(99)), r"cannot be read, it is damaged"),
        (lambda path: path.write_bytes(b""), r"neither a safetensors file nor one that torch\.save wrote"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), r"neither a safetensors file nor"),
        (lambda path: torch.save([torch.zeros(1)], path), r"holds a list, not a state dict"),
        (lambda path: torch.save({"epoch": 3, "best": 1.5}, path), r"holds no weights; its keys are epoch, best"),
        (lambda path: torch.save({}, path), r"holds no weights; its keys are none"),
        (lambda path: torch.save({"w": torch.full((2, 2), float("nan"))}, path), r"weights of w are not finite"),
        (lambda path: torch.save({"w": torch.full((2,), float("inf"))}, path), r"weights of w are not finite"),
        (lambda path: torch.save({"w": torch.zeros(2, 2, dtype=torch.int8)}, path), r"w is quantised \(torch\.int8\)"),
        (lambda path: torch.save({"w": torch.zeros(2, 2).to(torch.float8_e4m3fn)}, path), r"w is quantised"),
        (quantised, r"w is quantised"),
        (lambda path: torch.save({"w": torch.zeros(2).to(torch.float8_e5m2)}, path), r"w is quantised"),
        (
            lambda path: torch.save({"a.weight": torch.zeros(2, 2, dtype=torch.int32), "b": torch.zeros(1)}, path),
            r"a\.weight is quantised \(torch\.int32\)",
        ),
        (lambda path: torch.jit.script(torch.nn.Linear(2, 2)).save(path), r"is a TorchScript program: save its state"),
        (lambda path: torch.save({"w": torch.eye(2).to_sparse()}, path), r"w is not a dense tensor of real numbers"),
        (lambda path: torch.save({"w": torch.zeros(2, dtype=torch.cfloat)}, path), r"w is not a dense tensor of real"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of PyTorch, on kinds of tensors that it is about to drop
def test_what_is_no_usable_checkpoint_is_refused(
    write: Callable[[Path], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "a.pth")
    assert not Path("exploded").exists()


def test_the_bomb_is_a_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"hook": Bomb()}, "a.pth")
    torch.load("a.pth", weights_only=False)
    assert Path("exploded").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.pth does not exist"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_weights_that_the_file_does_not_hold_are_not_written(tmp_path: Path):
    torch.save(WEIGHTS, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    for weights in ({"other": torch.zeros(1)}, {"last.bias": torch.zeros(2)}):
        with pytest.raises(InputError, match="holds no"):
            write_like(tmp_path / "b.pth", checkpoint, weights)
    assert not (tmp_path / "b.pth").exists()


# Written back


@pytest.mark.filterwarnings("ignore:torch.meshgrid", "ignore:'saved_variables' is deprecated")
@pytest.mark.parametrize("name", ["esrgan", "esrgan renamed", "swinir", "span", "rcan", "dncnn", "nafnet"])
def test_changed_weights_come_back_under_the_file_s_own_keys(name: str, tmp_path: Path):
    """Reading what was written gives the changed network."""
    import_spandrel()
    specimen = NETWORKS[name.split()[0]]
    weights = specimen.build().state_dict()
    torch.save({"params_ema": with_new_keys(weights) if "renamed" in name else weights}, tmp_path / "a.pth")
    choice = NetworkChoice(name="spandrel", width=4, depth=1, pretrained=tmp_path, files={"baseline": "a.pth"})
    adopted, _ = adopt(tmp_path / "a.pth", choice, specimen.scale)
    changed = vary(adopted.state_dict(), adopted, share=0.3)
    write_back(tmp_path / "b.pth", tmp_path / "a.pth", choice, changed)
    first, second = (torch.load(tmp_path / f"{name}.pth", weights_only=True)["params_ema"] for name in "ab")
    assert list(first) == list(second)
    again, _ = adopt(tmp_path / "b.pth", choice, specimen.scale)
    assert same(dict(again.state_dict()), changed)


def test_the_authors_names_come_back(tmp_path: Path):
    choice = NetworkChoice(name="srresnet", width=4, depth=1, pretrained=tmp_path, files={"baseline": "a.pth"})
    ours = {key: torch.rand_like(value) for key, value in build_network(choice.spec(2)).state_dict().items()}
    theirs = {"conv_first": "first", "upconv1": "upsample.0", "conv_hr": "high", "conv_last": "last"}
    names = {f"{own}.{kind}": f"{other}.{kind}" for other, own in theirs.items() for kind in ("weight", "bias")}
    torch.save({"params": {names.get(key, key): value for key, value in ours.items()}}, tmp_path / "a.pth")
    doubled = {key: 2 * value for key, value in ours.items()}
    write_back(tmp_path / "b.safetensors", tmp_path / "a.pth", choice, doubled)
    assert same(load_file(tmp_path / "b.safetensors"), {names.get(key, key): value for key, value in doubled.items()})
