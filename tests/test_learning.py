"""Laws of learned masks: their derivatives, what they find where it is known, the same bits however they are run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CPU, TINY
from torch import nn

from faig.attribution import FilterIndex, PathModel, learn, mask
from faig.attribution.learning import SOFTENING, Learned, LearningParams, _Problem, drawn, learn_scores, restore_both
from faig.base.errors import InputError
from faig.base.ranking import discovered
from faig.base.resuming import Store
from faig.networks.models import build_network

PARAMS = LearningParams(steps=12, batch_size=2, weight=4.0, ratios=(0.05, 0.2), damping=0.1)


def learned(model, inputs, degradation, params, seed, **options) -> Learned:
    return learn_scores(model, restore_both(model, inputs), degradation, params, seed, **options)


@pytest.fixture
def seen(images):
    """Three inputs of each of three degradations that differ in brightness."""
    return {name: [lr * share for lr, _ in images] for name, share in (("blur", 1.0), ("noise", 0.5), ("clean", 0.2))}


def objective(model: PathModel, soft: np.ndarray, seen, weight: float) -> float:
    """The objective of the first image of each degradation, for a soft mask (F,): filters i at 1 - soft_i of the way.

    Straight from the definition, with the softened weights written filter by filter.
    """
    weights = {key: value.clone() for key, value in model.target.items()}
    for number, share in enumerate(soft):
        if share:
            for key, flags in model.index.spread(np.array([number]), weights).items():
                weights[key] = weights[key] - float(share) * flags.double() * model.change[key]
    total = 0.0
    with torch.no_grad():
        for name, images in seen.items():
            both = [[model.restore(which, image) for image in images] for which in (model.baseline, model.target)]
            divisor = np.mean([(a - b).square().mean().item() for a, b in zip(*both, strict=True)])
            wanted = both[0][0] if name == "blur" else both[1][0]
            error = (model.restore(weights, images[0]) - wanted).square().mean().item() / divisor
            total += (weight if name == "blur" else 1.0) * np.sqrt(error + SOFTENING)
    return total


def test_derivatives_are_those_of_the_objective_with_respect_to_each_filters_share(tiny_network, seen):
    generator = torch.Generator().manual_seed(0)
    baseline = {
        key: torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.3
        for key, value in tiny_network.state_dict().items()
    }
    target = {key: value + 0.1 * torch.randn(value.shape, generator=generator) for key, value in baseline.items()}
    model = PathModel(tiny_network.double(), baseline, target, replace(CPU, precision="fp64"))
    exact = {name: [image.double() for image in images] for name, images in seen.items()}
    chosen, generator = np.array([3, 40, 77]), np.random.default_rng(0)
    problem = _Problem.of(model, restore_both(model, exact), PARAMS)
    found, errors = problem.derivatives(chosen, [(place, 0) for place in range(3)])
    assert errors.shape == (3,)
    middle = np.zeros(model.index.num_filters)
    middle[chosen] = 1
    for number in [3, *generator.choice(model.index.num_filters, 6, replace=False)]:
        step = np.zeros_like(middle)
        step[number] = 1e-6
        ahead, behind = (objective(model, middle + sign * step, exact, PARAMS.weight) for sign in (1, -1))
        assert found[number] == pytest.approx((ahead - behind) / 2e-6, rel=1e-4, abs=1e-9)


def separable() -> tuple[nn.Module, dict, dict]:
    """A network of 1 x 1 kernels: colour 0 in reads input 0, colour 1 reads input 1; the target changed both."""
    network = nn.Conv2d(4, 4, 1, bias=False)
    baseline = {"weight": torch.eye(4).view(4, 4, 1, 1)}
    change = torch.zeros(4, 4, 1, 1)
    change[0, 0], change[1, 1], change[2, 3], change[3, 2] = 0.5, -0.5, 1e-3, 1e-3
    return network, baseline, {"weight": baseline["weight"] + change}


def channel(number: int) -> torch.Tensor:
    image = torch.zeros(1, 4, 8, 8)
    image[:, number] = 1
    return image


@pytest.mark.parametrize(("degradation", "expected"), [("a", 0), ("b", 5)])
def test_the_filter_that_alone_does_it_comes_first(degradation, expected):
    """Inputs a live in channel 0, inputs b in channel 1: one filter of sixteen serves each."""
    inputs = {"a": [channel(0)], "b": [channel(1)], "clean": [channel(2)]}
    network, baseline, target = separable()
    found, index = learn(network, baseline, target, inputs, degradation, steps=20, ratios=(0.05, 0.2))
    best = discovered(found.scores, 1 / 16)
    assert best.tolist() == [expected]
    network.load_state_dict(mask(target, baseline, index, best))
    outputs = {name: network(image).detach() for name, [image] in inputs.items()}
    network.load_state_dict(target)
    for name, [image] in inputs.items():
        if name != degradation:
            assert torch.equal(outputs[name], network(image))
    network.load_state_dict(baseline)
    assert torch.equal(outputs[degradation], network(inputs[degradation][0]))


def test_filters_that_no_input_depends_on_are_scored_nothing(model, seen):
    idle = {**model.target, "last.weight": model.baseline["last.weight"]}  # did not move
    still = PathModel(model.network, model.baseline, idle, CPU)
    scores = learned(still, seen, "blur", PARAMS, 0).scores
    of_last = still.index.layer_numbers == still.index.layers.index("last")
    assert not scores[of_last].any()
    assert scores[~of_last].any()


class Idle(nn.Module):
    """A network with a layer that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def test_a_layer_that_the_network_does_not_use_is_scored_nothing(seen):
    network = Idle()
    target = {key: value + 0.1 for key, value in network.state_dict().items()}
    index = FilterIndex.of(network, include=("idle",))
    model = PathModel(network, network.state_dict(), target, CPU, index)
    assert not learned(model, seen, "blur", PARAMS, 0).scores.any()


