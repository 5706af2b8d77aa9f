import json
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from faig.attribution.filters import FilterIndex
from faig.networks.models import NETWORKS, NetworkParams, NetworkSpec, build_network, load_network, save_network


def spec(name: Any = "srresnet", width=4, depth=1, scale=2):
    return NetworkSpec(params=NetworkParams(name=name, width=width, depth=depth), scale=scale)


@pytest.mark.parametrize(
    ("name", "width", "depth", "expected"), [("srresnet", 64, 16, 151_936), ("srcnn", 128, 4, 156_224)]
)
def test_the_authors_networks_have_the_authors_number_of_filters(name, width, depth, expected):
    with torch.device("meta"):
        network = NETWORKS[name](width, depth, 2)
    assert FilterIndex.of(network).num_filters == expected


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_output_is_scale_times_the_input(name, scale):
    network = build_network(spec(name, scale=scale))
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
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
    with pytest.raises(ValueError, match=r"last\.bias are not finite"):
        save_network(tmp_path / "bad.safetensors", spec(), weights)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"body\.0\.conv1\.bias have shape \(4,\).*needs \(6,\)"):
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
        with pytest.raises(ValueError, match=path.name):
            load_network(path)
