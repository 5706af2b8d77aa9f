import dataclasses

import numpy as np
import pytest
import torch
from conftest import CPU
from torch import nn

from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT, quadrature
from faig.attribution.second_order import Expansion, contrast_expansions, expand, mean_expansion
from faig.base.errors import InputError


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def linear() -> PathModel:
    """One convolution: the output is linear in the weights, so an expansion to second order is exact."""
    network = nn.Conv2d(2, 3, 3, padding=1)
    baseline, target = (
        {name: torch.randn(value.shape, generator=seeded(seed)) for name, value in network.state_dict().items()}
        for seed in (1, 2)
    )
    return PathModel(network, baseline, target, CPU)


def test_on_a_linear_network_pull_and_shift_are_what_masking_each_filter_does():
    model, lr = linear(), torch.rand(1, 2, 6, 6, generator=seeded(3))
    found = expand(model, lr, seeded(), END_POINT, num_draws=4000)
    before, after = (model.restore(weights, lr) for weights in (model.target, model.baseline))
    assert found.distance == pytest.approx((before - after).square().sum().item(), rel=1e-5)
    for number in range(model.index.num_filters):
        masked = model.restore(model.masked(np.array([number])), lr)
        shift = (masked - before).square().sum().item()
        change = (masked - after).square().sum().item() - found.distance
        assert found.shift[number] == pytest.approx(shift, rel=0.15)
        assert shift - found.pull[number] == pytest.approx(change, rel=1e-4, abs=1e-3)


def test_pull_is_the_slope_of_the_distance_to_the_baseline_s_output(model, images):
    """By finite differences in double precision: one filter moves a little towards the baseline."""
    double = dataclasses.replace(CPU, precision="fp64")
    model, lr, step = PathModel(model.network, model.baseline, model.target, double), images[0][0], 1e-5
    found, goal = expand(model, lr, seeded(), END_POINT), model.restore(model.baseline, lr)
    for number in (0, model.index.num_filters // 2, model.index.num_filters - 1):
        masked = model.masked(np.array([number]))
        moved = {name: value + step * (masked[name] - value) for name, value in model.target.items()}
        slope = ((model.restore(moved, lr) - goal).square().sum().item() - found.distance) / step
        assert -found.pull[number] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_along_the_whole_path_the_pulls_of_all_that_moves_are_the_distance(model, images):
    """Completeness: here the biases do not move, so nothing but filters does."""
    biases = {name: value for name, value in model.target.items() if name.endswith("bias")}
    model = PathModel(model.network, {**model.baseline, **biases}, model.target, CPU)
    found = expand(model, images[0][0], seeded(), quadrature("gausslegendre", 32))
    assert found.pull.sum() == pytest.approx(found.distance, rel=1e-3)


def test_equal_seeds_give_equal_estimates_and_the_caller_s_tensors_stay(model, images):
    lr = images[0][0]
    first, again, other = (expand(model, lr, seeded(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.shift, again.shift)
    np.testing.assert_array_equal(first.pull, other.pull)
    assert (first.shift != other.shift).any()
    assert not any(value.requires_grad for value in model.target.values())
    with torch.inference_mode():
        np.testing.assert_array_equal(expand(model, lr.clone(), seeded()).pull, first.pull)


def test_what_is_good_for_one_costs_the_others():
    pull, shift = np.array([4.0, 2.0, 0.0]), np.array([1.0, 0.0, 2.0])
    parts = {
        "blur": Expansion(pull, shift, 2.0),
        "clean": Expansion(-pull, shift, 1.0),
        "noise": Expansion(pull, shift, 4),
    }
    np.testing.assert_allclose(contrast_expansions(parts, "blur", caution=1), [2 - 1 - 0.25, 1.0, -2.5])
    np.testing.assert_allclose(contrast_expansions(parts, "blur"), [2 - 5, 1.0, -10])
    with pytest.raises(InputError, match="nothing to compare blur with"):
        contrast_expansions({"blur": parts["blur"]}, "blur")


def test_the_mean_over_images_and_networks_that_do_not_differ():
    rows = [Expansion(np.array([1.0]), np.array([3.0]), 2.0), Expansion(np.array([3.0]), np.array([5.0]), 4.0)]
    found = mean_expansion(rows)
    assert (found.pull.tolist(), found.shift.tolist(), found.distance) == ([2.0], [4.0], 3.0)
    same = Expansion(np.zeros(1), np.zeros(1), 0.0)
    assert contrast_expansions({"clean": same, "blur": same}, "blur").tolist() == [0.0]


def test_an_input_that_is_not_finite_is_refused(model):
    with pytest.raises(InputError, match="the input is not finite"):
        expand(model, torch.full((1, 3, 8, 8), float("nan")), seeded())
