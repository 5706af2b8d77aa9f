"""Networks without the channels that no ability needs: which are left out, how well and how fast the rest restores.

A channel is one of those between both convolutions of a residual block; without it the network really is smaller. What
a network needs of channel c on inputs of one kind is, to first order, what its absence does to the output, in units of
the target's squared error: ``|u_c|^2 / |F(target, x) - HR|^2``, with ``u_c`` the change of the output as the second
convolution's weights for c go to 0. The squared length is estimated by random signs, as in
:mod:`faig.attribution.second_order`. The ``need`` of a channel is the largest over clean, blurred and noisy inputs.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.common import ROOT, compute
from benchmarks.studies.attributions import inputs_of, patch_sources
from benchmarks.studies.learned_masks import pixels, tiles
from benchmarks.studies.widths import (
    ABILITIES,
    INPUTS,
    METHODS,
    QUADRATURE,
    SCORED,
    UnevenSRResNet,
    Widths,
    compared,
    fitted,
    flops,
    measured,
    test_inputs,
)
from faig.attribution.engine import attribute_images
from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel
from faig.data.crops import Batch
from faig.experiments.loading import load_model
from faig.experiments.masking import measure
from faig.experiments.score_table import Key
from faig.networks.training import TrainingParams
from tools.tables import Json, read_yaml

NETWORKS = ("srresnet_32x8_bicubic",)
CROP = 64
SHARES = (0.1, 0.25, 0.5)
"""Of the channels, left out."""
KEPT = (0.03, 0.1, 0.3)
"""Shares of the filters that keep the target's weights where all others are masked."""
SIGNS, REPEATS, SPEED_SIZE = 2, 9, 256
"""Draws of signs per crop, timed restorations, and the side of the LR image that is restored."""
FULL = "full"
TRAINING = TrainingParams(
    iterations=150,
    batch_size=4,
    patch_size=48,
    learning_rate=5e-4,
    warmup=0.1,
    adam_betas=(0.9, 0.99),
    ema_decay=0.99,
    log_every=150,
    checkpoint_every=150,
    validation_images=1,
)
"""Of the networks that are left, and of the full one as long."""


def by_channel(index: FilterIndex, values: np.ndarray, convolutions: Sequence[str]) -> np.ndarray:
    """Sum values of filters (F,) over the channels between both convolutions of all blocks, block by block.

    ``convolutions``: ``conv1`` counts a channel's filters there, whose output it is, ``conv2`` those that it enters.
    """
    layers = {
        name: values[start : start + size].reshape(shape)
        for name, start, size, shape in zip(index.layers, index.starts, index.sizes, index.shapes, strict=True)
    }
    axes = {"conv1": 1, "conv2": 0}  # (out, in): the channel is an output of conv1 and an input of conv2
    blocks = sum(name.startswith("body.") for name in layers) // 2
    return np.concatenate(
        [sum(layers[f"body.{n}.{conv}"].sum(axes[conv]) for conv in convolutions) for n in range(blocks)]
    )


def needs(
    network: nn.Module, images: Mapping[str, Sequence[tuple[Tensor, Tensor]]], num_draws: int = SIGNS
) -> np.ndarray:
    """What the network needs of each channel: the largest over the kinds of input, see the module."""
    target = network.state_dict()
    nothing = {name: torch.zeros_like(value) for name, value in target.items()}
    model = PathModel(network, nothing, target, compute("fp32"))
    generator, found = torch.Generator().manual_seed(0), []
    for pairs in images.values():
        moved, error = 0.0, 0.0
        for lr, hr in pairs:
            weights = model.with_gradients(model.target)
            output = model.restore(weights, lr)
            error += (output.detach() - hr).square().sum().item()
            for _ in range(num_draws):
                signs = 2.0 * torch.randint(0, 2, output.shape, generator=generator) - 1
                moves = model.moves(output, weights, signs, keep=True).numpy()
                moved = moved + by_channel(model.index, moves, ("conv2",)) ** 2 / num_draws
        found.append(np.asarray(moved) / error)
    return np.max(found, axis=0)


def rankings(model: PathModel, params: Json, training: Path) -> dict[str, np.ndarray]:
    """By name, how much each channel counts; those that count least are left out first."""
    images = inputs_of(pixels(training, SCORED, CROP, 0), INPUTS, params)
    network = model.network
    network.load_state_dict(model.target)
    sizes = model.index.collect({name: value.abs() for name, value in model.target.items()}).numpy()
    both = ("conv1", "conv2")
    abilities = []
    for name in ABILITIES:
        scores = attribute_images(model, images[name], QUADRATURE).scores.mean(axis=0)
        abilities.append(by_channel(model.index, scores, both) / scores.sum())
    return {
        "need": needs(network, images),
        "abilities alone, FAIG": np.max(abilities, axis=0),
        "size of the weights": by_channel(model.index, sizes, both),
        "random": np.random.default_rng(0).permutation(len(abilities[0])).astype(float),
    }


def without(target: Mapping[str, Tensor], widths: Widths, removed: np.ndarray) -> UnevenSRResNet:
    """The network without the channels (n,), which are counted through all blocks."""
    block, place = np.divmod(removed, widths.outer)
    kept = [np.setdiff1d(np.arange(widths.outer), place[block == n]) for n in range(len(widths.inner))]
    state = dict(target)
    for n, channels in enumerate(kept):
        for key, axis in (("conv1.weight", 0), ("conv1.bias", 0), ("conv2.weight", 1)):
            name = f"body.{n}.{key}"
            state[name] = state[name].index_select(axis, torch.from_numpy(channels))
    network = UnevenSRResNet(widths.with_units([*map(len, kept), widths.shuffled, widths.high]))
    network.load_state_dict(state)
    return network


