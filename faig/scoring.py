"""All scoring methods side by side: images by degradation -> one ranking per method and degradation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from faig.attribution import (
    PathModel,
    ScoreParams,
    discriminate,
    faig,
    gauss_legendre,
    input_gradients,
    random_scores,
    taylor,
    weight_change,
)
from faig.score_table import Key
from faig.targets import CLEAN, TargetParams

METHODS = ("faig", "ig", "taylor", "weight_change", "weight_change_undivided", "random")
"""``faig``, ``taylor``: contrasted between degradations. ``ig``: as its authors rank it, of each degradation alone.
``weight_change``, ``random``: the same ranking for every degradation."""

Images = Mapping[str, Sequence[tuple[Tensor, Tensor]]]
"""By degradation, pairs of LR (1, 3, H, W) and HR (1, 3, sH, sW); the same photographs in the same order."""


def score_filters(
    model: PathModel,
    images: Images,
    target: TargetParams,
    params: ScoreParams,
    generator: np.random.Generator,
    advance: Callable[[int], None],
) -> tuple[dict[Key, np.ndarray], dict[str, float]]:
    """Scores (F,) by method, attributed degradation and replicate.

    Args:
        images: of every contrasted degradation and of ``clean``.
        advance: called with 1 after each of :func:`num_passes` passes over the images of one degradation.

    Returns:
        The scores, and the convergence error of FAIG by degradation.
    """
    nodes = gauss_legendre(params.num_nodes)
    integrated, expanded, errors = {}, {}, {}
    for name in target.contrasted:
        attribution = faig(model, images[name], nodes)
        integrated[name], errors[name] = attribution.scores.mean(axis=0), attribution.convergence_error
        expanded[name] = taylor(model, images[name]).mean(axis=0)
        advance(1)
    changes = {divided: weight_change(model, divided=divided) for divided in (True, False)}
    rankings: dict[Key, np.ndarray] = {}
    for name in target.attribute:
        moves = [(clean, degraded) for (clean, _), (degraded, _) in zip(images[CLEAN], images[name], strict=True)]
        rankings[Key("faig", name)] = discriminate(integrated, name, params.rule)
        rankings[Key("ig", name)] = input_gradients(model, moves, nodes).mean(axis=0)
        rankings[Key("taylor", name)] = discriminate(expanded, name, params.rule)
        rankings[Key("weight_change", name)] = changes[True]
        rankings[Key("weight_change_undivided", name)] = changes[False]
        advance(1)
    for replicate in range(params.num_random):
        scores = random_scores(model.index.num_filters, generator)
        rankings |= {Key("random", name, replicate): scores for name in target.attribute}
    return rankings, errors


def num_passes(target: TargetParams) -> int:
    """How often :func:`score_filters` calls ``advance``."""
    return len(target.contrasted) + len(target.attribute)
