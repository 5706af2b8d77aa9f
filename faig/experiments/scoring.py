"""All scoring methods side by side: images by degradation -> one ranking per method and degradation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.comparisons import discriminate, input_gradients, random_scores, taylor, weight_change
from faig.attribution.engine import Example, attribute_image, barrier, convergence_error, improvement, loss_at, rough
from faig.attribution.kinship import kinship
from faig.attribution.learning import (
    UNSETTLED,
    Inputs,
    LearningParams,
    NothingToRemoveError,
    learn_scores,
    restore_both,
)
from faig.attribution.losses import LOSSES, Loss, LossName
from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT, Nodes, QuadratureParams, quadrature
from faig.attribution.second_order import LAST_QUARTER, Expansion, contrast_expansions, expand
from faig.base.params import settings
from faig.base.processes import Group
from faig.base.resuming import NOTHING, Arrays, Store
from faig.base.seeds import derive_seed
from faig.data.crops import Crop, CropParams, choose_crops, cut
from faig.data.pairs import Pair
from faig.data.targets import CLEAN, TargetParams
from faig.experiments.score_table import Key

T = TypeVar("T")

BARRIER = 1.5
"""dB of a barrier from which on it is warned of: those of networks whose filters could be told apart were lower."""
Checks = Mapping[str, Mapping[str, float]]
"""By degradation, what :func:`score_filters` reports of the integrals."""
Images = Mapping[str, Sequence[Example]]
"""By degradation, pairs of LR and HR; the same photographs in the same order."""


@settings
class LearnedParams(LearningParams):
    """How masks are learned, and from which crops of training photographs."""

    images: CropParams


@settings
class ScoreParams:
    """Settings of the score stage."""

    images: CropParams
    dead_leaves: CropParams
    loss: LossName
    contrast: Literal["difference", "share", "plain"]
    quadrature: QuadratureParams
    learned: LearnedParams
    num_random: Annotated[int, Field(ge=1, le=100)]


def cut_crops(
    pairs: Sequence[Pair], target: TargetParams, params: ScoreParams, seed: int
) -> tuple[dict[str, list[Example]], dict[str, list[Tensor]], list[Crop]]:
    """Cut what is scored and what masks are learned from, out of training pairs: see :func:`score_filters`.

    Returns:
        ``images``, ``learnt_from``, and where all of them lie.
    """
    places = choose_crops(pairs, params.images, derive_seed(seed, "score"))
    leaves = choose_crops(pairs, params.dead_leaves, derive_seed(seed, "score"), dead_leaves=True)
    images = {
        name: cut(pairs, name, places, params.images.size) + cut(pairs, name, leaves, params.dead_leaves.size)
        for name in target.degradations
    }
    learned = choose_crops(pairs, params.learned.images, derive_seed(seed, "learned"))
    learnt_from = {
        name: [lr for lr, _ in cut(pairs, name, learned, params.learned.images.size)]
        for name in {*target.attribute, CLEAN}
    }
    return images, learnt_from, places + leaves + learned


def compare_weights(model: PathModel, image: Example, params: ScoreParams) -> tuple[dict[str, Any], str]:
    """How alike baseline and target are, and a line that warns where they do not look related.

    Args:
        image: a clean one, for the barrier that the line gives.

    Returns:
        ``related``, 1 or 0; ``correlation`` and ``relative_distance`` of the weights, and the same of each layer in
        ``layer_correlation`` and ``layer_distance``; the line, or ''.
    """
    found, nodes = kinship(model), quadrature("gausslegendre", params.quadrature.num_nodes)
    height = 0.0 if found.related else _height(model, image, nodes, LOSSES[params.loss])
    numbers: dict[str, Any] = {"related": float(found.related)}
    numbers |= {"correlation": found.correlation, "relative_distance": found.distance}
    return numbers | {"layer_correlation": found.correlations, "layer_distance": found.distances}, found.warn(height)


def score_filters(
    model: PathModel,
    images: Images,
    learnt_from: Inputs,
    target: TargetParams,
    params: ScoreParams,
    seed: int,
    generator: np.random.Generator,
    group: Group,
    advance: Callable[[int], None],
    store: Store = NOTHING,
) -> tuple[dict[Key, np.ndarray], dict[str, dict[str, float]]]:
    """Scores (F,) by method, attributed degradation and replicate.

    Args:
        images: of every contrasted degradation and of ``clean``.
        learnt_from: LR (1, 3, H, W) of every attributed degradation and of ``clean``, that masks are learned from.
        seed: of the learning.
        generator: of the random rankings.
        group: the processes that share the images; all of them return the same.
        advance: called with 1 after each of :func:`num_passes` passes over the images of one degradation.
        store: keeps the scores of each image, for a run that is started again.

    Returns:
        The scores, and of FAIG by degradation the ``convergence_error``, the ``improvement`` (by how much the target
        lowers the loss, as a share of the baseline's), the mean number of ``nodes``, of how many images the integral
        was ``unconverged`` (rule ``auto``), and the mean ``barrier`` in dB, of clean inputs too; of learned masks the
        ``learning_error`` of each attributed degradation, unless there is nothing to remove.
    """
    nodes, loss = quadrature("gausslegendre", params.quadrature.num_nodes), LOSSES[params.loss]

    def mean(method: str, name: str, own: Sequence[T], score: Callable[[T], np.ndarray]) -> np.ndarray:
        """The mean over one degradation's images of their scores (F,) by one method."""
        return _mean(f"{method}_{name}", own, lambda image: {"scores": score(image)}, model, group, store)[0]

    integrated, expanded, second, checks = {}, {}, {}, {}
    for name in target.contrasted:
        integrated[name], checks[name] = _integrated(name, images[name], params, model, group, store)
        expanded[name] = mean("taylor", name, images[name], lambda image: taylor(model, *image, loss))
        advance(1)
    if CLEAN not in checks:
        checks[CLEAN] = {"barrier": _barrier(images[CLEAN], nodes, loss, model, group, store)}
    # Behind a barrier, slopes on the path may say little of the target: then they are taken at the target itself.
    near = LAST_QUARTER if max(check["barrier"] for check in checks.values()) < BARRIER else END_POINT
    for name in (*target.attribute, CLEAN):
        second[name] = _expanded(name, images[name], near, model, group, store)
        advance(1)
    changes = {divided: weight_change(model, divided=divided) for divided in (True, False)}
    rankings: dict[Key, np.ndarray] = {}
    restored = restore_both(model, learnt_from)
    for name in target.attribute:
        moves = [(clean, degraded) for (clean, _), (degraded, _) in zip(images[CLEAN], images[name], strict=True)]
        rankings[Key("faig", name)] = discriminate(integrated, name, params.contrast)
        own = {other: restored[other] for other in (*target.attribute, CLEAN)}
        try:
            learned = learn_scores(model, own, name, params.learned, seed, group, store)
            rankings[Key("learned", name)], checks[name]["learning_error"] = learned.scores, learned.error
        except NothingToRemoveError:  # as other methods, whose integrals are then 0
            rankings[Key("learned", name)] = np.zeros(model.index.num_filters)
        rankings[Key("second_order", name)] = contrast_expansions(second, name)
        advance(1)
        rankings[Key("ig", name)] = mean("ig", name, moves, lambda move: input_gradients(model, *move, nodes))
        rankings[Key("taylor", name)] = discriminate(expanded, name, params.contrast)
        rankings[Key("weight_change", name)] = changes[True]
        rankings[Key("weight_change_undivided", name)] = changes[False]
        advance(1)
    for replicate in range(params.num_random):
        scores = random_scores(model.index.num_filters, generator)
        rankings |= {Key("random", name, replicate): scores for name in target.attribute}
    return rankings, checks


def _integrated(
    name: str, images: Sequence[Example], params: ScoreParams, model: PathModel, group: Group, store: Store
) -> tuple[np.ndarray, dict[str, float]]:
    """FAIG (F,), the mean over images, and how well its integrals close."""
    mean, own = _mean(
        f"faig_{name}",
        images,
        lambda image: attribute_image(model, *image, params.quadrature, loss=LOSSES[params.loss]).arrays(),
        model,
        group,
        store,
    )
    totals = np.zeros(7)
    for part in own:
        errors = abs(part["residual"]), abs(part["change"]), part["start"], part["change"]
        numbers = *errors, part["num_nodes"], not part["converged"], part["barrier"]
        totals += np.array(numbers, dtype=np.float64)
    residuals, sizes, starts, changes, num_nodes, num_unconverged, barriers = group.sum(totals)
    return mean, {
        "convergence_error": convergence_error(residuals, sizes),
        "improvement": improvement(starts, changes),
        "nodes": num_nodes / len(images),
        "unconverged": num_unconverged,
        "barrier": barriers / len(images),
    }


def _expanded(
    name: str, images: Sequence[Example], nodes: Nodes, model: PathModel, group: Group, store: Store
) -> Expansion:
    """What masking each filter alone does to the outputs, the mean over images."""
    shared = group.share(list(enumerate(images)))
    total = np.zeros(2 * model.index.num_filters + 1)
    for number, (lr, _) in shared:

        def compute(lr: Tensor = lr, number: int = number) -> Arrays:
            """The signs that are drawn depend on the image's number alone."""
            return {"expansion": expand(model, lr, torch.Generator().manual_seed(number), nodes).flat()}

        total += store.get(f"second_order_{name}_{number}", compute)["expansion"]
    return Expansion.of(group.sum(total) / len(images))


def _barrier(
    images: Sequence[Example], nodes: Nodes, loss: Loss, model: PathModel, group: Group, store: Store
) -> float:
    """Mean over images of the barrier on the path, in dB, of inputs that are not integrated."""
    shared = group.share(list(enumerate(images)))
    own = [
        store.get(f"barrier_{number}", lambda image=image: {"barrier": np.array(_height(model, image, nodes, loss))})
        for number, image in shared
    ]
    return float(group.sum(np.array([sum(part["barrier"] for part in own)]))[0] / len(images))


def _height(model: PathModel, image: Example, nodes: Nodes, loss: Loss) -> float:
    """The barrier on the path for one image, in dB."""
    places = (0.0, *nodes.positions, 1.0)
    start, *within, end = (loss_at(model, model.at(place), *image, tiles=None, loss=loss) for place in places)
    return barrier(np.array(within), (start, end), loss)


def _mean(
    name: str,
    images: Sequence[T],
    score: Callable[[T], Mapping[str, np.ndarray]],
    model: PathModel,
    group: Group,
    store: Store,
) -> tuple[np.ndarray, list[Arrays]]:
    """Mean over images of ``scores`` (F,), summed in fp64: (F,); and the results of this process's own images."""
    shared = group.share(list(enumerate(images)))
    own = [store.get(f"{name}_{number}", lambda image=image: score(image)) for number, image in shared]
    rows = np.stack([part["scores"] for part in own]) if own else np.zeros((0, model.index.num_filters))
    return group.sum(rows.sum(axis=0, dtype=np.float64)) / len(images), own


def detour(checks: Checks) -> str:
    """A line that warns where the path leads through networks worse than both its ends by :data:`BARRIER`, else ''."""
    name = max(checks, key=lambda name: checks[name]["barrier"])
    if checks[name]["barrier"] < BARRIER:
        return ""
    return (
        f"On the path, networks restore {name} images up to {checks[name]['barrier']:.1f} dB worse than the worse of "
        "baseline and target do, and scores may tell of that detour: fine-tune at a smaller learning rate, or go by "
        "learned masks, which take no path (method: learned).\n"
    )


def unsettled(checks: Checks) -> str:
    """A line for each degradation whose masks were not learned, else ''."""
    errors = {name: check["learning_error"] for name, check in checks.items() if "learning_error" in check}
    return "".join(
        UNSETTLED.format(degradation=name, error=error) + "\n" for name, error in errors.items() if error >= 1
    )


def unexplained(checks: Checks, params: QuadratureParams) -> str:
    """A line for each degradation whose path integrals miss too much of the change of the loss, else ''."""
    key = "max_nodes" if params.rule == "auto" else "num_nodes"
    more = f"score.quadrature.{key} above {getattr(params, key)}" + ("" if params.rule == "auto" else ", or rule: auto")
    errors = {name: check["convergence_error"] for name, check in checks.items() if "convergence_error" in check}
    return "".join(rough(error, f"{name} images", more) for name, error in errors.items())


def without_gain(checks: Checks, attributed: Sequence[str]) -> str:
    """A line for each attributed degradation on which the target is no better than the baseline, else ''."""
    return "".join(
        f"On {name} images the target's loss is {abs(share):.1%} above the baseline's: it did not learn to remove it, "
        "so no filters do. Fine-tune longer, or leave it out of the target's `attribute`.\n"
        for name in attributed
        if (share := checks[name]["improvement"]) <= 0
    )


def warnings_of(checks: Checks, attributed: Sequence[str], params: QuadratureParams) -> str:
    """All lines that warn of what was found while scoring, '' where all is well."""
    return without_gain(checks, attributed) + unexplained(checks, params) + detour(checks) + unsettled(checks)


def num_passes(target: TargetParams) -> int:
    """How often :func:`score_filters` calls ``advance``."""
    return len(target.contrasted) + 3 * len(target.attribute) + 1
