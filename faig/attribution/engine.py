"""How much each filter contributes: FAIG and the scoring methods that it is compared with, for any network.

Paper: section 3 (FAIG), section 4.2 (comparison). F = number of filters, N = number of images; theta-bar, theta =
weights of baseline and target; loss L = sum of squared errors over the image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import PathModel, Weights
from faig.attribution.quadrature import END_POINT, Nodes, QuadratureParams, quadrature
from faig.attribution.tiling import Tiles, pieces, require_exact
from faig.base.compute import Compute

Image = tuple[Tensor, Tensor]
"""LR (1, C, H, W) and ground truth (1, C', sH, sW)."""
TILE_TOLERANCE = {"fp64": 1e-9, "fp32": 1e-5, "bf16": 0.03}
"""By precision, how much the output may change with the halo, as a share of its largest value."""


@dataclass(frozen=True)
class Attribution:
    """Scores per image and filter, and how well each image's integral closes.

    ``scores`` (N, F) are not negative. ``changes`` (N,): L at the target minus L at the baseline; ``residuals`` (N,):
    the sum of all integrals, of biases and all else that moves too, minus that change; 0 if exact (completeness,
    Sundararajan et al. 2017). ``nodes`` (N,): how many each integral took; ``converged`` (N,): of the rule ``auto``,
    whether both errors came under the tolerance, always true of the others, which know none. ``barriers`` (N,): as
    :func:`barrier` measures them.
    """

    scores: np.ndarray
    changes: np.ndarray
    residuals: np.ndarray
    nodes: np.ndarray
    converged: np.ndarray
    barriers: np.ndarray

    @property
    def convergence_error(self) -> float:
        """Sum of |residuals| over the images, as a share of the sum of |changes|; 0 where nothing changes."""
        return convergence_error(np.abs(self.residuals).sum(), np.abs(self.changes).sum())


def convergence_error(residuals: float, changes: float) -> float:
    """Sum of absolute residuals as a share of the sum of absolute changes; 0 where nothing changes."""
    return float(residuals / max(changes, np.finfo(np.float32).tiny))


def barrier(losses: np.ndarray, ends: tuple[float, float]) -> float:
    """By how many dB the worst network within the path is worse than the worse of its ends, at least 0.

    Where it is large, the path leads through networks that restore nothing well, and what an integral along it finds
    may be that detour (linear mode connectivity, Frankle et al. 2020).

    Args:
        losses: L at places within the path.
        ends: L at the baseline and at the target.
    """
    worse = max(ends)
    return float(10 * np.log10(max(losses.max(initial=worse) / worse, 1.0))) if worse > 0 else 0.0


def attribute(
    network: nn.Module,
    baseline: Weights,
    target: Weights,
    images: Sequence[Image],
    *,
    num_nodes: int = 16,
    rule: Literal["gausslegendre", "left", "right", "middle", "trapezoid", "auto"] = "gausslegendre",
    tolerance: float = 0.01,
    max_nodes: int = 256,
    granularity: Granularity = "kernel",
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    tiles: Tiles | None = None,
    compute: Compute | None = None,
) -> tuple[Attribution, FilterIndex]:
    """FAIG of any network: how much each filter's change from baseline to target changed each image's error.

    Args:
        network: gives the architecture; copied, and run in eval mode. Batch norm's running statistics move with the
            weights, layers that share weights move together.
        baseline, target: state dicts of ``network``.
        images: pairs of input (1, C, H, W) and ground truth (1, C', sH, sW), each of its own size.
        num_nodes: of the path integral; the first number tried with the rule ``auto``.
        rule: see :mod:`faig.attribution.quadrature`; ``tolerance`` and ``max_nodes`` belong to ``auto``.
        granularity: a filter is a ``kernel`` (out, in) or an output ``channel``, see :mod:`faig.attribution.filters`.
        include, exclude: shell patterns of layer names. Layers left out still count for the residuals.
        tiles: cut large images; memory then does not depend on their size.
        compute: device and precision; fp32 on the CPU if None.

    Returns:
        Scores (N, F) with residuals per image, and what the F filters are.

    Raises:
        ValueError: weights of different networks or not finite, an image that is not finite or whose ground truth has
            another size than the output, no filter left, too few nodes.
    """
    compute = Compute(device=torch.device("cpu"), precision="fp32") if compute is None else compute
    params = QuadratureParams(rule=rule, num_nodes=num_nodes, max_nodes=max_nodes, tolerance=tolerance)
    index = FilterIndex.of(network, granularity=granularity, include=include, exclude=exclude)
    with torch.inference_mode(False):
        model = PathModel(network, baseline, target, compute, index)
    return faig(model, images, params, tiles), index


def faig(
    model: PathModel, images: Sequence[Image], params: QuadratureParams | Nodes, tiles: Tiles | None = None
) -> Attribution:
    """FAIG per image (paper, equation 6): per filter, the sum over its weights of |IG_j|.

    Raises:
        ValueError: no image, or one that is not finite or whose ground truth has another size than the output; tiles
            that are not exact for this network; weights so large that the integral is not finite.
    """
    if not images:
        raise ValueError("there is no image to attribute")
    rows = []
    with torch.inference_mode(False), torch.enable_grad():
        for number, image in enumerate(images):
            lr, hr = (value.clone() if value.is_inference() else value for value in image)
            require_image(number, lr, hr)
            try:
                ends = loss(model, model.baseline, lr, hr, tiles), loss(model, model.target, lr, hr, tiles)
                if tiles is not None:
                    require_exact(
                        partial(model.restore, model.target), lr, hr, tiles, TILE_TOLERANCE[model.compute.precision]
                    )
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError) as error:  # other channels, or fewer pixels than mirrored borders need
                raise ValueError(f"image {number}, {tuple(lr.shape)} and {tuple(hr.shape)}: {error}") from error
            change = ends[1] - ends[0]
            score, residual, losses, num_nodes, converged = converge(model, lr, hr, change, params, tiles)
            if not np.isfinite([change, residual, score.sum()]).all():
                raise ValueError(f"image {number}: the loss or its gradients are not finite: the weights are too large")
            rows.append((score, change, residual, num_nodes, converged, barrier(losses, ends)))
    return Attribution(*(np.stack(column) for column in zip(*rows, strict=True)))


