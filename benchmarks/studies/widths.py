"""SRResNets whose layers have widths of their own, the rule that gives width to the layers that scores name, training.

Widths are the channels that a unit of the network makes for the next layer alone: between both convolutions of a
residual block, after the pixel shuffle, and before the last layer. What is added to the image from block to block keeps
its channels.

The rule was set before anything was trained. At the level ``blocks`` each residual block competes with the others; at
the level ``parts`` the body as a whole competes with the layers ``upsample`` and ``high``. All filters of the
competitors are ranked; the discovered ones are the best ``mask_ratio`` of params.yaml, blur's and noise's taken
together. A competitor's share of these, divided by its share of the filters, is limited to between a half and two and
multiplies its width; then one factor for all competitors brings the network back to the FLOPs of the uniform one. The
reverse divides the widths by the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.common import ROOT, compute
from benchmarks.studies.attributions import BOOTSTRAP, batched, inputs_of
from benchmarks.studies.learned_masks import pixels
from faig.attribution.comparisons import discriminate
from faig.attribution.engine import attribute_images
from faig.attribution.filters import FilterIndex
from faig.attribution.learning import learn_scores, restore_both
from faig.attribution.path import PathModel
from faig.attribution.quadrature import QuadratureParams
from faig.base.params import load_params
from faig.base.ranking import discovered
from faig.base.seeds import derive_seed
from faig.base.statistics import bootstrap_replicates, by_replicate, with_interval
from faig.data.crops import Batch
from faig.data.pairs import Pair
from faig.experiments.branches import num_flops
from faig.experiments.evaluation import PSNR, evaluate
from faig.experiments.scoring import LearnedParams
from faig.networks.models import LEAK, SRResNet
from faig.networks.training import TrainingParams, fit
from tools.tables import Json

ABILITIES = ("blur", "noise")
INPUTS = ("clean", *ABILITIES)
SCALE, LIMIT, FLOPS_SIZE = 2, 2.0, 64
"""FLOPs are counted for an LR image of 64 x 64 pixels."""
SCORED = 20
"""Crops that FAIG scores, as the default run does."""
QUADRATURE = QuadratureParams(rule="gausslegendre", num_nodes=8, max_nodes=8, tolerance=0.01)
Scores = dict[str, np.ndarray]
"""By degradation, scores (F,)."""


@dataclass(frozen=True)
class Widths:
    """Channels: ``outer`` between the blocks, ``inner`` within each, ``shuffled`` after the upsampling, ``high`` last.

    ``units``: all but the outer ones, in the network's order.
    """

    outer: int
    inner: tuple[int, ...]
    shuffled: int
    high: int

    @classmethod
    def uniform(cls, width: int, depth: int) -> "Widths":
        """Those of SRResNet."""
        return cls(width, (width,) * depth, width, width)

    @property
    def units(self) -> tuple[int, ...]:
        """The widths that the rule changes."""
        return (*self.inner, self.shuffled, self.high)

    def with_units(self, units: Sequence[int]) -> "Widths":
        """Other widths of the same number of units."""
        return Widths(self.outer, tuple(units[:-2]), *units[-2:])


class UnevenSRResNet(SRResNet):
    """SRResNet with the given widths at scale 2; the uniform ones make it SRResNet."""

    def __init__(self, widths: Widths) -> None:
        super().__init__(widths.outer, len(widths.inner), SCALE)
        self.body = nn.Sequential(*[UnevenBlock(widths.outer, inner) for inner in widths.inner])
        enlarge = nn.Conv2d(widths.outer, SCALE**2 * widths.shuffled, 3, padding=1)
        self.upsample = nn.Sequential(enlarge, nn.PixelShuffle(SCALE), nn.LeakyReLU(LEAK))
        self.high = nn.Conv2d(widths.shuffled, widths.high, 3, padding=1)
        self.last = nn.Conv2d(widths.high, 3, 3, padding=1)


class UnevenBlock(nn.Module):
    """x + conv2(relu(conv1(x))) with ``inner`` channels between the convolutions."""

    def __init__(self, outer: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(outer, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, outer, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x + self.conv2(functional.relu(self.conv1(x)))


def build(widths: Widths, seed: int) -> UnevenSRResNet:
    """The network with initial weights drawn from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # noqa: TID251 # within fork_rng
        network = UnevenSRResNet(widths)
        network.initialize()
    return network


def flops(widths: Widths) -> int:
    """Floating-point operations for one LR image."""
    with torch.device("meta"):
        return num_flops(UnevenSRResNet(widths), FLOPS_SIZE)


LEVELS: dict[str, Callable[[str], str | None]] = {
    "blocks": lambda layer: f"block {int(layer.split('.')[1]) + 1}" if layer.startswith("body.") else None,
    "parts": lambda layer: part if (part := layer.split(".")[0]) in ("body", "upsample", "high") else None,
}
"""Who competes for width: by level, a layer's competitor, None if it has none."""


def enrichment(index: FilterIndex, scores: Mapping[str, np.ndarray], ratio: float, level: str) -> dict[str, float]:
    """By competitor, its share of the discovered filters of all degradations divided by its share of all filters.

    Args:
        index: of the network.
        scores: by degradation (F,); only the competitors' filters are ranked.
        ratio: the share of these that counts as discovered.
        level: of :data:`LEVELS`.
    """
    owners = np.array([LEVELS[level](name) or "" for name in index.layers])[index.layer_numbers]
    ranked = np.flatnonzero(owners != "")
    found = np.concatenate([ranked[discovered(values[ranked], ratio)] for values in scores.values()])
    return {
        str(name): float(np.mean(owners[found] == name) / np.mean(owners[ranked] == name))
        for name in dict.fromkeys(owners[ranked])
    }


