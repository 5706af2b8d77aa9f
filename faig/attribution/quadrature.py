"""Rules for the path integral: where on [0, 1] to evaluate, and with which weights."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from faig.base.params import Positive, settings

Nodes = tuple[np.ndarray, np.ndarray]
"""Places in [0, 1] and their weights, which sum to 1."""

Rule = Literal["gausslegendre", "left", "right", "middle", "trapezoid"]

END_POINT: Nodes = (np.array([1.0]), np.array([1.0]))
"""One node at the target: a first-order Taylor expansion."""


@settings
class QuadratureParams:
    """A rule and its number of nodes. ``auto``: Gauss-Legendre, from ``num_nodes`` doubled until both errors are small.

    Its errors, of each image: the residual as a share of the change of the loss, and the change of the scores since the
    last doubling as a share of the scores (L1 norms). Both under ``tolerance``, or ``max_nodes`` reached, it stops.
    """

    rule: Literal["gausslegendre", "left", "right", "middle", "trapezoid", "auto"]
    num_nodes: Annotated[int, Field(ge=1, le=10_000)]
    max_nodes: Annotated[int, Field(ge=1, le=10_000)]
    tolerance: Positive

    def __post_init__(self) -> None:
        if self.rule == "trapezoid" and self.num_nodes < 2:
            raise ValueError(
                f"num_nodes = {self.num_nodes}: the path integral by the rule trapezoid needs at least 2 nodes"
            )
        if self.rule == "auto" and self.max_nodes < 2 * self.num_nodes:
            raise ValueError(
                f"max_nodes = {self.max_nodes} must be at least twice num_nodes = {self.num_nodes}: auto doubles them"
            )


def quadrature(rule: Rule, num_nodes: int) -> Nodes:
    """Nodes of a rule on [0, 1].

    ``left`` is the authors': 0, 1/n, ..., (n - 1)/n. ``gausslegendre`` is exact for polynomials up to degree 2n - 1,
    ``middle`` and ``trapezoid`` (both ends are nodes, n at least 2) up to 1, ``left`` and ``right`` for constants.

    Raises:
        ValueError: unknown rule, or too few nodes for it.
    """
    least = 2 if rule == "trapezoid" else 1
    if num_nodes < least:
        raise ValueError(f"the path integral by the rule {rule} needs at least {least} nodes, not {num_nodes}")
    equal = np.full(num_nodes, 1 / num_nodes)
    match rule:
        case "gausslegendre":
            places, weights = np.polynomial.legendre.leggauss(num_nodes)
            return (places + 1) / 2, weights / 2
        case "left":
            return np.arange(num_nodes) / num_nodes, equal
        case "right":
            return np.arange(1, num_nodes + 1) / num_nodes, equal
        case "middle":
            return (np.arange(num_nodes) + 0.5) / num_nodes, equal
        case "trapezoid":
            weights = np.full(num_nodes, 1 / (num_nodes - 1))
            weights[[0, -1]] /= 2
            return np.linspace(0, 1, num_nodes), weights
    raise ValueError(f"unknown quadrature rule {rule!r}")
