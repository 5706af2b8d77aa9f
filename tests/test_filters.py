import numpy as np
import pytest
import torch
from torch import nn

from faig.attribution.filters import ALL_INPUTS, FilterIndex, Layer
from faig.base.errors import InputError
from faig.base.ranking import discovered, num_discovered
from faig.networks.models import NETWORKS

INDEX = FilterIndex((Layer("a", "a.weight", 2, 3), Layer("b", "b.weight", 4, 2)))  # 6 + 8 filters


@pytest.mark.parametrize("name", list(NETWORKS))
def test_numbering_round_trip(name):
    index = FilterIndex.of(NETWORKS[name](4, 2, 3))
    numbers = np.arange(index.num_filters)
    assert np.array_equal(index.number(*index.locate(numbers)), numbers)


def test_numbering_is_by_layer_then_output_then_input():
    expected = [(0, out, inp) for out in range(2) for inp in range(3)] + [
        (1, out, inp) for out in range(4) for inp in range(2)
    ]
    assert [*zip(*(part.tolist() for part in INDEX.locate(np.arange(14))), strict=True)] == expected


def test_numbers_out_of_range_are_refused():
    for bad in ([14], [-1]):
        with pytest.raises(InputError, match="from 0 to 13"):
            INDEX.locate(np.array(bad))


def test_a_network_without_filters_is_refused():
    with pytest.raises(InputError, match="ReLU: no filter is left of 0 layers"):
        FilterIndex.of(nn.ReLU())


def test_collect_sums_each_filter_s_taps():
    values = {"a.weight": torch.rand(2, 3, 3, 3), "b.weight": torch.rand(4, 2, 1, 1), "a.bias": torch.rand(2)}
    slow = []
    for name, (num_out, num_in) in zip(INDEX.layers, INDEX.shapes, strict=True):
        slow += [values[f"{name}.weight"][out, inp].sum() for out in range(num_out) for inp in range(num_in)]
    torch.testing.assert_close(INDEX.collect(values), torch.stack(slow))


def test_spread_marks_the_chosen_filters_and_no_other():
    chosen = np.array([1, 6, 13])
    flags = INDEX.spread(chosen, {"a.weight": torch.zeros(2, 3, 3, 3), "b.weight": torch.zeros(4, 2)})
    assert list(flags) == ["a.weight", "b.weight"]
    flat = torch.cat([flag.flatten() for flag in flags.values()])
    assert np.array_equal(np.flatnonzero(flat.numpy()), chosen)
    assert flags["b.weight"].shape == (4, 2)


def test_counts_and_depths_by_layer():
    chosen = np.array([0, 5, 6])
    assert INDEX.count_by_layer(chosen).tolist() == [2, 1]
    assert INDEX.depths(chosen).tolist() == [0, 0, 1]


def test_number_of_discovered_filters():
    assert [num_discovered(200, ratio) for ratio in (0, 0.001, 0.01, 0.5, 1)] == [0, 1, 2, 100, 200]
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="from 0 to 1"):
            num_discovered(200, bad)


def test_discovered_are_the_best_and_ties_go_to_the_lower_number():
    assert discovered(np.array([1.0, 3.0, 3.0, 2.0]), 0.75).tolist() == [1, 2, 3]


