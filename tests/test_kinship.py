"""Laws of how alike two networks' weights are."""

import json
import re

import pytest
import torch
from conftest import CPU, ROOT, TINY
from test_scoring import PARAMS

from faig.attribution.kinship import LEAST_CORRELATION, LEAST_OF_A_LAYER, kinship
from faig.attribution.path import PathModel
from faig.experiments.scoring import compare_weights
from faig.networks.models import build_network


def between(model: PathModel, target: dict[str, torch.Tensor]) -> PathModel:
    """The path from the model's target to another."""
    return PathModel(model.network, model.target, target, CPU)


def test_identical_networks_are_at_1_and_0(model):
    found = kinship(between(model, model.target))
    assert (found.correlation, found.distance) == (1, 0)
    assert set(found.correlations) == set(found.distances) == set(model.index.layers)
    assert set(found.correlations.values()) == {1}
    assert found.related
    assert found.warn(9.0) == ""


def test_a_common_factor_is_all_distance_and_no_angle(model):
    found = kinship(between(model, {name: 1.1 * value for name, value in model.target.items()}))
    for correlation, distance in zip(found.correlations.values(), found.distances.values(), strict=True):
        assert (correlation, distance) == (pytest.approx(1), pytest.approx(0.1, rel=1e-5))
    assert (found.correlation, found.distance) == (pytest.approx(1), pytest.approx(0.1, rel=1e-5))


def test_correlation_and_distance_are_bound_by_the_law_of_cosines_and_a_slow_formula(model):
    found = kinship(model)
    ends = [
        torch.cat([weights[key].double().flatten() for key in model.index.keys])
        for weights in (model.baseline, model.target)
    ]
    ratio = (ends[1].norm() / ends[0].norm()).item()
    assert found.distance == pytest.approx((ends[1] - ends[0]).norm().item() / ends[0].norm().item())
    assert found.distance**2 == pytest.approx(1 + ratio**2 - 2 * ratio * found.correlation)
    assert found.correlation == pytest.approx(torch.cosine_similarity(*ends, dim=0).item())


def test_a_tiny_change_costs_correlation_of_second_order(model):
    """1 - correlation is at most d^2 / 2, half the square of the distance."""
    generator = torch.Generator().manual_seed(0)
    for size in (1e-2, 1e-3):
        target = {n: v + size * torch.randn(v.shape, generator=generator) * v.std() for n, v in model.target.items()}
        found = kinship(between(model, target))
        assert found.distance == pytest.approx(size, rel=0.2)
        assert 0 <= 1 - found.correlation <= 0.51 * found.distance**2


def test_biases_do_not_count(model):
    biased = {name: value + 5 if name.endswith("bias") else value for name, value in model.target.items()}
    assert kinship(between(model, biased)).distance == 0


def test_weights_of_0_have_numbers_too(model):
    empty = {name: torch.zeros_like(value) for name, value in model.target.items()}
    for first, second, expected in (
        (empty, empty, (1, 0)),
        (empty, model.target, (0, 1)),
        (model.target, empty, (0, 1)),
    ):
        found = kinship(PathModel(model.network, first, second, CPU))
        assert (found.correlation, found.distance) == expected


def test_the_same_network_with_channels_exchanged_is_warned_of(model, images):
    """It restores alike, but its filters do not correspond: in one layer, which the rest would hide."""
    order, exchanged = torch.tensor([1, 2, 3, 0]), dict(model.target)
    for name in ("body.0.conv1.weight", "body.0.conv1.bias"):
        exchanged[name] = model.target[name][order]
    exchanged["body.0.conv2.weight"] = model.target["body.0.conv2.weight"][:, order]
    pair = between(model, exchanged)
    lr = images[0][0]
    torch.testing.assert_close(pair.restore(pair.target, lr), pair.restore(pair.baseline, lr))
    numbers, text = compare_weights(pair, images[0], PARAMS)
    assert re.search(r"do not look related: .* in body\.0\.conv[12]\), .* barrier between them \d\.\d dB", text)
    assert numbers["layer_correlation"]["first"] == numbers["layer_correlation"]["last"] == 1


def test_two_seeds_are_warned_of_and_what_was_moved_a_little_is_not(model, images):
    first, second = (build_network(TINY, seed=seed).state_dict() for seed in (1, 2))
    numbers, text = compare_weights(PathModel(model.network, first, second, CPU), images[0], PARAMS)
    assert "do not look related" in text
    assert numbers["related"] == 0
    assert abs(numbers["correlation"]) < 0.3
    assert text.count("\n") == 1
    numbers, text = compare_weights(model, images[0], PARAMS)
    assert text == ""
    assert numbers["related"] == 1
    assert numbers["correlation"] == kinship(model).correlation


def test_the_thresholds_part_the_networks_that_were_measured():
    results = json.loads((ROOT / "benchmarks/studies/results/kinship.json").read_text())
    assert len(results["related"]) == 12
    for name, values in results["related"].items():
        assert values["correlation"] > LEAST_CORRELATION, name
        assert values["least"] > LEAST_OF_A_LAYER, name
    for name, values in results["apart"].items():
        assert values["correlation"] < LEAST_CORRELATION, name
        assert values["least"] < LEAST_OF_A_LAYER, name
