"""Networks of others: found by their weights, framed, differentiated in the right mode, and rebuilt bit for bit."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU, TINY
from safetensors.torch import save_file
from torch import Tensor, nn
from zoo import NETWORKS, vary, with_new_keys

from faig.attribution.engine import attribute_images
from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.base.errors import InputError
from faig.base.params import ParamsError, validate
from faig.experiments.loading import load_model
from faig.networks.foreign import ForeignSpec, describe, import_spandrel, run_factory
from faig.networks.models import SRCNN, SRResNet, build_network
from faig.networks.pretrained import given_network, verify_given
from faig.networks.weights import NetworkChoice, adopt, all_names, load_network, make_network, save_network, write_back

# Older architectures call PyTorch in old ways.
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid", "ignore:'saved_variables' is deprecated")
HEAVY = ("dctlsa", "realcugan")
"""Networks whose integrals take 8 nodes, for time; all others take 16."""
REFUSED = {
    "uformer": "no image that is not square",
    "ipt": "takes neither RGB nor luma",  # restores patches of one size alone
}
"""Networks of the zoo that cannot be used, and what is said of them."""
ROUGH = {"hvicidnet": 0.5}
"""Convergence errors of networks whose loss is not smooth: clamps, and colours counted modulo 1."""
TRAINED = {"span", "plksr", "realplksr", "realplksr_dysample"}
"""Networks that can be differentiated in training mode alone."""


@pytest.fixture(autouse=True)
def spandrel() -> None:
    import_spandrel()


def choose(folder: Path, name: str = "spandrel", **files: str) -> NetworkChoice:
    return NetworkChoice(name=name, width=4, depth=1, pretrained=folder, files=files)


def factory(folder: Path, body: str) -> Path:
    """A factory's file: ``body`` is the class ``Net`` or all of ``make_network``."""
    text = "import torch\nfrom torch import nn\nfrom torch.nn import functional\n\n" + body
    if "def make_network" not in body:
        text += "\n\ndef make_network():\n    return Net()\n"
    (folder / "network.py").write_text(text)
    return folder / "network.py"


# The zoo


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - REFUSED.keys()))
def test_two_checkpoints_of_any_architecture_become_a_path(name: str, tmp_path: Path):
    """From .pth files to scores: same network, same numbers, complete integrals, masks exact at both ends."""
    specimen = NETWORKS[name]
    network = specimen.build()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    torch.save({"params_ema": weights}, tmp_path / "a.pth")
    torch.save({"params": vary(weights, network)}, tmp_path / "b.pth")
    choice = choose(tmp_path, baseline="a.pth", blind="b.pth")
    paths = []
    for kind in ("baseline", "blind"):
        given = given_network(choice, kind, specimen.scale)
        assert given is not None
        adopted, spec, _ = given
        assert isinstance(spec, ForeignSpec)
        assert (spec.architecture, spec.training) == (specimen.architecture, name in TRAINED)
        paths.append(tmp_path / f"{kind}.safetensors")
        save_network(paths[-1], spec, adopted.state_dict())
        loaded, found = load_network(paths[-1])
        assert found == spec  # the header's round trip
        assert loaded.state_dict().keys() == weights.keys()
        assert all(torch.equal(value, adopted.state_dict()[key]) for key, value in loaded.state_dict().items())
    model = load_model(paths[0], paths[1], CPU)
    lr = torch.rand(1, 3, specimen.size, specimen.size, generator=torch.Generator().manual_seed(0))
    sr = model.restore(model.target, lr).detach()
    assert sr.shape == (1, 3, specimen.scale * specimen.size, specimen.scale * specimen.size)

    index = model.index
    layer, out_channel, in_channel = index.locate(np.arange(index.num_filters))
    assert np.array_equal(index.number(layer, out_channel, in_channel), np.arange(index.num_filters))
    masked = model.masked(np.arange(index.num_filters))
    assert all(torch.equal(masked[key], model.baseline[key]) for key in index.keys)
    assert torch.equal(model.restore(model.masked(np.array([], int)), lr), sr)

    hr = torch.rand(sr.shape, generator=torch.Generator().manual_seed(1))
    result = attribute_images(model, [(lr, hr)], quadrature("gausslegendre", 8 if name in HEAVY else 16))
    assert result.convergence_error < ROUGH.get(name, 0.02)
    assert result.scores.max() > 0


