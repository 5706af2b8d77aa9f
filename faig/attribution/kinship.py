"""Was the target fine-tuned from this baseline? How alike their weights are, layer by layer.

FAIG, learned masks and all that compares filters take it that filter i of the target is filter i of the baseline,
moved. That holds for a network fine-tuned from another. Of two networks trained apart it does not, even where both do
the same: hidden channels may come in any order, and each of the two has an order of its own. Attribution then still
returns numbers, which mean nothing.

Correlation is the cosine of the angle between the weights of baseline and target at all filters, so a common factor
does not change it. With the relative distance ``d = ||theta - theta-bar|| / ||theta-bar||`` and r, the ratio of the
norms::

    d^2 = 1 + r^2 - 2 r * correlation.

Pearson's correlation would subtract means first; of all pairs measured the two differ by 0.005 at most, as weights have
means near 0. Correlations found by benchmarks/studies/kinship.py::

    fine-tuned from the baseline: 0.75 to 1.00, of the least layer 0.66 to 0.99 (8 published pairs); 0.59 to 0.75, of
        the least layer 0.50 to 0.68 (waifu2x's UpConv7, scale -> noise0_scale to noise3_scale)
    the same first weights, trained apart: 0.18 to 0.34, of the least layer 0.07 to 0.16
    different seeds: -0.01 to 0.01, of the least layer -0.13 to -0.02

The barrier on the path does not tell them apart. On clean inputs it was 2.3 to 3.5 dB between different seeds, but up
to 5.9 dB from a baseline to what was fine-tuned from it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from faig.attribution.path import PathModel

LEAST_CORRELATION = 0.5
"""Of all weights: between 0.34, of networks trained apart, and 0.59, of the furthest fine-tuned one."""
LEAST_OF_A_LAYER = 0.3
"""Of each layer's weights: between 0.16 and 0.50, the least layers of the same networks."""


@dataclass(frozen=True)
class Kinship:
    """How alike the filters' weights are, by layer and of all layers together.

    ``correlations``: by layer, -1 to 1; ``correlation`` of all. 1: equal but for a factor; 0 where one of the two is 0.
    ``distances``: by layer, ||theta - theta-bar|| / ||theta-bar||, 0 for equal weights, and 1 where only the target's
    are not 0; ``distance`` of all.
    """

    correlations: dict[str, float]
    distances: dict[str, float]
    correlation: float
    distance: float

    @property
    def least(self) -> str:
        """The layer of the least correlation."""
        return min(self.correlations, key=lambda name: self.correlations[name])

    @property
    def related(self) -> bool:
        """Whether the target looks fine-tuned from the baseline, as a whole and in every layer."""
        return self.correlation >= LEAST_CORRELATION and self.correlations[self.least] >= LEAST_OF_A_LAYER

    def warn(self, barrier: float) -> str:
        """A line that warns of networks that do not look related, else ''; ``barrier``: in dB, on the path."""
        if self.related:
            return ""
        return (
            f"Baseline and target do not look related: the correlation of their weights is {self.correlation:.2f} "
            f"({self.correlations[self.least]:.2f} in {self.least}), their relative distance {self.distance:.2f}, the "
            f"barrier between them {barrier:.1f} dB; fine-tuned networks had correlations above {LEAST_CORRELATION} "
            f"({LEAST_OF_A_LAYER} in each layer). Unless the target was fine-tuned from this baseline, filters do not "
            "correspond, and results about them mean nothing.\n"
        )


def kinship(model: PathModel) -> Kinship:
    """Compare baseline and target at the filters of ``model.index``; biases and all else are left aside."""
    names = {entry.name: entry.key for entry in model.index.entries}
    weights = [[ends[key].double().flatten() for ends in (model.baseline, model.target)] for key in names.values()]
    moments = torch.stack([_moments(*pair) for pair in weights]).cpu()  # (L, 4)
    alike = [(_correlation(row), _distance(row)) for row in [*moments, moments.sum(dim=0)]]
    *correlations, correlation = [first for first, _ in alike]
    *distances, distance = [second for _, second in alike]
    return Kinship(
        correlations=dict(zip(names, correlations, strict=True)),
        distances=dict(zip(names, distances, strict=True)),
        correlation=correlation,
        distance=distance,
    )


def _moments(baseline: Tensor, target: Tensor) -> Tensor:
    """Of weights (n,): |theta-bar|^2, |theta|^2, <theta-bar, theta>, |theta - theta-bar|^2."""
    return torch.stack([baseline @ baseline, target @ target, baseline @ target, (target - baseline).square().sum()])


def _correlation(moments: Tensor) -> float:
    """Of weights that are all 0 in both networks 1, in one of them 0."""
    first, second, product, change = (float(value) for value in moments)
    if change == 0:
        return 1.0
    return product / (first * second) ** 0.5 if first > 0 and second > 0 else 0.0


def _distance(moments: Tensor) -> float:
    first, _, _, change = (float(value) for value in moments)
    return (change / first) ** 0.5 if first > 0 else float(change > 0)
