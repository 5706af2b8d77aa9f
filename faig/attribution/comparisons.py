"""Other scores of filters, which FAIG is compared with (paper, section 4.2), and the contrast between degradations.

F = number of filters; theta-bar, theta = weights of baseline and target.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faig.attribution.engine import attribute_image
from faig.attribution.losses import SQUARED, Loss
from faig.attribution.path import PathModel, gradients_of
from faig.attribution.quadrature import END_POINT, Nodes
from faig.base.errors import InputError


def taylor(model: PathModel, lr: Tensor, hr: Tensor, loss: Loss = SQUARED) -> np.ndarray:
    """FAIG of one image with a single node at the target, (F,): one gradient times the weight change.

    Raises:
        InputError: as :func:`attribute_image`.
    """
    return attribute_image(model, lr, hr, END_POINT, loss=loss).scores


def input_gradients(model: PathModel, clean: Tensor, degraded: Tensor, nodes: Nodes) -> np.ndarray:
    """Integrated gradients over the input instead of the weights, (F,): the authors' comparison (paper, section 4.2).

    The image moves from the clean to the degraded LR, the target's weights stay fixed. For each weight the gradient of
    the summed output is integrated; a filter's score is the sum of the absolute values over its weights.

    Args:
        model: the network; only its target is used.
        clean, degraded: LR (1, C, H, W) of one photograph.
        nodes: the rule's positions and coefficients.
    """
    weights = dict(model.target)
    filters = {name: weights[name].clone().requires_grad_() for name in model.index.keys}
    weights |= filters
    total = {name: torch.zeros_like(value) for name, value in filters.items()}
    for position, coefficient in zip(*nodes, strict=True):
        output = model.restore(weights, clean + position * (degraded - clean)).sum()
        gradients = gradients_of(output, list(filters.values()))
        for name, gradient in zip(filters, gradients, strict=True):
            if gradient is not None:
                total[name].add_(gradient, alpha=coefficient)
    return model.index.collect({name: value.abs() for name, value in total.items()}).cpu().numpy()


def weight_change(model: PathModel, *, divided: bool) -> np.ndarray:
    """Sum of ``|theta - theta-bar|`` over each filter's weights, (F,).

    ``divided``: by the sum of ``|theta-bar|`` over the same weights; 0 where both sums are 0.
    """
    change = model.index.collect({name: value.abs() for name, value in model.change.items()})
    if divided:
        change = change / model.index.collect({name: value.abs() for name, value in model.baseline.items()})
    return change.nan_to_num(0.0).cpu().numpy()


def random_scores(num_filters: int, generator: np.random.Generator) -> np.ndarray:
    """A random ranking (F,): a permutation of 0 to F - 1."""
    return generator.permutation(num_filters).astype(np.float64)


def discriminate(attributions: Mapping[str, np.ndarray], degradation: str, rule: str) -> np.ndarray:
    """Score (F,) of one degradation against the others.

    Args:
        attributions: image-mean scores (F,) of each degradation, the contrast among them.
        degradation: the one whose filters are sought.
        rule: how they are contrasted. ``difference``: score minus the largest other (paper, equation 7, for two
            degradations); ``share``: the same after each degradation's scores were divided by their sum; ``plain``: its
            own score alone.

    Raises:
        InputError: there is nothing to compare with, or the rule is unknown.
    """
    if rule not in ("difference", "share", "plain"):
        raise InputError(f"rule must be difference, share or plain, not {rule!r}")
    if rule == "plain":
        return attributions[degradation]
    if len(attributions) < 2:
        raise InputError(f"nothing to compare {degradation} with")
    values = {name: _share(value) if rule == "share" else value for name, value in attributions.items()}
    others = np.stack([value for name, value in values.items() if name != degradation])
    return values[degradation] - others.max(axis=0)


def _share(values: np.ndarray) -> np.ndarray:
    """Each value as a share of their sum; all as they are if the sum is 0."""
    total = values.sum()
    return values / total if total > 0 else values