@pytest.mark.parametrize(("name", "word"), REFUSED.items())
def test_what_no_frame_fits_is_refused_with_a_word(name: str, word: str, tmp_path: Path):
    specimen = NETWORKS[name]
    torch.save(specimen.build().state_dict(), tmp_path / "a.pth")
    with pytest.raises(InputError, match=word):
        given_network(choose(tmp_path, baseline="a.pth"), "baseline", specimen.scale)


def test_whole_channels_of_an_attention_network_can_be_filters(tmp_path: Path):
    specimen = NETWORKS["swinir"]
    network = specimen.build()
    torch.save(network.state_dict(), tmp_path / "a.pth")
    adopted, spec = adopt(tmp_path / "a.pth", choose(tmp_path, baseline="a.pth"), specimen.scale)
    for kind, weights in (("a", network.state_dict()), ("b", vary(network.state_dict(), network))):
        save_network(tmp_path / f"{kind}.safetensors", spec, weights)
    models = {
        kind: load_model(tmp_path / "a.safetensors", tmp_path / "b.safetensors", CPU, None, kind)
        for kind in ("kernel", "channel")
    }
    assert models["channel"].index == FilterIndex.of(adopted, granularity="channel")
    everything = {kind: model.masked(np.arange(model.index.num_filters)) for kind, model in models.items()}
    for key, value in everything["kernel"].items():
        assert torch.equal(value, everything["channel"][key])


# Modes


class Fused(nn.Module):
    """As SPAN: in evaluation mode its weights are copied past what is differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.copied = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.inner(x)
        self.copied.weight.data, self.copied.bias.data = self.inner.weight.data, self.inner.bias.data  # pyright: ignore
        return self.copied(x)


def test_a_network_that_fuses_its_weights_is_run_in_training_mode():
    assert describe("spandrel", "Fused", Fused().eval(), 1, where="here").training
    plain = nn.Conv2d(3, 3, 3, padding=1)
    assert not describe("spandrel", "Plain", plain.eval(), 1, where="here").training


def test_a_network_that_is_another_in_training_mode_is_refused():
    class Other(Fused):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x) if self.training else super().forward(x)

    with pytest.raises(InputError, match=r"gradients that are wrong by \d+%; in training mode it restores otherwise"):
        describe("spandrel", "Other", Other().eval(), 1, where="here")


# Factories


SMALL = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.last(x)
"""


def test_a_factory_is_run_by_its_seed_and_leaves_torch_as_it_was(tmp_path: Path):
    factory(tmp_path, SMALL)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    networks = [run_factory("network.py:make_network", tmp_path, seed)[0] for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(1), expected)
    first, same, other = (network.state_dict()["last.weight"] for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_factory_runs_only_where_params_yaml_names_it(tmp_path: Path):
    factory(tmp_path, SMALL)
    choice = choose(tmp_path, "network.py:make_network")
    network, spec = make_network(choice, 1, 0)
    save_network(tmp_path / "a.safetensors", spec, network.state_dict())
    loaded, found = load_network(tmp_path / "a.safetensors", choice)
    assert found == spec
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(x), network(x))
    for other in (None, choose(tmp_path, "other.py:make_network")):
        with pytest.raises(InputError, match=r"network\.py:make_network builds: name that factory as network\.name"):
            load_network(tmp_path / "a.safetensors", other)


