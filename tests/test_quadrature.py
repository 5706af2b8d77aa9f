import numpy as np
import pytest

from faig.attribution.quadrature import QuadratureParams, quadrature
from faig.base.errors import InputError

EXACT = {"gausslegendre": lambda n: 2 * n - 1, "left": lambda _: 0, "right": lambda _: 0}
EXACT |= {"middle": lambda _: 1, "trapezoid": lambda _: 1}
"""Degree of the polynomials that n nodes integrate exactly."""


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("num_nodes", [2, 5, 12])
def test_a_rule_is_exact_up_to_its_degree_and_no_further(rule, num_nodes):
    positions, coefficients = quadrature(rule, num_nodes)
    assert len(positions) == len(coefficients) == num_nodes
    assert ((positions >= 0) & (positions <= 1)).all()
    degree = EXACT[rule](num_nodes)
    for power in range(degree + 1):
        assert np.dot(coefficients, positions**power) == pytest.approx(1 / (power + 1), abs=1e-12)
    if num_nodes < 12:  # beyond, Gauss-Legendre's error is under the rounding
        assert np.dot(coefficients, positions ** (degree + 1)) != pytest.approx(1 / (degree + 2), abs=1e-12)


def test_left_is_the_authors_rule():
    nodes = quadrature("left", 4)
    assert nodes.positions.tolist() == [0, 0.25, 0.5, 0.75]
    assert nodes.coefficients.tolist() == [0.25] * 4


@pytest.mark.parametrize(("rule", "num_nodes", "least"), [("gausslegendre", 0, 1), ("left", 0, 1), ("trapezoid", 1, 2)])
def test_too_few_nodes_are_refused(rule, num_nodes, least):
    with pytest.raises(InputError, match=f"{rule} needs at least {least} nodes, not {num_nodes}"):
        quadrature(rule, num_nodes)


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="unknown quadrature rule 'simpson'"):
        quadrature("simpson", 3)  # pyright: ignore


def test_settings_that_cannot_work_are_refused_at_once():
    values = {"num_nodes": 1, "max_nodes": 1, "tolerance": 0.01}
    with pytest.raises(ValueError, match="trapezoid needs at least 2 nodes"):
        QuadratureParams(rule="trapezoid", **values)
    with pytest.raises(ValueError, match="max_nodes = 1 must be at least twice num_nodes = 1"):
        QuadratureParams(rule="auto", **values)
