"""Laws of the rivals: the trivial estimator measures what it says, the classifier learns what there is, no more."""

import numpy as np
import pytest
import torch
from conftest import CPU

from faig.base.params import ParamsError, validate
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.tensors import to_tensor
from faig.experiments.rivals import Classifier, ClassifierParams, classify, train_classifier, trivial_features

VALUES = {"width": 4, "iterations": 60, "batch_size": 8, "patch_size": 16, "learning_rate": 0.01}
PARAMS = validate("classifier", VALUES, ClassifierParams, source="params.yaml")
NAMES = ["flat", "noisy"]


def noisy(sigma, seed=0, size=64):
    noise = np.random.default_rng(seed).normal(scale=sigma, size=(1, 3, size, size))
    return torch.from_numpy(0.5 + noise).float()


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_the_noise_estimate_is_the_noise_level(sigma):
    assert np.exp(trivial_features([noisy(sigma)])["sigma"][0]) == pytest.approx(sigma, rel=0.1)


def test_the_laplacian_of_white_noise_by_formula():
    """Weights 1, 1, 1, 1, -4 of independent pixels: variance 20 sigma^2, of the grey mean of three channels."""
    luma = np.square([0.299, 0.587, 0.114]).sum()
    expected = 20 * 0.1**2 * luma
    assert np.exp(trivial_features([noisy(0.1, size=256)])["laplacian"][0]) == pytest.approx(expected, rel=0.05)


def test_a_flat_image_has_the_floor():
    assert trivial_features([torch.full((1, 3, 16, 16), 0.5)]).to_numpy().tolist() == [[np.log(1e-6)] * 2]


def pair(name, label, *, is_noisy, seed):
    lr = np.full((24, 24, 3), 128, dtype=np.uint8)
    if is_noisy:
        lr = np.random.default_rng(seed).integers(64, 192, size=lr.shape, dtype=np.uint8)
    return Pair(name, label, np.repeat(np.repeat(lr, 2, axis=0), 2, axis=1), lr)


def accuracy_on_new_images(pairs):
    """Of a classifier trained on the pairs."""
    sampler = PatchSampler(pairs, dict.fromkeys(NAMES, 1.0), patch_size=16, batch_size=8, seed=0)
    network = train_classifier(sampler, PARAMS, CPU, seed=1)
    tests = [pair("t", name, is_noisy=name == "noisy", seed=50 + n) for n in range(20) for name in NAMES]
    table = classify(network, [to_tensor(test.lr) for test in tests], sampler.names, CPU)
    assert list(table.columns) == NAMES
    np.testing.assert_allclose(np.exp(table.to_numpy()).sum(axis=1), 1, rtol=1e-5)
    named = [NAMES[place] for place in table.to_numpy().argmax(axis=1)]
    return np.mean([name == test.degradation for name, test in zip(named, tests, strict=True)])


def test_the_classifier_tells_apart_what_can_be():
    pairs = [pair(f"{n}", name, is_noisy=name == "noisy", seed=n) for n in range(4) for name in NAMES]
    assert accuracy_on_new_images(pairs) == 1


def test_shuffled_labels_give_chance():
    """Of each kind of image half are called noisy."""
    pairs = [pair(f"{n}", NAMES[n % 2], is_noisy=n % 4 < 2, seed=n) for n in range(16)]
    assert accuracy_on_new_images(pairs) == 0.5


def test_equal_seeds_give_equal_classifiers():
    pairs = [pair("a", name, is_noisy=name == "noisy", seed=0) for name in NAMES]
    sampler = PatchSampler(pairs, dict.fromkeys(NAMES, 1.0), patch_size=16, batch_size=8, seed=0)
    first, same, other = (train_classifier(sampler, PARAMS, CPU, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["classify.weight"], other["classify.weight"])


def test_an_image_of_any_size_has_one_log_probability_per_class():
    network = Classifier(4, 3)
    images = [torch.rand(1, 3, 6, 9), torch.rand(1, 3, 20, 7)]
    assert classify(network, images, ["a", "b", "c"], CPU).shape == (2, 3)


def test_values_out_of_range_are_refused():
    with pytest.raises(ParamsError, match="iterations"):
        validate("classifier", VALUES | {"iterations": 0}, ClassifierParams, source="params.yaml")