def test_a_factory_that_has_changed_is_noticed(tmp_path: Path):
    path, choice = factory(tmp_path, SMALL), choose(tmp_path, "network.py:make_network")
    network, spec = make_network(choice, 1, 0)
    save_network(tmp_path / "a.safetensors", spec, network.state_dict())
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(InputError, match=r"was made of .*, which is another one now: run `dvc repro` again"):
        load_network(tmp_path / "a.safetensors", choice)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def make_network():\n    raise OSError('no such disk')\n", r"make_network\(\) raises OSError: no such disk"),
        ("def make_network():\n    return 3\n", r"make_network\(\) returns a int, not a torch\.nn\.Module"),
        ("make_network = 3  # def make_network\n", r"network\.py: make_network\(\) returns a NoneType"),
        ("def make_network(width):\n    return 3\n", r"raises TypeError: .*missing 1 required"),
        ("def make_network(:\n", r"raises SyntaxError"),
        ("def build():\n    return 3\n# def make_network\n", r"defines no function make_network"),
    ],
)
def test_a_factory_that_makes_no_network_is_refused(body: str, message: str, tmp_path: Path):
    factory(tmp_path, body)
    with pytest.raises(InputError, match=message):
        run_factory("network.py:make_network", tmp_path)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("return self.last(x).mean(dim=(2, 3))", "returns a Tensor, not an image"),
        ("return {'sr': self.last(x)}", "returns a dict, not an image"),
        ("return self.last(x).unsqueeze(0)", "not an image"),
        ("return torch.cat([self.last(x)] * 2, 1)", "takes 3 channels and returns 6"),
        ("raise KeyError('no')", "takes neither RGB nor luma: it raises KeyError"),
        ("return functional.interpolate(self.last(x), scale_factor=2)", r"upscales by 2, but .* scale = 1"),
        ("return self.last(x).detach()", "cannot be differentiated"),
    ],
)
def test_a_network_that_restores_no_image_is_refused(forward: str, message: str, tmp_path: Path):
    body = f"""class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        {forward}
"""
    factory(tmp_path, body)
    with pytest.raises(InputError, match=message):
        make_network(choose(tmp_path, "network.py:make_network"), 1, 0)


def test_a_factory_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"network\.name = 'mine\.py:build': .*mine\.py does not exist"):
        run_factory("mine.py:build", tmp_path)


