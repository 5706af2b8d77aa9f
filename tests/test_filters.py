import numpy as np
import pytest
import torch

from faig.filters import FilterIndex, discovered, num_discovered
from faig.networks import NETWORKS

INDEX = FilterIndex(layers=("a", "b"), shapes=((2, 3), (4, 2)))  # 6 + 8 filters


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
        with pytest.raises(ValueError, match="from 0 to 13"):
            INDEX.locate(np.array(bad))


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(ValueError, match="Linear has no convolution"):
        FilterIndex.of(torch.nn.Linear(2, 2))


def test_collect_sums_each_filter_s_taps():
    values = {"a.weight": torch.rand(2, 3, 3, 3), "b.weight": torch.rand(4, 2, 1, 1), "a.bias": torch.rand(2)}
    slow = []
    for name, (num_out, num_in) in zip(INDEX.layers, INDEX.shapes, strict=True):
        slow += [values[f"{name}.weight"][out, inp].sum() for out in range(num_out) for inp in range(num_in)]
    torch.testing.assert_close(INDEX.collect(values), torch.stack(slow))


def test_spread_marks_the_chosen_filters_and_no_other():
    chosen = np.array([1, 6, 13])
    flags = INDEX.spread(chosen)
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