def test_errors_are_1_where_nothing_is_removed_and_fall_from_there(model, seen):
    """The first step masks nothing: the target is far from what is wanted on blur, and what is wanted elsewhere."""
    found = learned(model, seen, "blur", replace(PARAMS, batch_size=3), 0)
    np.testing.assert_allclose(found.errors[0], [1, 0, 0], atol=1e-6)
    assert found.ratios[0] == 0
    assert ((found.ratios[1:] >= 0.05) & (found.ratios[1:] <= 0.2)).all()
    assert (found.errors[1:, 0] < 1).all()


def test_one_step_is_the_sign_of_the_derivatives_where_they_are_large(model, seen):
    """v is then g^2: a score is -g / (|g| + damping * rms of g)."""
    params = replace(PARAMS, steps=1, batch_size=3)
    problem = _Problem.of(model, restore_both(model, seen), params)
    derivatives, _ = problem.derivatives(np.array([], int), [(p, n) for p in range(3) for n in range(3)])
    derivatives /= 3
    expected = -derivatives / (np.abs(derivatives) + 0.1 * np.sqrt(np.mean(derivatives**2)))
    np.testing.assert_allclose(learned(model, seen, "blur", params, 0).scores, expected, rtol=1e-6)


def test_each_image_is_seen_once_before_any_is_seen_again():
    seen = [number for step in range(10) for number in drawn(5, step, 2, seed=3)]
    for start in range(0, 20, 5):
        assert sorted(seen[start : start + 5]) == [0, 1, 2, 3, 4]
    assert seen[:5] != seen[5:10]
    assert [drawn(5, step, 2, seed=3) for step in range(10)] == [seen[n : n + 2] for n in range(0, 20, 2)]


