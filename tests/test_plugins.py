"""Plug-ins: what putting them in, scaling, adding and taking them out must do, and files that are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import mask
from faig.base.errors import InputError
from faig.networks.plugins import Plugin, digest, extract, load_plugin, moving_weights, plug_in, remove, save_plugin


def network(seed: int) -> nn.Module:
    """A grouped, a transposed and a linear layer, and a batch norm; the first layer's weight is used twice."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = [
            nn.Conv2d(4, 4, 3, groups=2),
            nn.ConvTranspose2d(4, 6, 2, groups=2),
            nn.BatchNorm2d(6),
            nn.Linear(5, 3),
        ]
        built = nn.Sequential(*layers, nn.Conv2d(4, 4, 3, groups=2))
        built[4].weight = built[0].weight
        return built


BASELINE, TUNED = moving_weights(network(0)), moving_weights(network(1))


def index(granularity: Granularity = "kernel") -> FilterIndex:
    return FilterIndex.of(network(0), granularity=granularity)


def plugin(*filters: int, granularity: Granularity = "kernel") -> Plugin:
    return extract(TUNED, BASELINE, index(granularity), np.array(filters, dtype=int), degradation="blur")


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
def test_put_in_wholly_it_is_grafting_and_with_strength_0_the_baseline(granularity: Granularity) -> None:
    numbered = index(granularity)
    chosen = np.random.default_rng(0).choice(numbered.num_filters, numbered.num_filters // 2, replace=False)
    made = plugin(*chosen, granularity=granularity)
    assert equal(plug_in(BASELINE, numbered, [(made, 1.0)]), mask(BASELINE, TUNED, numbered, chosen))
    assert equal(plug_in(BASELINE, numbered, [(made, 0.0)]), BASELINE)
    assert equal(plug_in(BASELINE, numbered, []), BASELINE)


def test_strengths_and_shared_filters_follow_the_formula() -> None:
    first, second = plugin(0, 3, 9, 20), plugin(3, 5, 20, 30)
    mixed = plug_in(BASELINE, index(), [(first, 0.3), (second, -1.5)])
    for name, value in BASELINE.items():
        expected = value.double()
        for made, strength in ((first, 0.3), (second, -1.5)):
            whole = mask(BASELINE, TUNED, index(), made.filters)[name]
            expected = expected + strength * (whole.double() - value.double())
        torch.testing.assert_close(mixed[name].double(), expected, rtol=0, atol=1e-6)


def test_what_is_put_in_can_be_taken_out_while_others_stay() -> None:
    first, second = plugin(0, 9), plugin(5, 30)
    both = plug_in(BASELINE, index(), [(first, 1.0), (second, 0.5)])
    assert equal(both, plug_in(BASELINE, index(), [(second, 0.5), (first, 1.0)]))
    assert equal(remove(both, BASELINE, index(), first), plug_in(BASELINE, index(), [(second, 0.5)]))


def test_the_baseline_stays_as_it_is() -> None:
    before = digest(BASELINE)
    plug_in(BASELINE, index(), [(plugin(0, 1), 1.0), (plugin(1, 2), 2.0)])
    assert digest(BASELINE) == before


def test_the_weights_of_a_network_stay_while_it_is_trained_on() -> None:
    trained = network(0)
    with torch.no_grad():
        before = moving_weights(trained)
        for parameter in trained.parameters():
            parameter += 1
    assert equal(before, BASELINE)


@pytest.mark.parametrize("filters", [(), (7,), (30, 2, 11)])
@pytest.mark.parametrize("half", [False, True])
def test_a_file_gives_the_same_plugin(tmp_path: Path, filters: tuple[int, ...], half: bool) -> None:
    made = plugin(*filters)
    if half:
        made = Plugin(made.filters, made.kernels.half(), made.header)
    path = tmp_path / "made.safetensors"
    save_plugin(path, made)
    read = load_plugin(path)
    assert np.array_equal(read.filters, np.sort(filters))
    assert torch.equal(read.kernels, made.kernels)
    assert read.header == made.header
    assert read.header.settings == {"degradation": "blur"}
    assert path.stat().st_size == made.num_bytes


def test_a_file_is_about_as_large_as_its_filters() -> None:
    wide = nn.Conv2d(64, 64, 3)
    weights = moving_weights(wide)
    made = extract(weights, weights, FilterIndex.of(wide), np.arange(400))
    assert 400 * (4 + 9 * 4) < made.num_bytes < 400 * (4 + 9 * 4) + 500


def test_the_digest_knows_names_shapes_and_values_but_no_order_and_no_layout() -> None:
    weights = {"a": torch.ones(2, 3, 4, 4), "b": torch.arange(4.0)}
    assert digest(weights) == digest(dict(reversed(list(weights.items()))))
    assert digest(weights) == digest({**weights, "a": weights["a"].to(memory_format=torch.channels_last)})
    for other in ({"b": torch.arange(4.0).view(2, 2)}, {"b": torch.tensor([0.0, 1.0, 2.0, 3.0000002])}):
        assert digest(weights) != digest({**weights, **other})
    assert digest(weights) != digest({"a": weights["a"], "c": weights["b"]})


def test_it_fits_its_own_baseline_and_filters_alone() -> None:
    other = {**BASELINE, "3.bias": BASELINE["3.bias"] + 1}
    with pytest.raises(InputError, match="not for this one"):
        plug_in(other, index(), [(plugin(0), 1.0)])
    with pytest.raises(InputError, match="was made for the baseline"):
        remove(BASELINE, other, index(), plugin(0))
    with pytest.raises(InputError, match="granularity kernel, not channel"):
        plug_in(BASELINE, index("channel"), [(plugin(0), 1.0)])
    made = plugin(0)
    with pytest.raises(InputError, match="holds 8 weights, but its filters have 9"):
        plug_in(BASELINE, index(), [(Plugin(made.filters, made.kernels[:-1], made.header), 1.0)])
    with pytest.raises(InputError, match="filter numbers run from 0"):
        plug_in(BASELINE, index(), [(Plugin(np.array([10_000]), made.kernels, made.header), 1.0)])


def test_files_that_are_no_plugins_are_refused(tmp_path: Path) -> None:
    made, path = plugin(2, 7), tmp_path / "made.safetensors"
    with pytest.raises(InputError, match="does not exist"):
        load_plugin(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(InputError, match="is not a plug-in"):
        load_plugin(path)
    save_file({"filters": torch.tensor([1, 2], dtype=torch.int32)}, path)
    with pytest.raises(InputError, match="is not a plug-in"):
        load_plugin(path)
    for filters in ([7, 2], [2, 2], [-1, 2]):
        save_plugin(path, Plugin(np.array(filters), made.kernels, made.header))
        with pytest.raises(InputError, match="rising numbers"):
            load_plugin(path)
    for kernels in (made.kernels * float("nan"), made.kernels.double(), made.kernels.view(2, 9)):
        save_plugin(path, Plugin(made.filters, kernels, made.header))
        with pytest.raises(InputError, match="kernels must be finite"):
            load_plugin(path)
    save_plugin(path, made)
    with safe_open(path, framework="pt") as file:
        save_file({"filters": torch.ones(2, dtype=torch.bfloat16), "kernels": made.kernels}, path, file.metadata())
    with pytest.raises(InputError, match="as int32"):
        load_plugin(path)
