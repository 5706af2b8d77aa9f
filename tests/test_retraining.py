"""Laws of retraining: controls keep what they say, and frozen weights keep their bits."""

import numpy as np
import pytest
import torch
from conftest import CPU
from torch import nn

from faig.attribution.filters import FilterIndex
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.quality import psnr
from faig.experiments.retraining import (
    graft,
    measure,
    rewired,
    same_count,
    shuffle,
    train_only,
    trained_variants,
    untrained,
)
from faig.networks.training import TrainingParams, start, step
from faig.report.argument import CONTROLS

TRAINING = TrainingParams(
    iterations=3, batch_size=2, patch_size=16, learning_rate=0.01, warmup=0.0, adam_betas=(0.9, 0.99), ema_decay=0.9,
    log_every=3, checkpoint_every=3, validation_images=1,
)  # fmt: skip


class Mixed(nn.Module):
    """Grouped, transposed and plain convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, groups=2)
        self.last = nn.Conv2d(4, 3, 1)


@pytest.fixture(params=["kernel", "channel"])
def mixed(request):
    network = Mixed()
    index = FilterIndex.of(network, granularity=request.param)
    found = np.random.default_rng(0).choice(index.num_filters, index.num_filters // 2, replace=False)
    return network, index, found


# Controls


def test_same_count_keeps_each_layer_s_number_and_reaches_every_filter(mixed):
    _, index, found = mixed
    generator = np.random.default_rng(1)
    reached = set()
    for _ in range(60):
        drawn = same_count(index, found, generator)
        assert len(set(drawn.tolist())) == len(found)
        np.testing.assert_array_equal(index.count_by_layer(drawn), index.count_by_layer(found))
        reached |= set(drawn.tolist())
    layers = set(index.layer_numbers[found])
    assert reached == {n for n in range(index.num_filters) if index.layer_numbers[n] in layers}


def test_rewiring_keeps_each_output_channel_s_number_and_moves_input_channels(mixed):
    _, index, found = mixed
    generator = np.random.default_rng(1)

    def outputs(filters):
        layer, out_channel, _ = index.locate(filters)
        return sorted(zip(layer.tolist(), out_channel.tolist(), strict=True))

    reached = set()
    for _ in range(60):
        drawn = rewired(index, found, generator)
        assert len(set(drawn.tolist())) == len(found)
        assert outputs(drawn) == outputs(found)
        reached |= set(drawn.tolist())
    connected = set(outputs(found))
    possible = {n for n in range(index.num_filters) if outputs(np.array([n]))[0] in connected}
    assert reached == possible


def test_variants_are_the_discovered_filters_controls_and_all(model):
    found = np.array([9, 3, 40])
    variants = trained_variants(model.index, found, 2, np.random.default_rng(0))
    assert [(v.name, v.replicate) for v in variants[:-1]] == [
        (name, number) for number in range(2) for name in ("discovered", *CONTROLS)
    ]
    assert (variants[-1].name, len(variants[-1].filters)) == ("all", model.index.num_filters)
    assert all(len(v.filters) == 3 for v in variants[:-1])
    digests = {v.name: {w.digest() for w in variants if w.name == v.name} for v in variants}
    assert len(digests["discovered"]) == 1
    assert len(digests["random"]) == 2


# Frozen weights


def test_only_the_chosen_filters_are_trained_all_else_stays_bit_for_bit(tiny_network):
    index = FilterIndex.of(tiny_network)
    chosen = np.array([0, 5, 30, 31, index.num_filters - 1])
    before = {name: value.clone() for name, value in tiny_network.state_dict().items()}
    generator = np.random.default_rng(0)
    hr = generator.integers(256, size=(32, 32, 3), dtype=np.uint8)
    pair = Pair("a", "noise", hr, hr[::2, ::2].copy())
    train_only(tiny_network, index, chosen)
    state = start(tiny_network, TRAINING, CPU)
    sampler = PatchSampler([pair], {"noise": 1.0}, patch_size=16, batch_size=2, seed=0)
    for _ in range(TRAINING.iterations):
        step(state, sampler, TRAINING)
    moved = index.spread(chosen, before)
    for weights in (tiny_network.state_dict(), state.average):
        for name, value in weights.items():
            flags = moved.get(name, torch.zeros((), dtype=torch.bool)).expand_as(value)
            assert torch.equal(value[~flags], before[name][~flags])
            assert (value[flags] != before[name][flags]).all()


# Weights


def test_grafting_puts_the_target_s_kernels_into_the_baseline(model):
    chosen = np.array([2, 17, 44])
    grafted = graft(model.target, model.baseline, model.index, chosen)
    flags = model.index.spread(chosen, model.target)
    for name, value in grafted.items():
        own = flags.get(name, torch.zeros((), dtype=torch.bool)).expand_as(value)
        assert torch.equal(value[own], model.target[name][own])
        assert torch.equal(value[~own], model.baseline[name][~own])


def test_shuffling_moves_whole_kernels_within_each_layer_and_nothing_else(mixed):
    network, index, found = mixed
    weights = {name: torch.rand_like(value) for name, value in network.state_dict().items()}
    shuffled = shuffle(weights, index, found, np.random.default_rng(3))
    assert not all(torch.equal(shuffled[name], weights[name]) for name in weights)
    taps = {entry.key: entry.kernels for entry in index.entries}
    for number, (entry, first, size) in enumerate(zip(index.entries, index.starts, index.sizes, strict=True)):
        before, after = (taps[entry.key](w[entry.key]).reshape(size, -1) for w in (weights, shuffled))
        chosen = found[index.layer_numbers[found] == number] - first
        others = np.setdiff1d(np.arange(size), chosen)
        assert torch.equal(after[others], before[others])
        assert sorted(after[chosen].tolist()) == sorted(before[chosen].tolist())
    assert all(torch.equal(shuffled[name], weights[name]) for name in weights if name.endswith("bias"))


def test_one_filter_of_a_layer_has_nowhere_to_go(model):
    chosen = np.array(model.index.starts)
    shuffled = shuffle(model.target, model.index, chosen, np.random.default_rng(0))
    assert all(torch.equal(shuffled[name], value) for name, value in model.target.items())


def test_shuffling_does_not_depend_on_the_memory_layout(model):
    chosen = np.arange(model.index.num_filters)
    dense = shuffle(model.target, model.index, chosen, np.random.default_rng(0))
    last = {
        name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in model.target.items()
    }
    moved = shuffle(last, model.index, chosen, np.random.default_rng(0))
    assert all(torch.equal(moved[name], dense[name]) for name in dense)


def test_what_needs_no_training_is_both_ends_the_graft_and_shuffles_that_differ(model):
    found = np.arange(20, 60)
    networks = untrained(model, found, 2, np.random.default_rng(0))
    labels = [("baseline", 0), ("target", 0), ("grafted", 0), ("shuffled", 0), ("shuffled", 1)]
    assert [(name, replicate) for name, replicate, _ in networks] == labels
    (*_, first), (*_, second) = networks[3:]
    assert not all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(networks[1][2][name], value) for name, value in model.target.items())


def test_quality_is_that_of_the_given_weights(model, inputs):
    networks = [("target", 0, model.target), ("random", 1, model.baseline)]
    table = measure(model, networks, {"blur": inputs["blur"][:1]})
    assert table[["variant", "replicate", "input", "image"]].to_numpy().tolist() == [
        ["target", 0, "blur", "a"], ["target", 0, "blur", "b"], ["random", 1, "blur", "a"], ["random", 1, "blur", "b"],
    ]  # fmt: skip
    batch = inputs["blur"][0]
    sr = model.restore(model.baseline, batch.lr).detach()
    assert table["psnr"][2:].tolist() == psnr(sr, batch.hr, 2).tolist()
