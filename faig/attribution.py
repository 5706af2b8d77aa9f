"""How much each filter contributes: FAIG and the scoring methods that it is compared with.

Paper: section 3 (FAIG), section 4.2 (comparison). F = number of filters, N = number of images; theta-bar, theta =
weights of baseline and target; loss L = sum of squared errors over the image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from faig.compute import Compute
from faig.crops import CropParams
from faig.filters import FilterIndex
from faig.networks import load_network
from faig.params import Count, settings

Weights = Mapping[str, Tensor]
Nodes = tuple[np.ndarray, np.ndarray]
"""Places in [0, 1] and their weights, which sum to 1."""


@settings
class ScoreParams:
    """Settings of the score stage."""

    images: CropParams
    dead_leaves: CropParams
    rule: Literal["difference", "share"]
    num_nodes: Annotated[int, Field(ge=1, le=1000)]
    num_random: Count


@dataclass(frozen=True)
class Attribution:
    """Scores per image and filter, and how well each image's integral closes.

    ``scores`` (N, F) are not negative. ``changes`` (N,): L at the target minus L at the baseline; ``residuals`` (N,):
    the sum of all integrals minus that change, 0 if exact (completeness, Sundararajan et al. 2017).
    """

    scores: np.ndarray
    changes: np.ndarray
    residuals: np.ndarray

    @property
    def convergence_error(self) -> float:
        """Sum of |residuals| over the images, as a share of the sum of |changes|; 0 where nothing changes."""
        return float(np.abs(self.residuals).sum() / max(np.abs(self.changes).sum(), np.finfo(np.float32).tiny))


def gauss_legendre(num_nodes: int) -> Nodes:
    """Gauss-Legendre nodes on [0, 1]: exact for polynomials up to degree 2 num_nodes - 1.

    Raises:
        ValueError: fewer than one node.
    """
    if num_nodes < 1:
        raise ValueError(f"the path integral needs at least one node, not {num_nodes}")
    places, weights = np.polynomial.legendre.leggauss(num_nodes)
    return (places + 1) / 2, weights / 2


def left_endpoints(num_nodes: int) -> Nodes:
    """The authors' rule: 0, 1/n, ..., (n - 1)/n with equal weights."""
    return np.arange(num_nodes) / num_nodes, np.full(num_nodes, 1 / num_nodes)


END_POINT: Nodes = (np.array([1.0]), np.array([1.0]))
"""One node at the target: a first-order Taylor expansion."""


class PathModel:
    """A network, two sets of weights and the straight path between: gamma(a) = theta-bar + a (theta - theta-bar)."""

    def __init__(self, network: nn.Module, baseline: Weights, target: Weights, compute: Compute) -> None:
        """``network`` gives the architecture only.

        Raises:
            ValueError: the two sets of weights differ in names or shapes, or are not finite.
        """
        require_same_shapes(baseline, target)
        self.network = compute.place_network(network).eval()
        self.index = FilterIndex.of(network)
        self.compute = compute
        self.baseline = {name: value.to(compute.device) for name, value in baseline.items()}
        self.target = {name: value.to(compute.device) for name, value in target.items()}
        self.change = {name: self.target[name] - value for name, value in self.baseline.items()}

    def at(self, place: float) -> dict[str, Tensor]:
        """Weights gamma(place), ready to be differentiated by."""
        return {name: (value + place * self.change[name]).requires_grad_() for name, value in self.baseline.items()}

    def restore(self, weights: Weights, lr: Tensor) -> Tensor:
        """SR (n, 3, sH, sW), fp32, of LR (n, 3, H, W) with the given weights."""
        with self.compute.autocast():
            return functional_call(self.network, dict(weights), (self.compute.place(lr),)).float()

    def loss(self, weights: Weights, lr: Tensor, hr: Tensor) -> Tensor:
        """L: sum of squared errors over the image, a scalar."""
        return (self.restore(weights, lr) - self.compute.place(hr)).square().sum()


def load_model(baseline: Path, target: Path, compute: Compute) -> PathModel:
    """The path between two weights files.

    Raises:
        ValueError: a file is missing or unusable, or they hold different networks.
    """
    (network, spec), (tuned, tuned_spec) = load_network(baseline), load_network(target)
    if spec != tuned_spec:
        raise ValueError(f"{baseline} holds {spec}, but {target} holds {tuned_spec}")
    return PathModel(network, dict(network.state_dict()), dict(tuned.state_dict()), compute)


