"""What makes the discovered filters special: their weights, their locations or their connections (paper, section 4.4)?

* locations: starting at the baseline, only chosen filters are trained on one degradation; all else, biases included,
  stays the baseline's bit for bit. If as many filters anywhere else learn as much, locations do not matter.
* connections: the same output channels, each fed by other input channels; if those learn as much, it is not the
  connections that matter.
* weights: the target's, grafted into the baseline at the discovered filters; and the target's, shuffled among the
  discovered filters of each layer of the target.

recovered = (Q - Q_baseline) / (Q_target - Q_baseline), Q the mean PSNR over test images of the degradation.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, Weights, mask
from faig.base.params import Count, settings
from faig.data.crops import Batch
from faig.experiments.evaluation import PSNR, evaluate
from faig.networks.training import TrainingParams

DISCOVERED, GRAFTED, SHUFFLED, ALL = "discovered", "grafted", "shuffled", "all"


@settings
class RetrainParams:
    """Settings of the retrain stage.

    ``replicates``: draws of filters and of training patches; ``training``: what each network is trained with.
    """

    replicates: Count
    training: TrainingParams


@dataclass(frozen=True)
class Variant:
    """Filters (n,) that are trained: of which kind, and in which replicate."""

    name: str
    replicate: int
    filters: np.ndarray

    def digest(self) -> str:
        """A name for the set of filters, equal for equal sets."""
        return hashlib.sha256(self.filters.astype("<i8").tobytes()).hexdigest()[:16]


def trained_variants(
    index: FilterIndex, found: np.ndarray, num_replicates: int, generator: np.random.Generator
) -> list[Variant]:
    """What is trained for the discovered filters (n,): themselves and each control in every replicate, all once."""
    draws: dict[str, Callable[[], np.ndarray]] = {
        DISCOVERED: lambda: np.sort(found),
        "same_count": lambda: same_count(index, found, generator),
        "rewired": lambda: rewired(index, found, generator),
        "random": lambda: np.sort(generator.choice(index.num_filters, len(found), replace=False)),
    }
    variants = [Variant(name, number, draw()) for number in range(num_replicates) for name, draw in draws.items()]
    return [*variants, Variant(ALL, 0, np.arange(index.num_filters))]


def same_count(index: FilterIndex, filters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Random filters (n,), as many in each layer as ``filters`` (n,) has there, sorted."""
    counts = index.count_by_layer(filters)
    parts = [
        start + generator.choice(size, count, replace=False)
        for start, size, count in zip(index.starts, index.sizes, counts, strict=True)
    ]
    return np.sort(np.concatenate(parts))


def rewired(index: FilterIndex, filters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Random filters (n,), as many of each output channel as ``filters`` (n,) has there, sorted."""
    num_inputs = np.repeat([shape[1] for shape in index.shapes], [shape[0] for shape in index.shapes])
    starts = np.cumsum(num_inputs) - num_inputs  # first filter of each output channel of any layer
    channels, counts = np.unique(np.searchsorted(starts, filters, side="right") - 1, return_counts=True)
    parts = [
        starts[channel] + generator.choice(num_inputs[channel], count, replace=False)
        for channel, count in zip(channels, counts, strict=True)
    ]
    return np.sort(np.concatenate(parts))


def train_only(network: nn.Module, index: FilterIndex, filters: np.ndarray) -> None:
    """Let only the chosen filters (n,) of ``network`` be trained, from now on: all other gradients become 0.

    Adam moves a parameter whose gradients were always 0 by exactly 0, and an average of equal values is that value.
    """
    chosen = index.spread(filters, network.state_dict())
    for name, parameter in network.named_parameters():
        parameter.register_hook(_Only(chosen.get(name, torch.zeros((), dtype=torch.bool))))


@dataclass
class _Only:
    """Hook of a parameter: its gradient where ``flags``, which broadcast to it, are true, else 0."""

    flags: Tensor

    def __call__(self, gradient: Tensor) -> Tensor:
        self.flags = self.flags.to(gradient.device)  # copied once
        return torch.where(self.flags, gradient, 0)


def graft(target: Weights, baseline: Weights, index: FilterIndex, chosen: np.ndarray) -> dict[str, Tensor]:
    """The baseline's weights with the target's at the chosen filters (n,); biases stay the baseline's."""
    return mask(baseline, target, index, chosen)


def shuffle(
    target: Weights, index: FilterIndex, chosen: np.ndarray, generator: np.random.Generator
) -> dict[str, Tensor]:
    """The target's weights, those of the chosen filters (n,) in another order within each layer, at random.

    Whole kernels move, so each layer keeps its weights; all other layers and filters stay as they are.
    """
    shuffled = dict(target)
    for key, places in index.places(chosen, target).items():
        values = target[key].cpu().flatten()
        moved = values.clone()
        moved[places.flatten()] = values[places[torch.from_numpy(generator.permutation(len(places)))].flatten()]
        shuffled[key] = moved.view(target[key].shape).to(target[key])
    return shuffled


Network = tuple[str, int, Weights]
"""Variant, replicate, and the network's weights."""


def untrained(
    model: PathModel, found: np.ndarray, num_replicates: int, generator: np.random.Generator
) -> list[Network]:
    """What needs no training, for the discovered filters (n,): ``baseline``, ``target``, grafted, and shuffled anew."""
    networks: list[Network] = [("baseline", 0, model.baseline), ("target", 0, model.target)]
    networks.append((GRAFTED, 0, graft(model.target, model.baseline, model.index, found)))
    for replicate in range(num_replicates):
        networks.append((SHUFFLED, replicate, shuffle(model.target, model.index, found, generator)))
    return networks


def measure(model: PathModel, networks: Sequence[Network], inputs: Mapping[str, Sequence[Batch]]) -> pd.DataFrame:
    """PSNR of each network on each image.

    Returns:
        Columns variant, replicate, input, image, psnr in dB.
    """
    labelled = [
        ([{"variant": variant, "replicate": replicate}], partial(model.restore, weights))
        for variant, replicate, weights in networks
    ]
    return evaluate(labelled, inputs, PSNR)
