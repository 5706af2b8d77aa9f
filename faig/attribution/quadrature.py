"""Rules for the path integral: at which positions of [0, 1] to evaluate the integrand, and with which coefficients.

The integral of f over [0, 1] is approximated by the sum of coefficient * f(position) over the nodes of a rule.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from faig.base.errors import InputError
from faig.base.params import Positive, settings


class Nodes(NamedTuple):
    """The nodes of a rule: ``positions`` (n,) in [0, 1] and their ``coefficients`` (n,), which sum to 1.

    (The usual name of the coefficients, weights, means a network's parameters here.)
    """

    positions: np.ndarray
    coefficients: np.ndarray


Rule = Literal["gausslegendre", "left", "right", "middle", "trapezoid"]

END_POINT = Nodes(np.array([1.0]), np.array([1.0]))
"""One node at the target: a first-order Taylor expansion."""


@settings
class QuadratureParams:
    """A rule and its number of nodes. ``auto``: Gauss-Legendre, from ``num_nodes`` doubled until both errors are small.

    The two errors, for each image: the residual as a share of the change of the loss, and the change of the scores
    since the last doubling as a share of the scores (L1 norms). ``auto`` stops when both are at most ``tolerance``, or
    when another doubling would take more than ``max_nodes``.
    """

    rule: Literal["gausslegendre", "left", "right", "middle", "trapezoid", "auto"]
    num_nodes: Annotated[int, Field(ge=1, le=10_000)]
    max_nodes: Annotated[int, Field(ge=1, le=10_000)]
    tolerance: Positive

    def __post_init__(self) -> None:
        if self.rule == "trapezoid" and self.num_nodes < 2:
            raise InputError(
                f"num_nodes = {self.num_nodes}: the path integral by the rule trapezoid needs at least 2 nodes"
            )
        if self.rule == "auto" and self.max_nodes < 2 * self.num_nodes:
            raise InputError(
                f"max_nodes = {self.max_nodes} must be at least twice num_nodes = {self.num_nodes}: auto doubles them"
            )


def quadrature(rule: Rule, num_nodes: int) -> Nodes:
    """Nodes of a rule on [0, 1].

    ``left`` is the authors': 0, 1/n, ..., (n - 1)/n. ``gausslegendre`` is exact for polynomials up to degree 2n - 1,
    ``middle`` and ``trapezoid`` (both ends are nodes, n at least 2) up to 1, ``left`` and ``right`` for constants.

    Raises:
        InputError: the rule is unknown, or there are too few nodes for it.
    """
    least = 2 if rule == "trapezoid" else 1
    if num_nodes < least:
        raise InputError(f"the path integral by the rule {rule} needs at least {least} nodes, not {num_nodes}")
    equal = np.full(num_nodes, 1 / num_nodes)
    match rule:
        case "gausslegendre":
            positions, coefficients = np.polynomial.legendre.leggauss(num_nodes)  # on [-1, 1], whose length is 2
            return Nodes((positions + 1) / 2, coefficients / 2)
        case "left":
            return Nodes(np.arange(num_nodes) / num_nodes, equal)
        case "right":
            return Nodes(np.arange(1, num_nodes + 1) / num_nodes, equal)
        case "middle":
            return Nodes((np.arange(num_nodes) + 0.5) / num_nodes, equal)
        case "trapezoid":
            coefficients = np.full(num_nodes, 1 / (num_nodes - 1))
            coefficients[[0, -1]] /= 2  # each end belongs to one interval only
            return Nodes(np.linspace(0, 1, num_nodes), coefficients)
    raise InputError(f"unknown quadrature rule {rule!r}")
