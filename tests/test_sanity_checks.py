"""What any score of filters must do (Adebayo et al. 2018): depend on the weights, and on the images alone.

A further method is one more line of METHODS.
"""

import numpy as np
import pytest
import torch
from conftest import CPU, TINY
from scipy.stats import spearmanr

from benchmarks.studies.candidates import CANDIDATES, Case
from faig.attribution.path import PathModel
from faig.base.errors import InputError
from faig.networks.models import build_network

METHODS = {
    "faig": CANDIDATES["FAIG"],
    "taylor": CANDIDATES["Taylor"],
    "signed": CANDIDATES["signed path"],
    "second_order": CANDIDATES["second order"],
    "learned": CANDIDATES["learned"],
}
"""Each takes a model and images by degradation, as a case, to scores (F,) of blur and noise."""
every_method = pytest.mark.parametrize("score", METHODS.values(), ids=METHODS)


def drawn(seed: int) -> PathModel:
    """The tiny network between two sets of random weights, near enough for scores to mean something."""
    network = build_network(TINY, seed)
    generator = torch.Generator().manual_seed(seed)
    baseline = network.state_dict()
    target = {
        name: value + 0.3 * value.std(correction=0) * torch.randn(value.shape, generator=generator)
        for name, value in baseline.items()
    }
    return PathModel(network, baseline, target, CPU)


@pytest.fixture
def inputs():
    """Three photographs of 8 x 8 pixels, clean, dimmed and with noise."""
    generator = torch.Generator().manual_seed(3)
    pairs = [[torch.rand(1, 3, side, side, generator=generator) for side in (8, 16)] for _ in range(3)]
    noise = [0.3 * torch.randn(1, 3, 8, 8, generator=generator) for _ in pairs]
    return {
        "clean": [(lr, hr) for lr, hr in pairs],
        "blur": [(lr.mean(dim=3, keepdim=True).expand_as(lr), hr) for lr, hr in pairs],
        "noise": [(lr + more, hr) for (lr, hr), more in zip(pairs, noise, strict=True)],
    }


def scores(score, model, inputs):
    return score(Case(model, inputs, ("blur", "noise"), count=5))


@every_method
def test_other_weights_give_other_scores(score, inputs):
    """Of networks drawn anew the ranks have little in common, within layers: how large filters are stays the same."""
    first, second = (scores(score, drawn(seed), inputs) for seed in (0, 1))
    index = drawn(0).index
    for name, values in first.items():
        shared = 0.0
        for number, size in enumerate(index.sizes):
            own = index.layer_numbers == number
            shared += spearmanr(values[own], second[name][own])[0] * size / index.num_filters  # pyright: ignore
        assert abs(shared) < 0.3


@every_method
def test_other_images_give_other_scores(score, inputs):
    model = drawn(0)
    moved = {name: [(lr.flip(-1), hr) for lr, hr in pairs] for name, pairs in inputs.items()}
    first, second = (scores(score, model, given) for given in (inputs, moved))
    assert not np.allclose(first["blur"], second["blur"])


@every_method
def test_labels_that_are_swapped_swap_the_scores(score, inputs):
    model = drawn(0)
    first = scores(score, model, inputs)
    second = scores(score, model, {**inputs, "blur": inputs["noise"], "noise": inputs["blur"]})
    assert not np.allclose(first["blur"], first["noise"])
    for name, other in (("blur", "noise"), ("noise", "blur")):
        np.testing.assert_allclose(first[name], second[other], rtol=1e-5, atol=1e-7)


@every_method
def test_a_baseline_that_is_the_target_has_no_filters(score, inputs):
    model = drawn(0)
    same = PathModel(model.network, model.target, model.target, CPU)
    if score is CANDIDATES["learned"]:
        with pytest.raises(InputError, match="nothing to remove"):
            scores(score, same, inputs)
        return
    for values in scores(score, same, inputs).values():
        np.testing.assert_array_equal(values, np.zeros(model.index.num_filters))
