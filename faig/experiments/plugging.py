"""Plug-ins (:mod:`faig.networks.plugins`) that were trained apart, put together: what is kept of each?

Trained from the baseline, on the same patches with the same settings but for the learning rate:

* on one degradation: its discovered filters alone, which make its plug-in; and the whole network. A plug-in that saw
  its degradation alone would spoil all other inputs, and so the work of other plug-ins. So a share of its patches are
  inputs without the degradation, for which the baseline's own output is what is to be restored.
* jointly, on all degradations equally and for the sum of the iterations: the union of the discovered filters, which
  makes one plug-in for all; and the whole network.

* in turn: the first degradation's plug-in stays as it is, and each other one is trained upon those before it, at its
  discovered filters that they left free; what is left alone is then what they restore.

The plug-ins of single degradations are then put in together, and so are those trained in turn; and the task vectors of
the whole networks are added.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, Weights
from faig.base.params import Unique, settings
from faig.data.crops import Batch
from faig.data.pairs import Pair
from faig.data.tensors import to_image, to_tensor
from faig.experiments.evaluation import PSNR, Labels, evaluate
from faig.networks.plugins import Plugin, add_tasks, plug_in
from faig.networks.training import TrainingParams

JOINT = "joint"
"""The name of what is trained on all degradations."""
IN_TURN = "in_turn"
"""The folder of what is trained upon the plug-ins of the degradations before it."""
PATCHES_ACROSS = 4
"""So many patches wide and high is at most what is kept of a photograph that is to be left alone."""


@settings
class PlugInParams:
    """Settings of the plug_in stage.

    ``training``: of a whole network on one degradation; jointly, the iterations of all are summed. ``learning_rate``:
    peak, in its place, where the discovered filters are trained alone. ``left_alone``: share of their patches that is
    to come out as the baseline restores it.
    """

    left_alone: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    training: TrainingParams

    def of(self, training: "Training", *, whole: bool) -> TrainingParams:
        """The settings that the whole network, or its discovered filters alone, are trained with."""
        iterations = len(training.degradations) * self.training.iterations
        rate = self.training.learning_rate if whole else self.learning_rate
        return replace(self.training, iterations=iterations, learning_rate=rate)


@settings
class CombineParams:
    """Settings of the combine stage.

    ``strengths``: at which plug-ins, alone and together, and the sum of the task vectors are measured; 1 among them.
    """

    strengths: Annotated[tuple[Annotated[float, Field(ge=-10, le=10)], ...], Unique]

    def __post_init__(self) -> None:
        if 1.0 not in self.strengths:
            raise ValueError(f"strengths = {list(self.strengths)} must hold 1, at which shares are taken")


@dataclass(frozen=True)
class Training:
    """What one plug-in, and the whole network beside it, are trained for: ``filters`` (n,) and degradations.

    ``upon``: names of the trainings whose plug-ins are in the baseline meanwhile; no whole network is trained then.
    """

    name: str
    filters: np.ndarray
    degradations: tuple[str, ...]
    upon: tuple[str, ...] = ()

    def pairs(self, train: Iterable[Pair], spared: Iterable[Pair]) -> list[Pair]:
        """Of the training pairs those of the degradations; of the ``spared`` (:func:`left_alone`) all others."""
        own = [pair for pair in train if pair.degradation in self.degradations]
        return own + [pair for pair in spared if pair.degradation not in self.degradations]

    def mixture(self, pairs: Iterable[Pair], share: float) -> dict[str, float]:
        """Share of the patches by kind of input: all degradations equally, and ``share`` for what is left alone."""
        others = sorted({pair.degradation for pair in pairs} - set(self.degradations))
        own = 1 - share if others else 1.0
        return dict.fromkeys(self.degradations, own / len(self.degradations)) | {
            name: share / len(others) for name in others
        }


def left_alone(model: PathModel, weights: Weights, pairs: Iterable[Pair], size: int) -> list[Pair]:
    """The middle of each pair, with what given weights make of LR in place of HR.

    Args:
        model: the network.
        weights: the baseline's, or with plug-ins in them.
        pairs: of inputs that are to be left alone.
        size: side in HR pixels, at most; a multiple of the scale.
    """
    found = []
    for pair in pairs:
        top, left = (max(side - size // pair.scale, 0) // 2 for side in pair.lr.shape[:2])
        lr = np.ascontiguousarray(pair.lr[top : top + size // pair.scale, left : left + size // pair.scale])
        with torch.no_grad():
            hr = to_image(model.restore(weights, to_tensor(lr)))
        found.append(replace(pair, hr=hr, lr=lr))
    return found


def trainings(found: Mapping[str, np.ndarray]) -> list[Training]:
    """One per degradation, with its discovered filters (n,); where there are several, also a joint one and in turn."""
    apart = [Training(name, filters, (name,)) for name, filters in found.items()]
    if len(apart) < 2:
        return apart
    turns, taken = apart[:1], found[apart[0].name]
    for each in apart[1:]:
        free, upon = np.setdiff1d(each.filters, taken), tuple(before.name for before in turns)
        turns.append(Training(f"{IN_TURN}/{each.name}", free, each.degradations, upon))
        taken = np.union1d(taken, each.filters)
    return [*apart, Training(JOINT, taken, tuple(found)), *turns[1:]]


@dataclass(frozen=True)
class Trained:
    """What came of a training: the plug-in, the whole network's weights, and how large their file is."""

    plugin: Plugin
    full: Weights
    full_bytes: int


