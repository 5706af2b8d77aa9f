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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, Weights
from faig.base.params import Count, Name, NonNegative, Ratio, settings
from faig.base.statistics import bootstrap_replicates, by_replicate, percentile_interval
from faig.data.crops import Batch
from faig.data.quality import psnr
from faig.experiments.masking import mask, restore
from faig.networks.training import TrainingParams

DISCOVERED, GRAFTED, SHUFFLED, ALL = "discovered", "grafted", "shuffled", "all"
CONTROLS = ("same_count", "rewired", "random")
"""Filters drawn anew in each replicate: as many in each layer; the same output channels with other input channels; as
many anywhere."""


@settings
class RetrainParams:
    """Settings of the retrain stage.

    ``target``: whose filters; ``ratio``: share of all filters that count as discovered; ``replicates``: draws of
    filters and of training patches; ``training``: what each network is trained with; ``min_gain``: dB that the target
    must gain for shares of it to be reported.
    """

    target: Name
    ratio: Ratio
    replicates: Count
    training: TrainingParams
    min_gain: NonNegative
    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Variant:
    """Filters (n,) that are trained: of which kind, and in which replicate."""

    name: str
    replicate: int
    filters: np.ndarray

    def digest(self) -> str:
        """Of the filters: equal for equal sets."""
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
    layers = index.layer_numbers[chosen]
    for number in np.unique(layers):
        entry, size = index.entries[number], index.sizes[number]
        weight = target[entry.weight]
        places = entry.kernels(torch.arange(weight.numel()).view(weight.shape)).reshape(size, -1)  # of each filter
        own = torch.from_numpy(chosen[layers == number] - index.starts[number])
        others = own[torch.from_numpy(generator.permutation(len(own)))]
        values = weight.cpu().flatten().clone()
        values[places[own].flatten()] = values[places[others].flatten()]
        shuffled[entry.weight] = values.view(weight.shape).to(weight)
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


def measure(model: PathModel, networks: Sequence[Network], inputs: Sequence[Batch], *, border: int) -> pd.DataFrame:
    """PSNR of each network on each image.

    Returns:
        Columns variant, replicate, image, psnr in dB, ``border`` pixels cut on each side.
    """
    rows = []
    for variant, replicate, weights in networks:
        for batch, sr in zip(inputs, restore(model, weights, inputs), strict=True):
            values = pd.DataFrame({"image": batch.names, "psnr": psnr(sr, batch.hr, border)})
            rows.append(values.assign(variant=variant, replicate=replicate))
    return pd.concat(rows, ignore_index=True).reindex(columns=["variant", "replicate", "image", "psnr"])


def summarize(table: pd.DataFrame, params: RetrainParams, generator: np.random.Generator) -> dict[str, Any]:
    """How much of the target's gain each variant recovers.

    Args:
        table: as :func:`measure` returns it, of one degradation; variants ``baseline``, ``target`` and others.
        generator: of the bootstrap, over images and over replicates at once.

    Returns:
        ``gain`` of the target in dB; by variant ``gained_db``, mean over replicates and images, and, where the gain is
        at least ``min_gain``, ``recovered`` with ``_low`` and ``_high``; of the controls also ``behind`` with its
        interval: how much less they recover than the discovered filters do.
    """
    by_variant = {name: by_replicate(rows, "psnr") for name, rows in table.groupby("variant", sort=False)}
    base = by_variant.pop("baseline")
    gains = {str(name): values - base for name, values in by_variant.items()}
    target = gains.pop("target")
    results: dict[str, Any] = {"gain": float(target.mean())}
    known = results["gain"] >= params.min_gain
    samples = bootstrap_replicates({**gains, "target": target}, params.num_resamples, generator)
    for name, values in gains.items():
        results[name] = {"gained_db": float(values.mean())}
        if known:
            shares = samples[name] / samples["target"]
            results[name] |= _with_interval("recovered", float(values.mean() / target.mean()), shares, params.level)
    for name in set(CONTROLS) & gains.keys() if known else ():
        lead = float((gains[DISCOVERED].mean() - gains[name].mean()) / target.mean())
        leads = (samples[DISCOVERED] - samples[name]) / samples["target"]
        results[name] |= _with_interval("behind", lead, leads, params.level)
    return results


def _with_interval(name: str, value: float, samples: np.ndarray, level: float) -> dict[str, float]:
    low, high = percentile_interval(samples, level=level)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
