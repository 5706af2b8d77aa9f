"""Masks learned to take one ability away and leave the others: which filters to put back, asked directly.

Attribution asks which filters changed the error on the way from baseline to target. Here the filters themselves are
sought: those that, put back to the baseline's weights, make the network the baseline on inputs of one degradation and
leave it the target on all other inputs. For sets M of k filters and w(M), the target's weights masked at M::

    minimise  J(M) = weight * E_own(M) + sum over the other inputs of E_other(M)
    E(M) = mean over images x of sqrt(D(M, x) + softening)
    D(M, x) = |F(w(M), x) - wanted(x)|^2 / mean over images of |F(target, x) - F(baseline, x)|^2

wanted(x) is the baseline's output on inputs of the degradation and the target's on all others, so no ground truth is
needed. Averaged over images, D is 1 on the degradation's own inputs as long as nothing was removed, and on others where
all of what was to stay was lost. Where the two networks hardly differ on other inputs, D is divided by :data:`FLOOR`
times the divisor of the own ones instead. The root makes the last tenth of an ability count, as decibels do.

Each step masks the k filters of the highest scores so far, takes the derivative of J with respect to each filter's
share in the mask there, g_i = <dJ/dw_i, baseline_i - target_i> (straight through: Bengio et al. 2013), and::

    s_i <- s_i - rate * g_i / (sqrt(v_i) + damping * sqrt(mean of v))
    v_i = mean of g_i^2 over the steps so far

This is Adam's step (Kingma and Ba 2015) without momentum, with a second moment that forgets nothing. The rate falls
from 1 to 0 like a cosine; only the order of the scores matters, so it has no unit. k is drawn anew in each step, so
that one ranking serves all shares of the filters.

The idea has precursors: masks over a network's weights (Mallya et al. 2018), grafting a fine-tuned network's skills
(Panigrahi et al. 2023), subnetworks critical for one kind of knowledge (Bayazit et al. 2023). A learned set is the best
that was found, a lower bound of the best there is.

F = number of filters.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, cos, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from faig.attribution.engine import restore_image
from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import PathModel, Weights
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.params import Count, Positive, Ratio, settings, validate
from faig.base.processes import ALONE, Group
from faig.base.ranking import discovered, num_discovered
from faig.base.resuming import NOTHING, Arrays, Store

Inputs = Mapping[str, Sequence[Tensor]]
"""By degradation, images (1, C, H, W)."""


class Restored(NamedTuple):
    """An image (1, C, H, W) and what baseline and target make of it, each (1, C', sH, sW)."""

    lr: Tensor
    by_baseline: Tensor
    by_target: Tensor


SOFTENING = 0.01
"""Keeps the root of D differentiable at 0; a root below a tenth hardly counts."""
FLOOR = 1e-3
"""D of other inputs is divided by at least this share of what D of the degradation's own inputs is divided by."""
NOTHING_REMOVED = 1e-8
"""Share of the target's energy below which its difference from the baseline counts as none: 80 dB."""
UNSETTLED = (
    "learning which filters remove {degradation} has not settled: the last masked networks' squared error is "
    "{error:.1f} times what the baseline differs by from the target. Try a smaller damping, then more steps."
)
"""Said where :attr:`Learned.error` is 1 or more: each step then moves too far for the next to mend it."""


class NothingToRemoveError(InputError):
    """Baseline and target restore a degradation alike."""


PARTS = 10
"""Parts that the steps are kept in, for a run that is started again."""


@settings
class LearningParams:
    """How a mask is learned.

    ``steps``; ``batch_size``: images of each degradation in a step; ``weight``: of the degradation's own inputs beside
    the others; ``ratios``: smallest and largest share of the filters that a step masks, between which it is drawn
    evenly on a logarithmic scale; ``damping``: how large filters' derivatives must be, as a share of their root mean
    square, for the step to depend on their signs rather than their sizes.
    """

    steps: Count
    batch_size: Count
    weight: Positive
    ratios: tuple[Ratio, Ratio]
    damping: Positive

    def __post_init__(self) -> None:
        if self.ratios[0] > self.ratios[1]:
            raise ValueError(f"ratios = {list(self.ratios)} must name the smaller share first")


@dataclass(frozen=True)
class Learned:
    """What was learned: ``scores`` (F,), the higher the better a filter serves to remove the ability.

    ``ratios`` (steps,): the share of the filters that each step masked, 0 in the first.
    ``errors`` (steps, inputs): D, of the degradation's own inputs first.
    """

    scores: np.ndarray
    ratios: np.ndarray
    errors: np.ndarray

    @property
    def error(self) -> float:
        """Mean D of the steps' last tenth, of the inputs where it is largest, each in its own unit.

        The first step, which masks nothing, is left out, unless it is the only one.
        """
        masked = self.errors[1:] if len(self.errors) > 1 else self.errors
        return float(masked[-ceil(len(masked) / 10) :].mean(axis=0).max())


def learn(
    network: nn.Module,
    baseline: Weights,
    target: Weights,
    inputs: Inputs,
    degradation: str,
    *,
    steps: int = 48,
    batch_size: int = 1,
    weight: float = 8.0,
    ratios: tuple[float, float] = (0.003, 0.03),
    damping: float = 0.1,
    seed: int = 0,
    granularity: Granularity = "kernel",
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    compute: Compute | None = None,
    training: bool = False,
) -> tuple[Learned, FilterIndex]:
    """Learn which filters of any network remove one degradation and nothing else; see the module.

    Args:
        network: gives the architecture; copied, and run in eval mode unless ``training``.
        baseline, target: state dicts of ``network``.
        inputs: by degradation, images (1, C, H, W) in the network's value range, at least one of each: those of
            ``degradation``, and of all others on which the network is to stay the target. Ground truth is not needed.
        degradation: the one whose removal is to be taken away.
        steps, batch_size, weight, ratios, damping: see :class:`LearningParams`.
        seed: of the order of the images and of the shares masked, from 0.
        granularity: a filter is a ``kernel`` (out, in) or an output ``channel``, see :mod:`faig.attribution.filters`.
        include, exclude: shell patterns of layer names; layers left out stay the target's.
        compute: device and precision; fp32 on the CPU if None.
        training: run the network in training mode, see :class:`PathModel <faig.attribution.path.PathModel>`.

    Returns:
        The ranking (F,), and what the F filters are: ``mask(target, baseline, index, discovered(scores, 0.01))`` is
        the network without the ability.

    Raises:
        InputError: weights of different networks or not finite; no image, or one that is not finite or does not fit the
            network; no other input; shares that are no filter or all of them; nothing to remove: baseline and target
            restore the degradation alike.

    Warns:
        UserWarning: the last steps' masks did no good, see :data:`UNSETTLED`.
    """
    compute = Compute(device=torch.device("cpu"), precision="fp32") if compute is None else compute
    values = {"steps": steps, "batch_size": batch_size, "weight": weight, "ratios": ratios, "damping": damping}
    params = validate("", values, LearningParams, source="learn")
    index = FilterIndex.of(network, granularity=granularity, include=include, exclude=exclude)
    with torch.inference_mode(False):
        model = PathModel(network, baseline, target, compute, index, training=training)
    result = learn_scores(model, restore_both(model, inputs), degradation, params, seed)
    if result.error >= 1:
        warnings.warn(UNSETTLED.format(degradation=degradation, error=result.error), stacklevel=2)
    return result, index


def restore_both(model: PathModel, inputs: Inputs) -> dict[str, list[Restored]]:
    """Restore all images by baseline and target: what masks for any of the degradations are learned from.

    Raises:
        InputError: an image or what is made of it is not finite, or an image does not fit the network; names it.
    """
    with torch.inference_mode(False), torch.no_grad():
        return {
            name: [_both(model, lr, f"{name}, image {number}") for number, lr in enumerate(images)]
            for name, images in inputs.items()
        }


def learn_scores(
    model: PathModel,
    inputs: Mapping[str, Sequence[Restored]],
    degradation: str,
    params: LearningParams,
    seed: int,
    group: Group = ALONE,
    store: Store = NOTHING,
) -> Learned:
    """:func:`learn` for a network and its weights that were checked.

    Args:
        inputs: by degradation, as :func:`restore_both` returns them.
        group: the processes that share each step's images; all of them return the same.
        store: keeps the state after each tenth of the steps, for a run that is started again.

    Raises:
        InputError: as :func:`learn`.
    """
    if seed < 0:
        raise InputError(f"seed = {seed} must be 0 or more")
    if not inputs.get(degradation):
        raise InputError(f"there is no image of {degradation}, whose removal is to be taken away")
    if len(inputs) < 2:
        raise InputError(f"there is no input beside {degradation} on which the network is to stay the target")
    most = num_discovered(model.index.num_filters, params.ratios[1])
    if most >= model.index.num_filters:
        raise InputError(f"ratios = {list(params.ratios)} masks all {most} filters, which leaves none to choose")
    with torch.inference_mode(False), torch.enable_grad():
        names = [degradation, *(name for name in inputs if name != degradation)]
        problem = _Problem.of(model, {name: inputs[name] for name in names}, params)
        return _minimise(problem, params, seed, group, store)


def _minimise(problem: "_Problem", params: LearningParams, seed: int, group: Group, store: Store) -> Learned:
    """The steps of the module's docstring, from the last state that all processes have kept."""
    ends = sorted({ceil(params.steps * (part + 1) / PARTS) for part in range(PARTS)})
    files = {end: f"learned_{problem.names[0]}_{end}_{group.rank}_of_{group.size}" for end in ends}
    state: Arrays = {
        "scores": np.zeros(problem.model.index.num_filters),
        "squares": np.zeros(problem.model.index.num_filters),
        "ratios": np.zeros(params.steps),
        "errors": np.zeros((params.steps, len(problem.names))),
    }
    start = 0
    for end in reversed(ends):  # the last that all processes have kept
        kept = store.find(files[end])
        if group.sum(np.array([kept is not None])) == group.size:
            state, start = kept or state, end
            break
    for step in range(start, params.steps):
        _step(problem, params, seed, step, state, group)
        if step + 1 in files:
            store.keep(files[step + 1], state)
    return Learned(state["scores"], state["ratios"], state["errors"])


def _step(problem: "_Problem", params: LearningParams, seed: int, step: int, state: Arrays, group: Group) -> None:
    """One step, written into ``state``. The first masks no filter, since nothing is known of any."""
    low, high = np.log(params.ratios)
    # Streams [seed, 0, ...] draw the images; the shares' begin at [seed, 1], since step 0 masks nothing.
    ratio = float(np.exp(np.random.default_rng([seed, step]).uniform(low, high))) if step else 0.0
    images = [
        (place, number)
        for place, count in enumerate(problem.counts)
        for number in drawn(count, step, params.batch_size, seed)
    ]
    found = problem.derivatives(discovered(state["scores"], ratio), group.share(images))
    derivatives, errors = (group.sum(values) / params.batch_size for values in found)
    if not np.isfinite(derivatives).all():
        raise InputError(f"the derivatives of step {step} are not finite: the weights are too large")
    state["ratios"][step], state["errors"][step] = ratio, errors
    state["squares"] += (derivatives**2 - state["squares"]) / (step + 1)
    sizes = np.sqrt(state["squares"])
    scale = sizes + params.damping * np.sqrt(state["squares"].mean())
    rate = 0.5 * (1 + cos(pi * step / params.steps))
    state["scores"] -= rate * np.divide(derivatives, scale, out=np.zeros_like(scale), where=scale > 0)


def drawn(count: int, step: int, batch_size: int, seed: int) -> list[int]:
    """Numbers of the images of a step: all ``count`` in random order, then all of them in another."""
    places = range(step * batch_size, (step + 1) * batch_size)
    return [int(np.random.default_rng([seed, 0, at // count]).permutation(count)[at % count]) for at in places]


@dataclass(frozen=True)
class _Problem:
    """The images by degradation, the one to be removed first, what D is divided by, and how its roots are weighed."""

    model: PathModel
    names: tuple[str, ...]
    images: tuple[Sequence[Restored], ...]
    divisors: tuple[float, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, model: PathModel, inputs: Mapping[str, Sequence[Restored]], params: LearningParams) -> "_Problem":
        """The degradation to be removed comes first in ``inputs``."""
        divisors: list[float] = []
        for name, images in inputs.items():
            if not images:
                raise InputError(f"there is no image of {name}")
            difference = np.mean([(image.by_target - image.by_baseline).square().mean().item() for image in images])
            energy = np.mean([image.by_target.square().mean().item() for image in images])
            if not divisors and difference <= NOTHING_REMOVED * energy:
                raise NothingToRemoveError(
                    f"baseline and target restore {name} images alike: there is nothing to remove"
                )
            divisors.append(float(max(difference, FLOOR * divisors[0] if divisors else 0.0)))
        weights = (params.weight, *(1.0 for _ in divisors[1:]))
        return cls(model, tuple(inputs), tuple(inputs.values()), tuple(divisors), weights)

    @property
    def counts(self) -> list[int]:
        """Number of images of each degradation."""
        return [len(images) for images in self.images]

    def derivatives(self, chosen: np.ndarray, images: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """The objective's with respect to each filter's share in the mask (F,), and D by degradation; sums over images.

        Args:
            chosen: the filters (n,) that are masked.
            images: each by the place of its degradation and its own number.
        """
        model = self.model
        weights = model.with_gradients(model.masked(chosen))
        total, errors = np.zeros(model.index.num_filters), np.zeros(len(self.names))
        for place, number in images:
            image = self.images[place][number]
            wanted = image.by_target if place else image.by_baseline
            error = (model.restore(weights, image.lr) - wanted).square().mean() / self.divisors[place]
            errors[place] += error.item()
            objective = self.weights[place] * (error + SOFTENING).sqrt()
            total += model.moves(objective, weights).cpu().numpy()
        return total, errors


def _both(model: PathModel, lr: Tensor, which: str) -> Restored:
    lr = lr.clone() if lr.is_inference() else lr
    if lr.ndim != 4 or len(lr) != 1:
        raise InputError(f"{which}: the input must be one image (1, C, H, W), not {tuple(lr.shape)}")
    if not torch.isfinite(lr).all():
        raise InputError(f"{which}: the input is not finite")
    try:
        outputs = [restore_image(model, weights, lr) for weights in (model.baseline, model.target)]
    except InputError as error:
        raise InputError(f"{which}: {error}") from error
    if not all(torch.isfinite(output).all() for output in outputs):
        raise InputError(f"{which}: the output is not finite: the weights are too large")
    return Restored(lr, *outputs)