def converge(
    model: PathModel, lr: Tensor, hr: Tensor, change: float, params: QuadratureParams | Nodes, tiles: Tiles | None
) -> tuple[np.ndarray, float, np.ndarray, int, bool]:
    """One image's scores (F,), residual, L at the nodes, how many, and whether ``auto`` came under its tolerance."""

    def evaluate(nodes: Nodes) -> tuple[np.ndarray, float, np.ndarray]:
        integrals, losses = integrate(model, lr, hr, nodes, tiles)
        scores = model.index.collect({name: value.abs() for name, value in integrals.items()}).cpu().numpy()
        return scores, sum(value.sum(dtype=torch.float64).item() for value in integrals.values()) - change, losses

    if not isinstance(params, QuadratureParams):
        return *evaluate(params), len(params[0]), True
    if params.rule != "auto":
        return *evaluate(quadrature(params.rule, params.num_nodes)), params.num_nodes, True
    num_nodes, previous = params.num_nodes, None
    while True:
        scores, residual, losses = evaluate(quadrature("gausslegendre", num_nodes))
        if previous is not None:
            closes = abs(residual) <= params.tolerance * abs(change)
            if closes and np.abs(scores - previous).sum() <= params.tolerance * scores.sum():
                return scores, residual, losses, num_nodes, True
        if 2 * num_nodes > params.max_nodes:
            return scores, residual, losses, num_nodes, False
        num_nodes, previous = 2 * num_nodes, scores


