"""All scoring methods side by side: images by degradation -> one ranking per method and degradation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from faig.attribution import (
    Image,
    ScoreParams,
    convergence_error,
    discriminate,
    faig,
    input_gradients,
    random_scores,
    taylor,
    weight_change,
)
from faig.path import PathModel
from faig.processes import Group
from faig.quadrature import quadrature
from faig.score_table import Key
from faig.targets import CLEAN, TargetParams

METHODS = ("faig", "ig", "taylor", "weight_change", "weight_change_undivided", "random")
"""``faig``, ``taylor``: contrasted between degradations. ``ig``: as its authors rank it, of each degradation alone.
``weight_change``, ``random``: the same ranking for every degradation."""

Images = Mapping[str, Sequence[Image]]
"""By degradation, pairs of LR and HR; the same photographs in the same order."""


def score_filters(
    model: PathModel,
    images: Images,
    target: TargetParams,
    params: ScoreParams,
    generator: np.random.Generator,
    group: Group,
    advance: Callable[[int], None],
) -> tuple[dict[Key, np.ndarray], dict[str, dict[str, float]]]:
    """Scores (F,) by method, attributed degradation and replicate.

    Args:
        images: of every contrasted degradation and of ``clean``.
        group: the processes that share the images; all of them return the same.
        advance: called with 1 after each of :func:`num_passes` passes over the images of one degradation.

    Returns:
        The scores, and of FAIG by degradation the ``convergence_error``, the mean number of ``nodes``, and of how many
        images the integral was ``unconverged`` (rule ``auto``).
    """
    nodes = quadrature("gausslegendre", params.quadrature.num_nodes)
    integrated, expanded, checks = {}, {}, {}
    for name in target.contrasted:
        integrated[name], checks[name] = _integrated(model, images[name], params, group)
        expanded[name] = _mean(lambda own: taylor(model, own), images[name], model, group)
        advance(1)
    changes = {divided: weight_change(model, divided=divided) for divided in (True, False)}
    rankings: dict[Key, np.ndarray] = {}
    for name in target.attribute:
        moves = [(clean, degraded) for (clean, _), (degraded, _) in zip(images[CLEAN], images[name], strict=True)]
        rankings[Key("faig", name)] = discriminate(integrated, name, params.rule)
        rankings[Key("ig", name)] = _mean(lambda own: input_gradients(model, own, nodes), moves, model, group)
        rankings[Key("taylor", name)] = discriminate(expanded, name, params.rule)
        rankings[Key("weight_change", name)] = changes[True]
        rankings[Key("weight_change_undivided", name)] = changes[False]
        advance(1)
    for replicate in range(params.num_random):
        scores = random_scores(model.index.num_filters, generator)
        rankings |= {Key("random", name, replicate): scores for name in target.attribute}
    return rankings, checks


def _integrated(
    model: PathModel, images: Sequence[Image], params: ScoreParams, group: Group
) -> tuple[np.ndarray, dict[str, float]]:
    """FAIG (F,), the mean over images, and how well its integrals close."""
    totals = np.zeros(4)

    def attributed(own: Sequence[Image]) -> np.ndarray:
        result = faig(model, own, params.quadrature)
        totals[:2] = np.abs(result.residuals).sum(), np.abs(result.changes).sum()
        totals[2:] = result.nodes.sum(), np.count_nonzero(~result.converged)
        return result.scores

    mean = _mean(attributed, images, model, group)
    residuals, changes, num_nodes, num_unconverged = group.sum(totals)
    error = convergence_error(residuals, changes)
    return mean, {"convergence_error": error, "nodes": num_nodes / len(images), "unconverged": num_unconverged}


def _mean(
    score: Callable[[Sequence[Image]], np.ndarray], images: Sequence[Image], model: PathModel, group: Group
) -> np.ndarray:
    """Mean over images of scores (N, F), each process scoring its own: (F,), summed in fp64."""
    own = group.share(images)
    rows = score(own) if own else np.zeros((0, model.index.num_filters))
    return group.sum(rows.sum(axis=0, dtype=np.float64)) / len(images)


def num_passes(target: TargetParams) -> int:
    """How often :func:`score_filters` calls ``advance``."""
    return len(target.contrasted) + len(target.attribute)