def test_equal_seeds_equal_bits_and_other_seeds_other_scores(model, seen):
    first, again, other = (learned(model, seen, "blur", PARAMS, seed).scores for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_learning_goes_on_after_the_last_part_that_was_kept(model, seen, tmp_path, monkeypatch):
    expected = learned(model, seen, "blur", PARAMS, 0)
    calls, derivatives = [], _Problem.derivatives

    def counted(*arguments):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return derivatives(*arguments)

    monkeypatch.setattr(_Problem, "derivatives", counted)
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learned(model, seen, "blur", PARAMS, 0, store=store)
    found = learned(model, seen, "blur", PARAMS, 0, store=store)
    assert len(calls) < 8 + 12  # the kept steps were not done again
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(vars(found)[name], value)


def test_a_whole_channel_is_the_sum_of_its_kernels_in_the_first_step(model, seen):
    """The derivative of a channel's share is the sum over its kernels: the same objective, moved together."""
    kernels = _Problem.of(model, restore_both(model, seen), PARAMS).derivatives(np.array([], int), [(0, 0)])[0]
    coarse = FilterIndex.of(model.network, granularity="channel")
    channels = PathModel(model.network, model.baseline, model.target, CPU, coarse)
    found = _Problem.of(channels, restore_both(channels, seen), PARAMS).derivatives(np.array([], int), [(0, 0)])[0]
    sums = np.concatenate(
        [
            part.reshape(shape).sum(1)
            for part, shape in zip(np.split(kernels, model.index.starts[1:]), model.index.shapes, strict=True)
        ]
    )
    np.testing.assert_allclose(found, sums, rtol=1e-4, atol=1e-7)


def test_images_of_other_sizes_and_in_inference_mode_do(model):
    with torch.inference_mode():
        inputs = {"blur": [torch.rand(1, 3, 8, 8), torch.rand(1, 3, 12, 9)], "clean": [torch.rand(1, 3, 10, 10)]}
        found = learned(model, inputs, "blur", PARAMS, 0)
    assert isinstance(found, Learned)
    assert np.isfinite(found.scores).all()


def test_bfloat16_finds_much_of_what_fp32_finds(model, seen):
    coarse = PathModel(model.network, model.baseline, model.target, replace(CPU, precision="bf16"))
    exact, rough = (learned(each, seen, "blur", PARAMS, 0).scores for each in (model, coarse))
    assert np.corrcoef(exact, rough)[0, 1] > 0.9


def refused(model, inputs, message, degradation="blur", **changes):
    with pytest.raises(InputError, match=message):
        learned(model, inputs, degradation, replace(PARAMS, **changes), 0)


def test_what_cannot_be_learned_is_refused(model, seen):
    nan = torch.full((1, 3, 8, 8), float("nan"))
    refused(model, {**seen, "blur": []}, "no image of blur")
    refused(model, seen, "no image of jpeg", degradation="jpeg")
    refused(model, {**seen, "clean": []}, "no image of clean")
    refused(model, {"blur": seen["blur"]}, "no input beside blur")
    refused(model, {**seen, "noise": [nan]}, "noise, image 0: the input is not finite")
    refused(model, {**seen, "clean": [torch.rand(1, 5, 8, 8)]}, "clean, image 0: the network cannot restore")
    refused(model, {**seen, "clean": [torch.rand(3, 8, 8)]}, "clean, image 0: the input must be one image")
    refused(model, seen, "masks all", ratios=(0.5, 1.0))
    same = PathModel(model.network, model.target, model.target, CPU)
    refused(same, seen, "restore blur images alike.*nothing to remove")
    huge = {key: value * 1e20 for key, value in model.target.items()}
    refused(PathModel(model.network, model.baseline, huge, CPU), seen, "not finite: the weights are too large")
    with pytest.raises(InputError, match="seed = -1 must be 0 or more"):
        learned(model, seen, "blur", PARAMS, -1)
    with pytest.raises(ValueError, match="smaller share first"):
        replace(PARAMS, ratios=(0.2, 0.1))


def test_masks_that_do_no_good_are_warned_of(model, seen):
    """Weights that moved far: each mask breaks the network, and few steps cannot mend it."""
    far = {key: value + 100 * model.change[key] for key, value in model.baseline.items()}
    with pytest.warns(UserWarning, match="remove blur has not settled.*smaller damping"):
        learn(model.network, model.baseline, far, seen, "blur", steps=3, ratios=(0.5, 0.9))


def test_settings_out_of_range_are_refused_by_name():
    network = build_network(TINY, seed=1)
    weights = network.state_dict()
    with pytest.raises(InputError, match="steps"):
        learn(network, weights, weights, {}, "blur", steps=0)
