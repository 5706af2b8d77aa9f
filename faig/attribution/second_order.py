"""What masking each filter alone would do to the outputs, to second order and for all filters at once.

Masking is to make the target the baseline on inputs x_d of one degradation, and to leave it what it is on those of all
others, x_e. With F(w, x) the output, w(m) the target's weights masked at the filters m, and
``D = ||F(target, x) - F(baseline, x)||^2``, that is to minimise::

    J(m) = ||F(w(m), x_d) - F(baseline, x_d)||^2 / D_d + c * sum over e of ||F(w(m), x_e) - F(target, x_e)||^2 / D_e.

It needs outputs only, no ground truth. FAIG asks what changed the error along the path; J asks what masking will do. It
sees what FAIG's absolute values hide, whether a filter's weights pull the same way, and what masking costs inputs on
which gradients of the error say little, because the target is at its best there.

With u_f the change of the output, to first order, as filter f moves from the target to the baseline, masking f alone
changes J by::

    2 <F(target, x_d) - F(baseline, x_d), u_f(x_d)> / D_d + ||u_f(x_d)||^2 / D_d + c * sum of ||u_f(x_e)||^2 / D_e.

The first term is one gradient. The last is a diagonal of a Gauss-Newton matrix, as in optimal brain damage (LeCun et
al. 1990), here estimated from few random projections (Hutchinson 1989): for random signs v, <v, u_f>^2 is ||u_f||^2 on
average, and <v, u_f> for all filters is one gradient. The term between them is left out: beside the first it is small.

F = number of filters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faig.attribution.engine import require_image
from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT, Nodes, quadrature
from faig.base.errors import InputError

FLOOR = 1e-3
"""What filters do to other inputs is divided by at least this share of the degradation's own distance."""
LAST_QUARTER = Nodes(0.75 + quadrature("gausslegendre", 2).positions / 4, np.full(2, 0.5))
"""Two nodes on the quarter of the path that ends at the target."""


@dataclass(frozen=True)
class Expansion:
    """One image, or a mean over images; all are squared errors summed over the output.

    ``pull`` (F,): by how much masking the filter brings the output nearer to the baseline's, to first order.
    ``shift`` (F,): ||u_f||^2, by how much masking it moves the output at all; an estimate.
    ``distance``: D, how far the two outputs are apart.
    """

    pull: np.ndarray
    shift: np.ndarray
    distance: float

    def flat(self) -> np.ndarray:
        """All numbers as one array (2 F + 1,), so that expansions can be kept and added up."""
        return np.concatenate([self.pull, self.shift, [self.distance]])

    @classmethod
    def of(cls, flat: np.ndarray) -> "Expansion":
        """The inverse of :meth:`flat`."""
        pull, shift = np.split(flat[:-1], 2)
        return cls(pull, shift, float(flat[-1]))


def expand(
    model: PathModel, lr: Tensor, generator: torch.Generator, nodes: Nodes = END_POINT, num_draws: int = 2
) -> Expansion:
    """Expand the output of one input (1, C, H, W) around the target.

    Args:
        model: the network between its two sets of weights.
        lr: the input.
        generator: on the CPU, of the random signs.
        nodes: where on the path ``pull`` is averaged. The end point gives the slope at the target, which is right for a
            filter that is masked alone. With :data:`LAST_QUARTER` all others have moved a little as well, as when many
            are masked; only where there is no barrier (:func:`faig.attribution.engine.barrier`) on the path.
        num_draws: of random signs for ``shift``, which is taken at the target; each is one gradient.

    Raises:
        InputError: the input is not one finite image.
    """
    require_image(lr, lr)
    with torch.inference_mode(False), torch.enable_grad():
        lr = lr.clone() if lr.is_inference() else lr
        with torch.no_grad():
            goal = model.restore(model.baseline, lr)
        pull, shift = np.zeros(model.index.num_filters), np.zeros(model.index.num_filters)
        for position, coefficient in zip(*nodes, strict=True):
            weights = model.with_gradients(model.at(position))
            output = model.restore(weights, lr)
            pull -= 2 * coefficient * as_array(model.moves(output, weights, (output - goal).detach()))
        weights = model.with_gradients(model.target)
        output = model.restore(weights, lr)
        for _ in range(num_draws):
            signs = 2.0 * torch.randint(0, 2, output.shape, generator=generator) - 1
            shift += as_array(model.moves(output, weights, signs.to(output), keep=True)) ** 2 / num_draws
    return Expansion(pull, shift, (output - goal).square().sum(dtype=torch.float64).item())


def as_array(values: Tensor) -> np.ndarray:
    """On the CPU, in fp64."""
    return values.cpu().numpy().astype(np.float64)


def mean_expansion(expansions: Iterable[Expansion]) -> Expansion:
    """The mean over images."""
    return Expansion.of(np.mean([expansion.flat() for expansion in expansions], axis=0))


def contrast_expansions(expansions: Mapping[str, Expansion], degradation: str, caution: float = 4.0) -> np.ndarray:
    """Score (F,) of one degradation: what masking the filter is good for on it, minus what it costs on all others.

    Args:
        expansions: of each degradation, ``clean`` among them, the mean over images.
        degradation: the one whose filters are sought.
        caution: c, how much the others weigh. What filters do to the others adds up when many are masked together, so
            more is safer and removes less.

    Returns:
        Scores, all 0 where the two networks restore the degradation alike.

    Raises:
        InputError: there is nothing to compare with.
    """
    if len(expansions) < 2:
        raise InputError(f"nothing to compare {degradation} with")
    own = expansions[degradation]
    if own.distance <= 0:
        return np.zeros_like(own.pull)
    costs = [
        each.shift / max(each.distance, FLOOR * own.distance)
        for name, each in expansions.items()
        if name != degradation
    ]
    return own.pull / own.distance - caution * np.sum(costs, axis=0)