def variants(
    baseline: Weights,
    index: FilterIndex,
    trained: Mapping[str, Trained],
    in_turn: Sequence[Plugin],
    strengths: Sequence[float],
) -> Iterator[tuple[Labels, Weights]]:
    """The networks to compare: of each training (:func:`trainings`), and what is put together of those trained apart.

    Args:
        baseline: what all of them were trained from.
        index: numbers the filters.
        trained: what was trained on single degradations, and :data:`JOINT`.
        in_turn: the first plug-in and those trained upon it; none where there is one degradation.
        strengths: see :class:`CombineParams`.

    Yields:
        Labels variant, degradation (of what was trained on one, else empty), strength, num_bytes (what is added to the
        baseline takes on disk); and the weights.

    Raises:
        InputError: a plug-in was made for another baseline or for other filters.
    """
    yield _labels("baseline", 0, strength=0.0), baseline
    apart = {name: each for name, each in trained.items() if name != JOINT}
    for name, each in apart.items():
        for strength in strengths:
            labels = _labels("plugin", each.plugin.num_bytes, name, strength)
            yield labels, plug_in(baseline, index, [(each.plugin, strength)])
        yield _labels("full", each.full_bytes, name), each.full
    if len(apart) > 1:
        sizes = [(each.plugin.num_bytes, each.full_bytes) for each in apart.values()]
        plugins_bytes, tasks_bytes = (sum(column) for column in zip(*sizes, strict=True))
        for strength in strengths:
            plugins = [(each.plugin, strength) for each in apart.values()]
            yield _labels("plugins_together", plugins_bytes, "", strength), plug_in(baseline, index, plugins)
            tasks = [(each.full, strength) for each in apart.values()]
            yield _labels("tasks_together", tasks_bytes, "", strength), add_tasks(baseline, tasks)
    if in_turn:
        size = sum(plugin.num_bytes for plugin in in_turn)
        yield _labels("plugins_in_turn", size), plug_in(baseline, index, [(plugin, 1.0) for plugin in in_turn])
    if joint := trained.get(JOINT):
        yield _labels("plugin_joint", joint.plugin.num_bytes), plug_in(baseline, index, [(joint.plugin, 1.0)])
        yield _labels("full_joint", joint.full_bytes), joint.full


def _labels(variant: str, num_bytes: int, degradation: str = "", strength: float = 1.0) -> dict[str, Any]:
    return {"variant": variant, "degradation": degradation, "strength": strength, "num_bytes": num_bytes}


def measure(
    model: PathModel, networks: Iterable[tuple[Labels, Weights]], inputs: Mapping[str, Sequence[Batch]]
) -> pd.DataFrame:
    """PSNR of each network on each image: the networks' labels, and columns input, image, psnr in dB."""
    return evaluate((([labels], partial(model.restore, weights)) for labels, weights in networks), inputs, PSNR)