def least(values: np.ndarray, share: float, per_block: int) -> np.ndarray:
    """The channels that count least, of all blocks together; the one that counts most in its block stays."""
    best = values.reshape(-1, per_block).argmax(axis=1) + per_block * np.arange(len(values) // per_block)
    order = np.argsort(values, kind="stable")
    return order[~np.isin(order, best)][: round(share * len(values))]


def speeds(networks: Mapping[str, nn.Module]) -> dict[str, float]:
    """By name, the median CPU time of one restoration by the first network, divided by that of each: in turns."""
    image, taken = torch.rand(1, 3, SPEED_SIZE, SPEED_SIZE), {name: [] for name in networks}
    with torch.no_grad():
        for _ in range(REPEATS + 1):
            for name, network in networks.items():
                start = time.process_time()
                network(image)
                taken[name].append(time.process_time() - start)
    first = next(iter(taken.values()))
    return {
        name: round(median(a / b for a, b in zip(first[1:], own[1:], strict=True)), 2) for name, own in taken.items()
    }


def kept_alone(model: PathModel, params: Json, training: Path, test: Path) -> Json:
    """PSNR where only the best filters for any ability keep the target's weights, all others the baseline's."""
    chosen = {}
    for method, scores in METHODS.items():
        places = [np.argsort(np.argsort(-values)) for values in scores(model, params, training).values()]
        ranks = np.min(places, axis=0)
        order = np.argsort(ranks, kind="stable")
        for share in KEPT:
            chosen[Key(method, "", 0, share)] = order[round(share * len(order)) :]
    table = measure(model, test_inputs(tiles(test), params), chosen)
    means = pd.Series(table.groupby(["method", "ratio", "input"])["psnr"].mean()).to_dict()
    return {
        f"{method}, {100 * ratio:g} %" if ratio else method: {
            name: round(float(means[method, ratio, name]), 2) for name in INPUTS
        }
        for method, ratio in dict.fromkeys(zip(table["method"], table["ratio"], strict=True))
    }


def smaller(target: Mapping[str, Tensor], widths: Widths, counts: Mapping[str, np.ndarray]) -> dict[str, nn.Module]:
    """The full network, and by ranking and share what is left of it."""
    found: dict[str, nn.Module] = {FULL: without(target, widths, np.zeros(0, dtype=int))}
    for share in SHARES:
        for ranking, values in counts.items():
            found[key(ranking, share)] = without(target, widths, least(values, share, widths.outer))
    return found


def key(ranking: str, share: float) -> str:
    """What a network is called."""
    return f"{ranking}, {100 * share:g} %"


def widths_of(network: nn.Module) -> Widths:
    """A network's widths."""
    assert isinstance(network, UnevenSRResNet)
    inner = [weight.shape[0] for name, weight in network.named_parameters() if name.endswith("conv1.weight")]
    high, shuffled = network.high.weight.shape[:2]
    return Widths(network.first.out_channels, tuple(inner), shuffled, high)


def timed(nets: Mapping[str, nn.Module], widths: Widths) -> dict[str, float]:
    """How many times faster than the full network what the ranking by need leaves is, and a network as small evenly."""
    networks = {FULL: nets[FULL]}
    for share in SHARES:
        networks[key("need", share)] = nets[key("need", share)]
        even = [round(width * (1 - share)) for width in widths.inner]
        networks[key("evenly", share)] = UnevenSRResNet(widths.with_units([*even, widths.shuffled, widths.high]))
    return speeds(networks)


def pruned(name: str, training: Path, test: Path) -> Iterator[Json]:
    """What is measured of one published network: at once, then with what fine-tuning and masking give."""
    folder = ROOT / "published" / name
    params = read_yaml(folder / "runs/Set14/params.yaml")
    baseline, blind = (folder / f"weights/{each}.safetensors" for each in ("baseline", "blind"))
    model = load_model(baseline, blind, compute("fp32"))
    widths = Widths.uniform(params["network"]["width"], params["network"]["depth"])
    inputs = test_inputs(tiles(test), params)
    nets = smaller(model.target, widths, rankings(model, params, training))
    result: Json = {"channels": sum(widths.inner), "iterations": TRAINING.iterations, "networks": {}, "full": {}}
    for each, network in nets.items():
        own = widths_of(network)
        result["networks"][each] = {"inner": list(own.inner), "flops": round(flops(own) / flops(widths), 3)}
    add(result, "at once", nets, inputs)
    result["speed"] = timed(nets, widths)
    yield result
    pairs, mixture = patch_sources(training, params), params["targets"]["blind"]["mixture"]
    for network in nets.values():
        network.load_state_dict(fitted(network.train(), pairs, mixture, TRAINING, "pruning", name))
    add(result, "fine-tuned", nets, inputs)
    yield result
    result["masked"] = kept_alone(model, params, training, test)
    yield result


def add(result: Json, when: str, nets: Mapping[str, nn.Module], inputs: Mapping[str, Sequence[Batch]]) -> None:
    """Measure all networks and write into ``result`` how each compares with the full one."""
    table = measured({(each, 0): network for each, network in nets.items()}, inputs)
    means = pd.Series(table.loc[table["variant"] == FULL].groupby("input")["psnr"].mean()).to_dict()
    result["full"][when] = {name: round(float(value), 2) for name, value in means.items()}
    for each in nets:
        result["networks"][each][when] = compared(table, each, FULL)


def pruning_part(training: Path, test: Path, keep: Callable[[Json], None]) -> None:
    """Part ``pruning``, of each of :data:`NETWORKS`."""
    found: Json = {}
    for name in NETWORKS:
        for result in pruned(name, training, test):
            found[name] = result
            keep(found)