def allotted(shares: Mapping[str, float], uniform: Widths, power: float) -> Widths:
    """The rule of the module: width as the scores name it (``power`` 1), or taken from there (-1), at equal FLOPs.

    No network has more FLOPs than the uniform one; what rounding leaves goes to the units with the largest remainders.

    Args:
        shares: of :func:`enrichment`, by competitor.
        uniform: the widths to begin with.
        power: of the factors.
    """
    units = [*(f"block {number + 1}" for number in range(len(uniform.inner))), "upsample", "high"]
    names = [unit if unit in shares else "body" for unit in units]
    free = np.array([name in shares for name in names])
    limited = [float(np.clip(shares.get(name, 1.0), 1 / LIMIT, LIMIT)) ** power for name in names]
    wanted, own = flops(uniform), np.array(uniform.units)

    def widths(common: float) -> np.ndarray:
        return np.where(free, np.maximum(own * limited * common, 1), own)

    low, high = 0.0, 4.0
    for _ in range(30):  # halving: FLOPs rise with the common factor
        middle = (low + high) / 2
        fits = flops(uniform.with_units(np.floor(widths(middle)).astype(int).tolist())) <= wanted
        low, high = (middle, high) if fits else (low, middle)
    exact = widths(low)
    units_now = np.floor(exact).astype(int)
    for place in np.argsort(-(exact - units_now) * free, kind="stable"):
        more = units_now + (np.arange(len(units_now)) == place)
        if free[place] and flops(uniform.with_units(more.tolist())) <= wanted:
            units_now = more
    return uniform.with_units(units_now.tolist())


def faig(model: PathModel, params: Json, training: Path) -> Scores:
    """FAIG's scores for blur and noise, from crops of the folder's photographs."""
    settings = load_params("score.learned", LearnedParams, ROOT / "params.yaml")
    images = inputs_of(pixels(training, SCORED, settings.images.size, 0), ABILITIES, params)
    means = {name: attribute_images(model, images[name], QUADRATURE).scores.mean(axis=0) for name in ABILITIES}
    return {name: discriminate(means, name, "share") for name in ABILITIES}


def learned(model: PathModel, params: Json, training: Path, seed: int = 0) -> Scores:
    """Scores of learned masks for blur and noise, by the settings of params.yaml."""
    settings = load_params("score.learned", LearnedParams, ROOT / "params.yaml")
    images = inputs_of(pixels(training, settings.images.num, settings.images.size, 0), INPUTS, params)
    restored = restore_both(model, {name: [lr for lr, _ in pairs] for name, pairs in images.items()})
    return {name: learn_scores(model, restored, name, settings, seed).scores for name in ABILITIES}


METHODS: dict[str, Callable[[PathModel, Json, Path], Scores]] = {"FAIG": faig, "learned": learned}
"""What names the layers: of a network, its run's params and a folder of photographs, scores by degradation."""


def fitted(
    network: nn.Module, pairs: Sequence[Pair], mixture: Mapping[str, float], settings: TrainingParams, *names: Any
) -> dict[str, Tensor]:
    """Weights after training; a training that was finished before is read from its checkpoint.

    ``names``: what the seed of the patches derives from, and what the progress line says.
    """
    options = {"checkpoints": Path(".ckpt/study"), "description": " ".join(map(str, names))}
    return fit(
        network, pairs, pairs, mixture, settings, compute("fp32"), seed=derive_seed(0, *map(str, names)), **options
    )[0]


def measured(networks: Mapping[tuple[str, int], nn.Module], inputs: Mapping[str, Sequence[Batch]]) -> pd.DataFrame:
    """PSNR of each network, by variant and replicate, on each image of each kind of input."""
    labelled = [([{"variant": name, "replicate": seed}], network.eval()) for (name, seed), network in networks.items()]
    return evaluate(labelled, inputs, PSNR)


def compared(table: pd.DataFrame, variant: str, other: str) -> Json:
    """Mean PSNR of a variant minus that of another by kind of input, and of all; intervals over seeds and images."""
    found: dict[str, np.ndarray] = {}
    for name, rows in table.groupby("input"):
        own, theirs = (by_replicate(pd.DataFrame(rows[rows["variant"] == each]), "psnr") for each in (variant, other))
        found[str(name)] = own - theirs
    found["all"] = np.mean(list(found.values()), axis=0)
    drawn = bootstrap_replicates(found, BOOTSTRAP.num_resamples, np.random.default_rng(0))
    return {
        name: {
            key: round(value, 3)
            for key, value in with_interval("db", values.mean(), drawn[name], BOOTSTRAP.confidence).items()
        }
        | {"seeds": values.mean(axis=1).round(3).tolist()}
        for name, values in found.items()
    }


def test_inputs(photographs: Sequence[np.ndarray], params: Json) -> dict[str, list[Batch]]:
    """The tiles under each kind of input, in batches."""
    return batched(inputs_of(photographs, INPUTS, params))