def integrate(
    model: PathModel, lr: Tensor, hr: Tensor, nodes: Nodes, tiles: Tiles | None = None
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Integrated gradients of all that moves along the path (paper, equation 5), signed, for one image.

    IG_j = (theta_j - theta-bar_j) * integral over a from 0 to 1 of dL/dw_j at gamma(a).
    ``lr`` (1, C, H, W), ``hr`` (1, C', sH, sW); returns tensors of the weights' shapes, 0 where nothing moves, and L at
    each node, none where nothing moves.
    """
    total = {name: torch.zeros_like(value) for name, value in model.change.items()}
    losses = []
    for place, weight in zip(*nodes, strict=True) if model.moving else ():
        weights = model.at(place)
        moving = [weights[name] for name in model.moving]
        losses.append(0.0)
        for piece in pieces(lr, model.compute.place(hr), tiles):
            error = piece.error(model.restore(weights, piece.lr))
            losses[-1] += error.item()
            gradients = torch.autograd.grad(error, moving, allow_unused=True)
            for name, gradient in zip(model.moving, gradients, strict=True):
                if gradient is not None:
                    total[name].add_(gradient, alpha=weight)
    return {name: value * model.change[name] for name, value in total.items()}, np.array(losses)


def loss(model: PathModel, weights: Weights, lr: Tensor, hr: Tensor, tiles: Tiles | None) -> float:
    """L of one image, summed in fp64."""
    hr = model.compute.place(hr)
    with torch.no_grad():
        return sum(piece.error(model.restore(weights, piece.lr)).item() for piece in pieces(lr, hr, tiles))


def require_image(number: int, lr: Tensor, hr: Tensor) -> None:
    """Check one image and its ground truth.

    Raises:
        ValueError: names the image and says what is wrong.
    """
    for name, value in (("input", lr), ("ground truth", hr)):
        if value.ndim != 4 or len(value) != 1:
            raise ValueError(f"image {number}: the {name} must be one image (1, C, H, W), not {tuple(value.shape)}")
        if not torch.isfinite(value).all():
            raise ValueError(f"image {number}: the {name} is not finite")


def taylor(model: PathModel, images: Sequence[Image]) -> np.ndarray:
    """FAIG with one node at the target, (N, F): one gradient times the weight change."""
    return faig(model, images, END_POINT).scores


def input_gradients(model: PathModel, images: Sequence[Image], nodes: Nodes) -> np.ndarray:
    """Integrated gradients over the input, the authors' comparison (N, F).

    The image moves from the clean to the degraded LR, the target stays fixed; per weight the gradient of the summed
    output is integrated, per filter its absolute value summed. ``images``: pairs of clean and degraded LR (1, C, H, W).
    """
    scores = []
    weights = dict(model.target)
    filters = {name: weights[name].clone().requires_grad_() for name in model.index.weights}
    weights |= filters
    for clean, degraded in images:
        total = {name: torch.zeros_like(value) for name, value in filters.items()}
        for place, weight in zip(*nodes, strict=True):
            output = model.restore(weights, clean + place * (degraded - clean)).sum()
            gradients = torch.autograd.grad(output, list(filters.values()), allow_unused=True)
            for name, gradient in zip(filters, gradients, strict=True):
                if gradient is not None:
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
            same after each degradation's scores were divided by their sum; ``plain``: its own score alone.

    Raises:
        ValueError: there is nothing to compare with, or the rule is unknown.
    """
    if rule not in ("difference", "share", "plain"):
        raise ValueError(f"rule must be difference, share or plain, not {rule!r}")
    if rule == "plain":
        return attributions[degradation]
    if len(attributions) < 2:
        raise ValueError(f"nothing to compare {degradation} with")
    values = {name: _share(value) if rule == "share" else value for name, value in attributions.items()}
    others = np.stack([value for name, value in values.items() if name != degradation])
    return values[degradation] - others.max(axis=0)


def _share(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else values