def integrate(model: PathModel, lr: Tensor, hr: Tensor, nodes: Nodes) -> dict[str, Tensor]:
    """Integrated gradients of every parameter along the path (paper, equation 5), signed, for one image.

    IG_j = (theta_j - theta-bar_j) * integral over a from 0 to 1 of dL/dw_j at gamma(a).
    ``lr`` (1, 3, H, W), ``hr`` (1, 3, sH, sW); returns tensors of the parameters' shapes.
    """
    total = {name: torch.zeros_like(value) for name, value in model.change.items()}
    for place, weight in zip(*nodes, strict=True):
        weights = model.at(place)
        gradients = torch.autograd.grad(model.loss(weights, lr, hr), list(weights.values()))
        for name, gradient in zip(weights, gradients, strict=True):
            total[name].add_(gradient, alpha=weight)
    return {name: value * model.change[name] for name, value in total.items()}


def faig(model: PathModel, images: Sequence[tuple[Tensor, Tensor]], nodes: Nodes) -> Attribution:
    """FAIG per image (paper, equation 6): per filter, the sum over its weights of |IG_j|.

    ``images``: pairs of LR (1, 3, H, W) and the ground truth (1, 3, sH, sW).
    """
    scores, changes, residuals = [], [], []
    for lr, hr in images:
        integrals = integrate(model, lr, hr, nodes)
        scores.append(model.index.collect({name: value.abs() for name, value in integrals.items()}).cpu().numpy())
        with torch.no_grad():
            change = (model.loss(model.target, lr, hr) - model.loss(model.baseline, lr, hr)).item()
        total = sum(value.sum(dtype=torch.float64).item() for value in integrals.values())
        changes.append(change)
        residuals.append(total - change)
    return Attribution(np.stack(scores), np.array(changes), np.array(residuals))


def taylor(model: PathModel, images: Sequence[tuple[Tensor, Tensor]]) -> np.ndarray:
    """FAIG with one node at the target, (N, F): one gradient times the weight change."""
    return faig(model, images, END_POINT).scores


def input_gradients(model: PathModel, images: Sequence[tuple[Tensor, Tensor]], nodes: Nodes) -> np.ndarray:
    """Integrated gradients over the input, the authors' comparison (N, F).

    The image moves from the clean to the degraded LR, the target stays fixed; per weight the gradient of the summed
    output is integrated, per filter its absolute value summed. ``images``: pairs of clean and degraded LR (1, 3, H, W).
    """
    scores = []
    weights = {name: value.clone().requires_grad_() for name, value in model.target.items()}
    for clean, degraded in images:
        total = {name: torch.zeros_like(value) for name, value in weights.items()}
        for place, weight in zip(*nodes, strict=True):
            output = model.restore(weights, clean + place * (degraded - clean)).sum()
            for name, gradient in zip(weights, torch.autograd.grad(output, list(weights.values())), strict=True):
                total[name].add_(gradient, alpha=weight)
        scores.append(model.index.collect({name: value.abs() for name, value in total.items()}).cpu().numpy())
    return np.stack(scores)


def weight_change(model: PathModel, *, divided: bool) -> np.ndarray:
    """Sum of |theta - theta-bar| over each filter (F,); ``divided`` by the sum of |theta-bar| of the filter."""
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
        rule: ``difference``: score minus the largest other (paper, equation 7, for two degradations); ``share``: the
            same after each degradation's scores were divided by their sum.

    Raises:
        ValueError: there is nothing to compare with, or the rule is unknown.
    """
    if rule not in ("difference", "share"):
        raise ValueError(f"rule must be difference or share, not {rule!r}")
    if len(attributions) < 2:
        raise ValueError(f"nothing to compare {degradation} with")
    values = {name: _share(value) if rule == "share" else value for name, value in attributions.items()}
    others = np.stack([value for name, value in values.items() if name != degradation])
    return values[degradation] - others.max(axis=0)


def _share(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else values


def require_same_shapes(baseline: Weights, target: Weights) -> None:
    """Check that two sets of weights belong to one network and are finite.

    Raises:
        ValueError: names the first weight that differs or is not finite.
    """
    for name in sorted(baseline.keys() | target.keys()):
        shapes = [tuple(weights[name].shape) if name in weights else None for weights in (baseline, target)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"baseline and target are of different networks: {name} is {shapes[0]} and {shapes[1]}")
        if not (torch.isfinite(baseline[name]).all() and torch.isfinite(target[name]).all()):
            raise ValueError(f"weights of {name} are not finite")