class Shared(nn.Module):
    """Two layers of the same weight, and one used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.second(self.first(x)))


LAYERS = {
    "plain": (nn.Conv2d(4, 6, 3), [(0, out, inp) for out in range(6) for inp in range(4)]),
    "1x1": (nn.Conv2d(2, 3, 1), [(0, out, inp) for out in range(3) for inp in range(2)]),
    "1d": (nn.Conv1d(2, 3, 5), [(0, out, inp) for out in range(3) for inp in range(2)]),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), [(0, out, inp + 2 * (out // 3)) for out in range(6) for inp in range(2)]),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), [(0, out, out // 2) for out in range(8)]),
    "transposed": (nn.ConvTranspose2d(4, 6, 3), [(0, out, inp) for out in range(6) for inp in range(4)]),
    "transposed, grouped": (
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        [(0, out, inp + 2 * (out // 3)) for out in range(6) for inp in range(2)],
    ),
    "linear": (nn.Linear(4, 3), [(0, out, inp) for out in range(3) for inp in range(4)]),
    "attention": (
        nn.MultiheadAttention(2, 1),
        [(0, out, inp) for out in range(6) for inp in range(2)]
        + [(1, out, inp) for out in range(2) for inp in range(2)],
    ),
    "shared": (Shared(), [(0, out, inp) for out in range(3) for inp in range(3)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_of_layer_is_numbered_by_output_then_input(name: str):
    network, expected = LAYERS[name]
    index = FilterIndex.of(network)
    numbers = np.arange(index.num_filters)
    assert [tuple(where) for where in np.stack(index.locate(numbers), axis=1).tolist()] == expected
    assert np.array_equal(index.number(*index.locate(numbers)), numbers)


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_filter_s_weights_are_those_that_spread_marks_and_collect_sums(name: str, granularity):
    network, _ = LAYERS[name]
    index = FilterIndex.of(network, granularity=granularity)
    weights = {key: value.detach() for key, value in network.named_parameters()}
    for number in {0, 1, index.num_filters // 2, index.num_filters - 1}:
        flags = index.spread(np.array([number]), weights)
        marked = {key: flags[key].expand(weights[key].shape).float() for key in index.keys}
        sums = index.collect(marked)
        assert np.flatnonzero(sums.numpy()).tolist() == [number]
        assert sums[number] == sum(value.sum() for value in marked.values())


@pytest.mark.parametrize("name", ["plain", "grouped", "transposed", "transposed, grouped", "depthwise"])
def test_a_filter_connects_its_input_channel_to_its_output_channel(name: str):
    """With that filter alone, no bias, and that input channel alone, that output channel alone comes out."""
    network, expected = LAYERS[name]
    index = FilterIndex.of(network)
    weights = {"weight": torch.ones_like(network.weight)}
    for number, (_, out_channel, in_channel) in enumerate(expected):
        flags = index.spread(np.array([number]), weights)["weight"]
        x = torch.zeros(1, 4, 5, 5)
        x[:, in_channel] = 1
        values = {"weight": weights["weight"] * flags, "bias": torch.zeros_like(network.bias)}
        output = torch.func.functional_call(network, values, (x,))
        assert output.abs().sum((0, 2, 3)).nonzero().flatten().tolist() == [out_channel]


def test_channels_as_filters():
    index = FilterIndex.of(LAYERS["grouped"][0], granularity="channel")
    assert index.num_filters == 6
    layer, out_channel, in_channel = index.locate(np.arange(6))
    assert out_channel.tolist() == [0, 1, 2, 3, 4, 5]
    assert set(in_channel.tolist()) == {ALL_INPUTS}
    assert np.array_equal(index.number(layer, out_channel, in_channel), np.arange(6))
    with pytest.raises(InputError, match="not 'row'"):
        FilterIndex.of(LAYERS["grouped"][0], granularity="row")  # pyright: ignore


def test_layers_are_included_and_excluded_by_pattern():
    network = NETWORKS["srresnet"](4, 2, 2)
    assert FilterIndex.of(network, include=("body.*",), exclude=("*.conv2",)).layers == ("body.0.conv1", "body.1.conv1")
    with pytest.raises(InputError, match="no filter is left of 8 layers"):
        FilterIndex.of(network, exclude=("*",))
    with pytest.raises(InputError, match="no layer is named 'tail'; the first layers with filters: first, body"):
        FilterIndex.of(network, exclude=("tail",))


def test_a_weight_that_is_computed_from_others_is_refused():
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3)))
    with pytest.raises(InputError, match="the weight of 0 is computed from other parameters"):
        FilterIndex.of(network)
