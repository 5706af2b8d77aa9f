"""Laws of the study of architecture: widths, profiles and smaller networks."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from benchmarks.studies.profiles import PARTS, agreement, enriched, part_numbers, standardized
from benchmarks.studies.pruning import by_channel, least, needs, widths_of, without
from benchmarks.studies.widths import UnevenBlock, Widths, allotted, build, enrichment, flops
from faig.attribution.filters import FilterIndex
from faig.experiments.branches import num_flops
from faig.networks.models import NetworkParams, NetworkSpec, build_network

WIDTHS = Widths.uniform(4, 3)
UNEVEN = WIDTHS.with_units([2, 5, 3, 6, 7])


@pytest.fixture
def lr() -> torch.Tensor:
    return torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(1))


def test_uniform_widths_are_srresnet(lr):
    spec = NetworkSpec(params=NetworkParams(name="srresnet", width=4, depth=3), scale=2)
    own, plain = build(WIDTHS, 3), build_network(spec)
    plain.load_state_dict(own.state_dict())
    torch.testing.assert_close(own(lr), plain(lr))
    assert flops(WIDTHS) == num_flops(plain, 64)


def test_a_network_has_the_widths_it_was_built_from():
    assert widths_of(build(UNEVEN, 0)) == UNEVEN
    assert UNEVEN.units == (2, 5, 3, 6, 7)


def test_equal_shares_leave_the_uniform_network():
    uniform = Widths.uniform(8, 3)
    assert allotted({f"block {n}": 1.0 for n in (1, 2, 3)}, uniform, 1.0) == uniform
    assert allotted({"body": 3.0, "upsample": 3.0, "high": 3.0}, uniform, -1.0) == uniform


@pytest.mark.parametrize("power", [1.0, -1.0])
def test_named_blocks_get_width_or_give_it_at_the_same_flops(power):
    uniform = Widths.uniform(16, 4)
    found = allotted({"block 1": 9.0, "block 2": 1.5, "block 3": 0.7, "block 4": 0.0}, uniform, power)
    assert flops(found) == flops(uniform)
    assert list(found.inner) == sorted(found.inner, reverse=power > 0)
    # Limited to between a half and two, so the widest is four times the narrowest, give or take rounding.
    assert 3.5 < max(found.inner) / min(found.inner) < 4.6
    assert (found.shuffled, found.high) == (16, 16)


@pytest.mark.parametrize("power", [1.0, -1.0])
def test_named_parts_get_width_or_give_it_at_nearly_the_same_flops(power):
    uniform = Widths.uniform(16, 4)
    found = allotted({"body": 0.1, "upsample": 3.0, "high": 5.0}, uniform, power)
    assert 0.98 * flops(uniform) < flops(found) <= flops(uniform)
    assert (min(found.shuffled, found.high) > 16 > max(found.inner)) == (power > 0)


def test_enrichment_averages_to_one_over_all_filters_and_is_one_where_all_are_discovered():
    index = FilterIndex.of(build(WIDTHS, 0))
    scores = {name: np.random.default_rng(n).normal(size=index.num_filters) for n, name in enumerate(("blur", "noise"))}
    for level, sizes in (("blocks", [32, 32, 32]), ("parts", [96, 64, 16])):
        found = list(enrichment(index, scores, 0.2, level).values())
        assert np.average(found, weights=sizes) == pytest.approx(1.0)
        assert list(enrichment(index, scores, 1.0, level).values()) == pytest.approx([1.0] * 3)
    second = np.char.startswith(np.array(index.layers)[index.layer_numbers], "body.1.").astype(float)
    assert enrichment(index, {"blur": second}, 1 / 3, "blocks") == {"block 1": 0.0, "block 2": 3.0, "block 3": 0.0}


def test_each_layer_is_in_one_part_and_profiles_average_to_one():
    for num_layers in (9, 20, 36):
        numbers = part_numbers(num_layers)
        assert len(numbers) == num_layers
        assert sorted(numbers) == list(numbers)
        assert set(numbers) == set(range(len(PARTS)))
    sizes, counts = [3, 16, 16, 8], [1, 4, 0, 5]
    assert np.average(enriched(counts, sizes), weights=sizes) == pytest.approx(1.0)


def test_a_profile_agrees_with_itself_and_chance_stays_between():
    profile = np.arange(20.0)
    for which in ("all layers", "body"):
        alike, opposite = (agreement(profile, other)[which] for other in (profile, -profile))
        assert alike["correlation"] == 1.0
        assert opposite["correlation"] == -1.0
        assert 0 < alike["chance_high"] < 0.8
    assert set(agreement(profile[:9], profile[:9])) == {"all layers"}


def test_ties_count_as_their_mean_and_a_flat_profile_agrees_with_nothing():
    first, second = np.array([3.0, 1.0, 1.0, 0.0, 7.0]), np.array([1.0, 2.0, 0.0, 0.0, 5.0])
    assert standardized(first) @ standardized(second) == pytest.approx(spearmanr(first, second)[0])  # pyright: ignore
    assert not standardized(np.ones(5)).any()


def test_without_channels_is_the_network_with_zeros_there(lr):
    network = build(WIDTHS, 0)
    removed = np.array([0, 3, 5, 8, 9, 10])
    smaller = without(network.state_dict(), WIDTHS, removed)
    assert widths_of(smaller).inner == (2, 3, 1)
    assert flops(widths_of(smaller)) < flops(WIDTHS)
    before = network(lr)
    for channel in removed:
        block = network.body[int(channel) // 4]
        assert isinstance(block, UnevenBlock)
        block.conv2.weight.data[:, channel % 4] = 0
    torch.testing.assert_close(smaller(lr), network(lr))
    assert not torch.allclose(before, network(lr))


def test_the_least_are_left_out_but_one_of_each_block_stays():
    values = np.array([0.1, 0.2, 0.3, 5.0, 6.0, 7.0])
    assert set(least(values, 0.5, 3)) == {0, 1, 3}
    assert set(least(values, 1 / 3, 3)) == {0, 1}


def test_channels_share_out_the_body_s_filters():
    index = FilterIndex.of(build(WIDTHS, 0))
    values = np.random.default_rng(0).normal(size=index.num_filters)
    inside = np.char.startswith(np.array(index.layers)[index.layer_numbers], "body.")
    assert by_channel(index, values, ("conv1", "conv2")).sum() == pytest.approx(values[inside].sum())
    layer, _, into = index.locate(np.arange(index.num_filters))
    own = (np.array(index.layers)[layer] == "body.1.conv2") & (into == 2)
    assert by_channel(index, values, ("conv2",))[4 + 2] == pytest.approx(values[own].sum())


def test_a_need_is_the_squared_change_of_the_output_over_the_squared_error(lr):
    """Against differences, one channel at a time."""
    network = build(WIDTHS, 0)
    hr = torch.rand(1, 3, 10, 12, generator=torch.Generator().manual_seed(2))
    images = {name: [(lr[n : n + 1], hr)] for n, name in enumerate(("clean", "blur"))}
    found = needs(network, images, num_draws=1000)
    expected, step = np.zeros(12), 1e-4
    network.double()
    for ((x, _),) in images.values():
        before = network(x.double())
        error = (before - hr).square().sum()
        for channel in range(12):
            moved = copy.deepcopy(network)
            block = moved.body[channel // 4]
            assert isinstance(block, UnevenBlock)
            block.conv2.weight.data[:, channel % 4] *= 1 - step
            change = (moved(x.double()) - before) / step
            expected[channel] = max(expected[channel], (change.square().sum() / error).item())
    np.testing.assert_allclose(found, expected, rtol=0.25)