def test_weights_that_are_not_the_factory_s_are_refused_with_their_names(tmp_path: Path):
    factory(tmp_path, SMALL)
    save_file({f"layer{number}.weight": torch.zeros(2) for number in range(7)}, tmp_path / "a.safetensors")
    choice = choose(tmp_path, "network.py:make_network", baseline="a.safetensors")
    with pytest.raises(InputError, match=r"lacks 2 weights that it has: last\.weight, last\.bias$"):
        given_network(choice, "baseline", 1)
    save_file({"last.weight": torch.zeros(3, 3, 5, 5), "last.bias": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"last\.weight has shape \(3, 3, 5, 5\), but \(3, 3, 3, 3\) is needed"):
        given_network(choice, "baseline", 1)
    kinds = {"last.weight": torch.zeros(3, 3, 3, 3, dtype=torch.int32), "last.bias": torch.zeros(3)}
    save_file(kinds, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"last\.weight is quantised \(torch\.int32\)"):
        given_network(choice, "baseline", 1)


# Spandrel


def test_weights_that_spandrel_does_not_know_are_refused_by_name(tmp_path: Path):
    save_file({"mystery.weight": torch.zeros(4, 3)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"spandrel knows no network with such weights; its first: mystery\.weight"):
        given_network(choose(tmp_path, baseline="a.safetensors"), "baseline", 2)


def test_without_spandrel_the_command_is_said_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "spandrel"]:
        monkeypatch.delitem(sys.modules, name)
    original = importlib.import_module

    def refuse(name: str, package: str | None = None) -> Any:
        if name in ("spandrel", "torchvision"):
            raise ImportError(f"No module named {name!r}")
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(InputError, match=r"needs the package spandrel .* install it by `python -m pip install "):
        import_spandrel()


@pytest.mark.parametrize("broken", [ImportError, RuntimeError])
def test_spandrel_is_used_without_torchvision_which_stays_missing_for_others(
    monkeypatch: pytest.MonkeyPatch, broken: type[Exception]
):
    for name in [name for name in sys.modules if name.split(".")[0] in ("spandrel", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    original = importlib.import_module

    def refuse(name: str, package: str | None = None) -> Any:
        if name == "torchvision":
            raise broken("operator torchvision::nms does not exist")
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert import_spandrel().MAIN_REGISTRY is not None
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]


def test_old_keys_of_esrgan_are_read(tmp_path: Path):
    """The same network, whichever of its two kinds of names a file has."""
    specimen = NETWORKS["esrgan"]
    weights = specimen.build().state_dict()
    torch.save(weights, tmp_path / "old.pth")
    torch.save(with_new_keys(weights), tmp_path / "new.pth")
    choice = choose(tmp_path, baseline="old.pth", blind="new.pth")
    verify_given(choice, ["blind"], specimen.scale)
    old, new = (adopt(tmp_path / f"{kind}.pth", choice, specimen.scale)[0].state_dict() for kind in ("old", "new"))
    assert all(torch.equal(value, new[key]) for key, value in old.items())


# What belongs together


def test_two_architectures_are_no_path(tmp_path: Path):
    for file, name in (("a.pth", "rcan"), ("b.pth", "safmn")):
        torch.save(NETWORKS[name].build().state_dict(), tmp_path / file)
    with pytest.raises(InputError, match=r"baseline is a network of spandrel \(RCAN\).*but blind is .*\(SAFMN\)"):
        verify_given(choose(tmp_path, baseline="a.pth", blind="b.pth"), ["blind"], 2)


def test_two_sizes_of_one_architecture_are_no_path(tmp_path: Path):
    specimen = NETWORKS["compact"]
    wider = replace(specimen, arguments={**specimen.arguments, "num_feat": 12})
    for file, one in (("a.pth", specimen), ("b.pth", wider)):
        torch.save(one.build().state_dict(), tmp_path / file)
    with pytest.raises(InputError, match=r"b\.pth is not of the baseline's network: .* has shape"):
        verify_given(choose(tmp_path, baseline="a.pth", blind="b.pth"), ["blind"], specimen.scale)


UNSTEADY = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.copied = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.norm(x))
        if self.training:
            return self.inner(x)
        self.copied.weight.data, self.copied.bias.data = self.inner.weight.data, self.inner.bias.data
        return self.copied(x)
"""


def test_a_network_in_training_mode_keeps_its_statistics_and_drops_nothing(tmp_path: Path):
    factory(tmp_path, UNSTEADY)
    network, spec = make_network(choose(tmp_path, "network.py:make_network"), 1, 0)
    assert isinstance(spec, ForeignSpec)
    assert spec.training
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(network(x), network(x))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


TIED = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.b.weight = self.a.weight

    def forward(self, x):
        return x + self.b(torch.relu(self.a(x)))
"""


def test_layers_that_share_a_weight_are_taken_and_written_back(tmp_path: Path):
    factory(tmp_path, TIED)
    choice = choose(tmp_path, "network.py:make_network", baseline="a.safetensors")
    made, spec = make_network(choice, 1, 0)
    save_network(tmp_path / "a.safetensors", spec, made.state_dict())
    network, found = adopt(tmp_path / "a.safetensors", choice, 1)
    assert found == spec
    model = PathModel(network, network.state_dict(), network.state_dict(), CPU)
    doubled = {name: 2 * value for name, value in model.target.items()}
    assert "b.weight" not in doubled  # a path has one name of each value
    write_back(tmp_path / "b.safetensors", tmp_path / "a.safetensors", choice, all_names(network, doubled))
    again, _ = adopt(tmp_path / "b.safetensors", choice, 1)
    assert all(torch.equal(value, 2 * made.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_factory_that_leaves_python_is_refused(tmp_path: Path):
    factory(tmp_path, "import sys\n\ndef make_network():\n    sys.exit(0)\n")
    with pytest.raises(InputError, match=r"make_network\(\) raises SystemExit"):
        run_factory("network.py:make_network", tmp_path)


def test_another_scale_is_refused_with_both_numbers(tmp_path: Path):
    torch.save(NETWORKS["rcan"].build().state_dict(), tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth: the network upscales by 2, but params\.yaml says scale = 4"):
        given_network(choose(tmp_path, baseline="a.pth"), "baseline", 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet"}, r"name = 'resnet' is not one of srresnet, srcnn, spandrel, nor a factory"),
        ({"name": "weights/../../x.py:f"}, r"is not one of srresnet, srcnn, spandrel, nor a factory"),
        ({"name": "spandrel"}, r"name = 'spandrel' finds a network by its weights: name the baseline's in files"),
        ({"files": {"blind": "b.pth"}}, r"files names blind, but no baseline"),
        ({"files": {"baseline": "../b.pth"}}, r"must name a file within network\.pretrained"),
        ({"files": {"baseline": "b.onnx"}}, r"must name a file within network\.pretrained: \.safetensors, \.pth"),
    ],
)
def test_params_that_name_no_network_are_refused(changes: dict[str, Any], message: str):
    values = {"name": "srresnet", "width": 4, "depth": 1, "pretrained": "p", "files": {}, **changes}
    with pytest.raises(ParamsError, match=message):
        validate("network", values, NetworkChoice, source="params.yaml")


def test_a_file_for_no_target_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"network\.files names blimd, which is not one of baseline, blind"):
        verify_given(choose(tmp_path, baseline="a.pth", blimd="b.pth"), ["blind"], 2)


# The authors' own


def theirs(weights: Mapping[str, Tensor], scale: int) -> dict[str, Tensor]:
    """Weights of our SRResNet under the names of the authors' code."""
    names = {"first": "conv_first", "upsample.0": "upconv1", "high": "conv_hr", "last": "conv_last"}
    names |= {"upsample.3": "upconv2"} if scale == 4 else {}
    renamed = {}
    for key, value in weights.items():
        layer, kind = key.rsplit(".", 1)
        renamed[f"{names.get(layer, layer)}.{kind}"] = value
    return renamed


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_authors_srresnet_loads_as_ours(scale: int, tmp_path: Path):
    choice = choose(tmp_path, "srresnet", baseline="net_g.pth")
    ours = build_network(choice.spec(scale), seed=3)
    assert isinstance(ours, SRResNet)
    renamed = theirs(ours.state_dict(), scale)
    assert {"conv_first.weight", "body.0.conv1.weight", "upconv1.bias", "conv_hr.bias", "conv_last.weight"} <= set(
        renamed
    )
    torch.save({"params_ema": renamed}, tmp_path / "net_g.pth")
    loaded, spec = adopt(tmp_path / "net_g.pth", choice, scale)
    assert spec == choice.spec(scale)
    for key, value in ours.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])


def test_the_authors_srcnn_has_our_names(tmp_path: Path):
    choice = choose(tmp_path, "srcnn", baseline="net_g.pth")
    ours = build_network(choice.spec(2), seed=3)
    assert isinstance(ours, SRCNN)
    torch.save({"params": ours.state_dict()}, tmp_path / "net_g.pth")
    loaded, _ = adopt(tmp_path / "net_g.pth", choice, 2)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in ours.state_dict().items())


def test_a_built_in_network_s_missing_weights_are_named(tmp_path: Path):
    weights = build_network(TINY).state_dict()
    torch.save({key: value for key, value in weights.items() if "conv" not in key}, tmp_path / "a.pth")
    choice = choose(tmp_path, "srresnet", baseline="a.pth")
    with pytest.raises(InputError, match=r"it lacks 4 weights that it has: body\.0\.conv1\.weight, "):
        adopt(tmp_path / "a.pth", choice, 2)
