"""Laws of networks: every one of them is trained, saved, rebuilt and given a second branch; other files are refused."""

import json

import numpy as np
import pytest
import torch
from conftest import CPU
from safetensors import safe_open
from safetensors.torch import save_file

from faig.attribution.filters import FilterIndex
from faig.base.errors import InputError
from faig.base.params import ParamsError, validate
from faig.data.degradation import area
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.experiments.branches import TwoBranchNetwork, objective
from faig.networks.models import NETWORKS, Network, NetworkParams, NetworkSpec, build_network, initialize_he
from faig.networks.training import TrainingParams, start, step
from faig.networks.weights import load_network, save_network


def spec(name="srresnet", width=4, depth=1, scale=2):
    return NetworkSpec(params=NetworkParams(name=name, width=width, depth=depth), scale=scale)


@pytest.mark.parametrize(
    ("name", "width", "depth", "expected"), [("srresnet", 64, 16, 151_936), ("srcnn", 128, 4, 156_224)]
)
def test_the_authors_networks_have_the_authors_number_of_filters(name, width, depth, expected):
    with torch.device("meta"):
        network = NETWORKS[name](width, depth, 2)
    assert FilterIndex.of(network).num_filters == expected


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_output_is_scale_times_the_input(name, scale):
    network = build_network(spec(name, scale=scale))
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_srresnet_without_its_last_layer_is_bilinear_upsampling(scale):
    network = build_network(spec(scale=scale))
    for value in network.last.parameters():  # pyright: ignore
        value.data.zero_()
    lr = torch.rand(1, 3, 6, 6)
    expected = torch.nn.functional.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    assert torch.equal(network(lr), expected)


def test_weights_depend_on_the_seed_alone_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = build_network(spec(), 1), build_network(spec(), 1), build_network(spec(), 2)
    assert torch.equal(torch.rand(1), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(first.first.weight, other.first.weight)  # pyright: ignore


class Plain(Network):
    """The least that a network must have: it has the default initialisation."""

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__(width, depth, scale)
        self.body = torch.nn.Sequential(*[torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(depth)])
        self.upsample = torch.nn.Upsample(scale_factor=scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.upsample(self.body(x))

    def blocks(self) -> list[tuple[torch.nn.Module, int]]:
        return [(layer, 3) for layer in self.body]


@pytest.mark.parametrize("name", [*NETWORKS, "plain"])
def test_every_network_is_trained_saved_and_given_a_second_branch(tmp_path, monkeypatch, name):
    """A new network is a class and a line in NETWORKS, nothing else."""
    monkeypatch.setitem(NETWORKS, "plain", Plain)
    network = build_network(spec(name, depth=2), seed=1)
    generator = np.random.default_rng(0)
    images = [generator.integers(256, size=(24, 24, 3), dtype=np.uint8) for _ in range(2)]
    pairs = [Pair(str(number), kind, hr, area(hr, 2)) for number, hr in enumerate(images) for kind in ("blur", "noise")]
    sampler = PatchSampler(pairs, {"blur": 1, "noise": 1}, patch_size=16, batch_size=4, seed=0)
    params = TrainingParams(
        iterations=2, batch_size=4, patch_size=16, learning_rate=1e-3, warmup=0.0, adam_betas=(0.9, 0.99),
        ema_decay=0.9, log_every=1, checkpoint_every=1, validation_images=1,
    )  # fmt: skip
    state = start(network, params, CPU)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    step(state, sampler, params)
    assert all((value != before[key]).any() for key, value in network.state_dict().items())

    save_network(tmp_path / "a.safetensors", spec(name, depth=2), state.average)
    loaded, found = load_network(tmp_path / "a.safetensors")
    assert found == spec(name, depth=2)

    lr, _ = sampler.batch(0)
    assert isinstance(loaded, Network)
    two = TwoBranchNetwork(loaded, num_classes=2, size=4)
    assert torch.equal(two(lr), loaded(lr))  # the modulation starts as the identity
    assert len(loaded.blocks()) == len(two.modulations) > 0
    for layer, (_, channels) in zip(two.modulations, loaded.blocks(), strict=True):
        torch.nn.init.ones_(layer.bias)  # pyright: ignore
        assert layer.out_features == 2 * channels
    assert not torch.equal(two(lr), loaded(lr))
    branched = start(two, params, CPU, objective(0.5))
    assert step(branched, sampler, params).isfinite()


def test_a_network_s_default_is_he_initialisation(monkeypatch):
    monkeypatch.setitem(NETWORKS, "plain", Plain)
    torch.manual_seed(3)
    expected = Plain(4, 2, 2)
    initialize_he(expected, mode="fan_in")
    found = build_network(spec("plain", depth=2), seed=3)
    for key, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[key])


def test_an_unknown_network_is_named_with_the_known_ones():
    values = {"name": "resnet", "width": 4, "depth": 1}
    with pytest.raises(ParamsError, match=r"network\.name: name = 'resnet' is not one of srresnet, srcnn"):
        validate("network", values, NetworkParams, source="params.yaml")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_weights_file_rebuilds_its_network_bit_for_bit(tmp_path, name):
    network, path = build_network(spec(name, scale=3), 7), tmp_path / "network.safetensors"
    save_network(path, spec(name, scale=3), network.state_dict())
    loaded, found = load_network(path)
    assert found == spec(name, scale=3)
    for key, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])
    before = path.read_bytes()
    save_network(path, found, loaded.state_dict())
    assert path.read_bytes() == before


def test_weights_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path):
    weights = build_network(spec()).state_dict()
    weights["last.bias"][0] = float("nan")
    with pytest.raises(InputError, match=r"last\.bias are not finite"):
        save_network(tmp_path / "bad.safetensors", spec(), weights)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"first\.weight has shape \(4, 3, 3, 3\), but \(6, 3, 3, 3\) is needed"):
        save_network(tmp_path / "bad.safetensors", spec(width=6), build_network(spec()).state_dict())


def test_unusable_files_are_refused_by_name(tmp_path):
    good = tmp_path / "good.safetensors"
    save_network(good, spec(), build_network(spec()).state_dict())
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(good.read_bytes()[:-20])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    swapped = tmp_path / "swapped.safetensors"
    with safe_open(good, framework="pt") as file:
        header = json.loads(file.metadata()["network"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header["params"]["depth"] = 2
    save_file(tensors, swapped, metadata={"network": json.dumps(header)})
    for path in (truncated, foreign, swapped, tmp_path / "missing.safetensors"):
        with pytest.raises(InputError, match=path.name):
            load_network(path)
