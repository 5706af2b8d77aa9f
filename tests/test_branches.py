"""Laws of the two-branch network: it starts as the one-branch network, fits its budget, and is modulated per block."""

import numpy as np
import pytest
import torch
from conftest import CPU
from torch import nn
from torch.nn import functional

from faig.data.crops import Batch
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.quality import psnr
from faig.data.tensors import detail
from faig.experiments.branches import (
    DETAIL_GAIN,
    TwoBranchNetwork,
    add_branch,
    measure,
    num_flops,
    num_parameters,
    objective,
)
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.training import TrainingParams, start, step

TRAINING = TrainingParams(
    iterations=2, batch_size=4, patch_size=16, learning_rate=0.01, warmup=0.0, adam_betas=(0.9, 0.99), ema_decay=0.9,
    log_every=2, checkpoint_every=2, validation_images=1,
)  # fmt: skip
CLASSES = ["blur", "clean", "noise"]


def network_of(name, width, depth, scale=2):
    return build_network(NetworkSpec(params=NetworkParams(name=name, width=width, depth=depth), scale=scale), seed=1)


@pytest.fixture(params=[("srresnet", 8, 2, 2), ("srcnn", 8, 3, 3)], ids=["srresnet", "srcnn"])
def one(request):
    return network_of(*request.param)


@pytest.fixture
def two(one):
    """With a modulation that is not the identity."""
    torch.manual_seed(0)
    network = TwoBranchNetwork(one, len(CLASSES), 4)
    for value in network.modulations.parameters():
        nn.init.normal_(value, std=0.3)
    return network


def image(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_two_branches_start_as_the_one_branch_bit_for_bit_and_leave_it_alone(one):
    x = image(2, 3, 8, 8)
    network = TwoBranchNetwork(one, len(CLASSES), 4)
    assert torch.equal(network(x), one(x))
    before = one(x).detach()
    nn.init.zeros_(next(network.restoration.parameters()))
    assert torch.equal(one(x), before)


def test_every_block_is_modulated_per_channel(one, two):
    """Against the formula, block by block, written out by hand."""
    x = image(2, 3, 8, 8)
    embedding = two.encoder(DETAIL_GAIN * detail(x)).mean(dim=(2, 3))
    pairs = [layer(embedding) for layer in two.modulations]

    def film(y, number):
        gamma, beta = pairs[number].split(y.shape[1], dim=1)
        return (1 + gamma[:, :, None, None]) * y + beta[:, :, None, None]

    if hasattr(one, "body"):
        features = functional.leaky_relu(one.first(x), 0.1)
        for number, block in enumerate(one.body):
            features = film(block(features), number)
        features = functional.leaky_relu(one.high(one.upsample(features)), 0.1)
        expected = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + one.last(features)
    else:
        features, number = x, 0
        for layer in one.features:
            features = layer(features)
            if isinstance(layer, nn.LeakyReLU) and number < len(pairs):
                features, number = film(features, number), number + 1
        expected = features
    torch.testing.assert_close(two(x), expected, rtol=1e-5, atol=1e-6)
    assert two.both(x)[1].shape == (2, len(CLASSES))


def test_images_of_a_batch_are_modulated_each_by_its_own(two):
    x = torch.cat([image(1, 3, 8, 8), 0.1 * image(1, 3, 8, 8, seed=1)])
    torch.testing.assert_close(two(x), torch.cat([two(x[:1]), two(x[1:])]), rtol=1e-5, atol=1e-6)


def test_the_restoration_branch_is_as_it_was_after_each_image(two):
    before = two.restoration(image(1, 3, 8, 8)).detach()
    two(image(1, 3, 8, 8))
    assert torch.equal(two.restoration(image(1, 3, 8, 8)), before)


@pytest.mark.parametrize(
    ("name", "width", "depth", "num_blocks"), [("srresnet", 64, 16, 16), ("srcnn", 128, 4, 6), ("srresnet", 8, 2, 2)]
)
def test_the_second_branch_takes_the_largest_size_within_the_budget(name, width, depth, num_blocks):
    one = network_of(name, width, depth)
    assert len(one.blocks()) == num_blocks
    two = add_branch(one, len(CLASSES), 0.05, seed=0)
    added = num_parameters(two) - num_parameters(one)
    larger = TwoBranchNetwork(one, len(CLASSES), two.classify.in_features + 1)
    assert added <= 0.05 * num_parameters(one) < num_parameters(larger) - num_parameters(one)


def test_a_budget_too_small_is_refused(one):
    with pytest.raises(ValueError, match=r"budget = 0.0001: the smallest second branch adds \d+ to the network's \d+"):
        add_branch(one, len(CLASSES), 0.0001, seed=0)


def test_the_seed_alone_draws_the_second_branch(one):
    first, same, other = (next(add_branch(one, 3, 0.05, seed).encoder.parameters()) for seed in (4, 4, 5))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_operations_of_a_convolution():
    assert num_flops(nn.Conv2d(3, 5, 3, padding=1), 8) == 2 * 5 * 3 * 9 * 64


# Training


@pytest.fixture
def sampler():
    generator = np.random.default_rng(0)
    pairs = []
    for name in CLASSES:
        hr = generator.integers(256, size=(32, 32, 3), dtype=np.uint8)
        pairs.append(Pair("a", name, hr, hr[::2, ::2].copy()))
    return PatchSampler(pairs, dict.fromkeys(CLASSES, 1.0), patch_size=16, batch_size=6, seed=0)


def test_the_loss_is_l1_plus_weighted_cross_entropy(sampler):
    network = add_branch(network_of("srresnet", 8, 2), 3, 0.05, seed=0)
    lr, hr = sampler.batch(7)
    sr, logits = network.both(lr)
    chosen = logits.log_softmax(dim=1)[torch.arange(6), sampler.labels(7)]
    expected = (sr - hr).abs().mean() - 0.3 * chosen.mean()
    torch.testing.assert_close(objective(0.3)(network, lr, hr, sampler.labels(7), CPU), expected)


def test_training_moves_every_part(sampler):
    network = add_branch(network_of("srresnet", 8, 2), 3, 0.05, seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = start(network, TRAINING, CPU, objective(0.5))
    for _ in range(2):
        step(state, sampler, TRAINING)
    assert [name for name, value in network.state_dict().items() if torch.equal(value, before[name])] == []


# What is measured


def test_quality_and_prediction_of_every_image():
    network = add_branch(network_of("srresnet", 8, 2), 2, 0.05, seed=0)
    inputs = {
        name: [Batch(("a", "b"), image(2, 3, 16, 16, seed=n), image(2, 3, 32, 32))] for n, name in enumerate("yx")
    }
    table = measure(network, inputs, CPU)
    assert table[["input", "image"]].to_numpy().tolist() == [["y", "a"], ["y", "b"], ["x", "a"], ["x", "b"]]
    sr, logits = (value.detach() for value in network.both(inputs["x"][0].lr))
    assert table["psnr"][2:].tolist() == psnr(sr, inputs["x"][0].hr, 2).tolist()
    assert table["predicted"][2:].tolist() == ["xy"[place] for place in logits.argmax(dim=1)]
    assert set(measure(network.restoration, inputs, CPU)["predicted"]) == {""}
