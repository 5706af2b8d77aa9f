"""How much each filter contributes: FAIG and the scoring methods that it is compared with, for any network.

:func:`attribute` does all from a network and two state dicts. Beneath it, :func:`attribute_image` attributes one image
and :func:`attribute_images` stacks the results of several.

Paper: section 3 (FAIG), section 4.2 (comparison). F = number of filters, N = number of images; theta-bar, theta =
weights of baseline and target; loss L = sum of squared errors over the image, or another of
:mod:`faig.attribution.losses`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.losses import SQUARED, Function, Loss, LossName, resolve_loss
from faig.attribution.path import ADVICE, PathModel, Weights, gradients_of
from faig.attribution.quadrature import Nodes, QuadratureParams, quadrature
from faig.attribution.tiling import Tiles, pieces, require_exact
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.params import validate

Example = tuple[Tensor, Tensor]
"""An input LR (1, C, H, W) and its ground truth HR (1, C', sH, sW)."""
TILE_TOLERANCE = {"fp64": 1e-9, "fp32": 1e-5, "bf16": 0.03}
"""By precision, how much the output may change with the halo, as a share of its largest value."""
MACHINE_ERRORS = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
"""Errors of torch that no image is to blame for; older versions have the first alone."""
MAX_CONVERGENCE_ERROR = 0.05
"""A convergence error above which it is warned of, see :func:`rough`."""


@dataclass(frozen=True)
class ImageAttribution:
    """The scores of the filters for one image, and how close its integral comes to what it must be.

    ``scores`` (F,): not negative.
    ``change``: L at the target minus L at the baseline, ``start``.
    ``residual``: the sum of the integrals of all that moves, biases included, minus ``change``. It is 0 for an exact
    integral (completeness, Sundararajan et al. 2017).
    ``num_nodes``: how many nodes the integral took.
    ``converged``: whether the rule ``auto`` brought both its errors under the tolerance; always true of other rules,
    which have no tolerance.
    ``barrier``: in dB, see :func:`barrier`.
    """

    scores: np.ndarray
    start: float
    change: float
    residual: float
    num_nodes: int
    converged: bool
    barrier: float

    def arrays(self) -> dict[str, np.ndarray]:
        """All fields by name as arrays, numbers as arrays of shape (), so that they can be saved."""
        return {name: np.asarray(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Attribution:
    """What :class:`ImageAttribution` holds, of N images: ``scores`` (N, F), all others (N,)."""

    scores: np.ndarray
    starts: np.ndarray
    changes: np.ndarray
    residuals: np.ndarray
    nodes: np.ndarray
    converged: np.ndarray
    barriers: np.ndarray

    @property
    def convergence_error(self) -> float:
        """Sum of ``|residuals|`` over the images, as a share of the sum of ``|changes|``; 0 where nothing changes."""
        return convergence_error(np.abs(self.residuals).sum(), np.abs(self.changes).sum())

    @property
    def improvement(self) -> float:
        """By how much the target lowers the loss, summed over the images, as a share of the baseline's; at most 1."""
        return improvement(self.starts.sum(), self.changes.sum())


def convergence_error(residuals: float, changes: float) -> float:
    """Sum of absolute residuals as a share of the sum of absolute changes; 0 where nothing changes."""
    return float(residuals / max(changes, np.finfo(np.float32).tiny))


def rough(error: float, images: str, more: str) -> str:
    """A line that warns of a convergence error above :data:`MAX_CONVERGENCE_ERROR`, else ''.

    Args:
        error: the convergence error.
        images: which images it is of, and what was done.
        more: what to try.
    """
    if error <= MAX_CONVERGENCE_ERROR:
        return ""
    return (
        f"The path integrals of {images} miss {error:.1%} of the change of the loss (convergence error), so their "
        f"scores are rough: try {more}.\n"
    )


def total_error(results: Sequence[Attribution]) -> float:
    """The convergence error of all images of several results."""
    residuals, changes = (
        sum(np.abs(values).sum() for values in columns)
        for columns in ([result.residuals for result in results], [result.changes for result in results])
    )
    return convergence_error(residuals, changes)


def improvement(starts: float, changes: float) -> float:
    """By how much a sum of losses falls, as a share of what it was; 0 where it was 0 already."""
    return float(-changes / starts) if starts > 0 else 0.0


def barrier(losses: np.ndarray, ends: tuple[float, float], loss: Loss = SQUARED) -> float:
    """By how many dB the worst network within the path is worse than the worse of its ends, at least 0.

    Where it is large, the path leads through networks that restore nothing well, and what an integral along it finds
    may be that detour (linear mode connectivity, Frankle et al. 2020).

    Args:
        losses: L (n,) at positions within the path.
        ends: L at the baseline and at the target.
        loss: which tells how many dB a factor of ten in it is.
    """
    worse = max(ends)
    return loss.ratio_db(losses.max(initial=worse), worse) if worse > 0 else 0.0


def attribute(
    network: nn.Module,
    baseline: Weights,
    target: Weights,
    images: Sequence[Example],
    *,
    num_nodes: int = 16,
    rule: Literal["gausslegendre", "left", "right", "middle", "trapezoid", "auto"] = "gausslegendre",
    tolerance: float = 0.01,
    max_nodes: int = 256,
    granularity: Granularity = "kernel",
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    tiles: Tiles | None = None,
    loss: LossName | Function = "squared",
    compute: Compute | None = None,
    training: bool = False,
) -> tuple[Attribution, FilterIndex]:
    """FAIG of any network: how much each filter's change from baseline to target changed each image's error.

    Args:
        network: gives the architecture; copied, and run in eval mode unless ``training``. Batch norm's running
            statistics move with the weights, layers that share weights move together.
        baseline, target: state dicts of ``network``.
        images: pairs of input (1, C, H, W) and ground truth (1, C', sH, sW), each of its own size.
        num_nodes: number of nodes of the path integral; the first number tried with the rule ``auto``.
        rule: see :mod:`faig.attribution.quadrature`.
        tolerance, max_nodes: when the rule ``auto`` stops, see :class:`QuadratureParams`.
        granularity: a filter is a ``kernel`` (out, in) or an output ``channel``, see :mod:`faig.attribution.filters`.
        include, exclude: shell patterns of layer names. Layers left out still count for the residuals.
        tiles: cut large images; memory then does not depend on their size.
        loss: what the network's training lowered: ``squared`` (the paper's), ``absolute``, ``charbonnier``, or a
            function of SR and HR, both (1, C', sH, sW), that returns one number; with ``tiles`` it must be a sum over
            pixels. See :mod:`faig.attribution.losses`.
        compute: device and precision; fp32 on the CPU if None.
        training: run the network in training mode, see :class:`PathModel <faig.attribution.path.PathModel>`.

    Returns:
        Scores (N, F) with residuals per image, and what the F filters are.

    Raises:
        InputError: weights of different networks or not finite, an image that is not finite or does not fit the network
            or whose ground truth has another size than the output, no filter left, too few nodes, an unknown loss, one
            that is not one number, or one that is no sum over pixels, with tiles.

    Warns:
        UserWarning: the integrals miss more than :data:`MAX_CONVERGENCE_ERROR` of the change of the loss.
    """
    compute = Compute(device=torch.device("cpu"), precision="fp32") if compute is None else compute
    values = {"rule": rule, "num_nodes": num_nodes, "max_nodes": max_nodes, "tolerance": tolerance}
    params = validate("", values, QuadratureParams, source="attribute")
    index = FilterIndex.of(network, granularity=granularity, include=include, exclude=exclude)
    with torch.inference_mode(False):
        model = PathModel(network, baseline, target, compute, index, training=training)
    result = attribute_images(model, images, params, tiles, resolve_loss(loss))
    if result.convergence_error > MAX_CONVERGENCE_ERROR:
        more = f"max_nodes above {max_nodes}" if rule == "auto" else f"num_nodes above {num_nodes}, or rule='auto'"
        took = f"images (rule {rule!r}, {result.nodes.max()} nodes)"
        more += "" if training else f"; if that does not help, gradients are wrong in eval mode: {ADVICE}"
        warnings.warn(rough(result.convergence_error, took, more).rstrip(), stacklevel=2)
    return result, index


def attribute_images(
    model: PathModel,
    images: Sequence[Example],
    params: QuadratureParams | Nodes,
    tiles: Tiles | None = None,
    loss: Loss = SQUARED,
) -> Attribution:
    """Attribute each image by :func:`attribute_image`.

    Raises:
        InputError: there is no image; or as :func:`attribute_image`, the message then names the image by its number.
    """
    if not images:
        raise InputError("there is no image to attribute")
    results = []
    for number, (lr, hr) in enumerate(images):
        try:
            results.append(attribute_image(model, lr, hr, params, tiles, loss))
        except InputError as error:
            raise InputError(f"image {number}: {error}") from error
    return Attribution(
        scores=np.stack([result.scores for result in results]),
        starts=np.array([result.start for result in results]),
        changes=np.array([result.change for result in results]),
        residuals=np.array([result.residual for result in results]),
        nodes=np.array([result.num_nodes for result in results]),
        converged=np.array([result.converged for result in results]),
        barriers=np.array([result.barrier for result in results]),
    )


def attribute_image(
    model: PathModel,
    lr: Tensor,
    hr: Tensor,
    params: QuadratureParams | Nodes,
    tiles: Tiles | None = None,
    loss: Loss = SQUARED,
) -> ImageAttribution:
    """FAIG of one image (paper, equation 6): a filter's score is the sum over its weights of ``|IG_j|``.

    Gradients are taken even where the caller has turned them off.

    Args:
        model: the network between its two sets of weights.
        lr, hr: the image (1, C, H, W) and its ground truth (1, C', sH, sW).
        params: the rule of the integral, or its nodes.
        tiles: how to cut a large image; None takes it whole.
        loss: the error, L.

    Raises:
        InputError: the image is not finite or does not fit the network; its ground truth has another size than the
            output; the tiles are not exact for this network or this loss; the weights are so large that the integral is
            not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Tensors made under inference_mode cannot take part in a graph, copies of them can.
        lr, hr = (value.clone() if value.is_inference() else value for value in (lr, hr))
        require_image(lr, hr)
        start, end = (loss_at(model, weights, lr, hr, tiles, loss) for weights in (model.baseline, model.target))
        if tiles is not None:
            loss.require_sum([piece.hr for piece in pieces(lr, hr, tiles)], hr)
            require_exact(partial(model.restore, model.target), lr, hr, tiles, TILE_TOLERANCE[model.compute.precision])
        change = end - start
        scores, residual, losses, num_nodes, converged = converge(model, lr, hr, change, params, tiles, loss)
    if not np.isfinite([change, residual, scores.sum()]).all():
        raise InputError("the loss or its gradients are not finite: the weights are too large")
    height = barrier(losses, (start, end), loss)
    return ImageAttribution(scores, start, change, residual, num_nodes, converged, height)


def converge(
    model: PathModel,
    lr: Tensor,
    hr: Tensor,
    change: float,
    params: QuadratureParams | Nodes,
    tiles: Tiles | None,
    loss: Loss,
) -> tuple[np.ndarray, float, np.ndarray, int, bool]:
    """Integrate along the path by the nodes or the rule of ``params``, with as many nodes as it takes.

    Returns:
        Scores (F,), residual, L at the nodes, number of nodes, and whether ``auto`` came under its tolerance.
    """

    def evaluate(nodes: Nodes) -> tuple[np.ndarray, float, np.ndarray]:
        integrals, losses = integrate(model, lr, hr, nodes, tiles, loss)
        # Equation 6 takes the absolute value of each weight's integral, after the integration and before the sum over
        # the filter. Signs along the path must cancel: a weight whose gradient first lowers and then raises the error
        # changed nothing in the end. Signs among a filter's weights must not: one weight that lowers the error and one
        # that raises it both do something. The residual compares the signed sum of all integrals with the change.
        scores = model.index.collect({name: value.abs() for name, value in integrals.items()}).cpu().numpy()
        return scores, sum(value.sum(dtype=torch.float64).item() for value in integrals.values()) - change, losses

    if not isinstance(params, QuadratureParams):
        return *evaluate(params), len(params.positions), True
    if params.rule != "auto":
        return *evaluate(quadrature(params.rule, params.num_nodes)), params.num_nodes, True
    # The rule auto needs both errors to be small. A small residual may be luck, because errors of opposite signs cancel
    # in it. Scores that hardly change may be so because both rules miss the same part of the path.
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
    model: PathModel, lr: Tensor, hr: Tensor, nodes: Nodes, tiles: Tiles | None = None, loss: Loss = SQUARED
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Integrated gradients of all that moves along the path (paper, equation 5), signed, for one image.

    IG_j = (theta_j - theta-bar_j) * integral over a from 0 to 1 of dL/dw_j at gamma(a), since d gamma_j / da is the
    constant theta_j - theta-bar_j; by the chain rule the sum of all IG_j is L(theta) - L(theta-bar).

    Args:
        model: the network between its two sets of weights.
        lr, hr: the image (1, C, H, W) and its ground truth (1, C', sH, sW).
        nodes: the rule's positions and coefficients.
        tiles: how to cut a large image; None takes it whole.
        loss: the error, L.

    Returns:
        By state-dict key IG, of the weights' shapes, 0 where nothing moves; and L at each node (none if nothing moves).

    Raises:
        InputError: as :meth:`Piece.error <faig.attribution.tiling.Piece.error>`.
    """
    total = {name: torch.zeros_like(value) for name, value in model.change.items()}
    losses = []
    for position, coefficient in zip(*nodes, strict=True) if model.moving else ():
        weights = model.at(position)
        moving = [weights[name] for name in model.moving]
        losses.append(0.0)
        for piece in pieces(lr, model.compute.to_device(hr), tiles):
            error = piece.error(model.restore(weights, piece.lr), loss)
            losses[-1] += error.item()
            # One tile's graph at a time; a weight that the output does not depend on has no gradient.
            gradients = gradients_of(error, moving)
            for name, gradient in zip(model.moving, gradients, strict=True):
                if gradient is not None:
                    total[name].add_(gradient, alpha=coefficient)
    return {name: value * model.change[name] for name, value in total.items()}, np.array(losses)


def loss_at(
    model: PathModel, weights: Weights, lr: Tensor, hr: Tensor, tiles: Tiles | None, loss: Loss = SQUARED
) -> float:
    """L of one image (1, C, H, W) with ground truth (1, C', sH, sW), summed in fp64.

    Raises:
        InputError: the network cannot restore the image, or makes an output of another size than the ground truth.
    """
    hr = model.compute.to_device(hr)
    with torch.no_grad():
        return sum(piece.error(restore_image(model, weights, piece.lr), loss).item() for piece in pieces(lr, hr, tiles))


def restore_image(model: PathModel, weights: Weights, lr: Tensor) -> Tensor:
    """:meth:`PathModel.restore` where an image meets the network first: what torch refuses is then the user's mistake.

    Which sizes and channels a network takes, only the network itself can tell: by an error of torch, of any operation.
    """
    try:
        return model.restore(weights, lr)
    except (InputError, *MACHINE_ERRORS):
        raise
    except (RuntimeError, ValueError) as error:  # other channels, or fewer pixels than mirrored borders need
        raise InputError(f"the network cannot restore an input of shape {tuple(lr.shape)}: {error}") from error


def require_image(lr: Tensor, hr: Tensor) -> None:
    """Check one image (1, C, H, W) and its ground truth (1, C', sH, sW).

    Raises:
        InputError: says which of the two is wrong, and what.
    """
    for name, value in (("input", lr), ("ground truth", hr)):
        if value.ndim != 4 or len(value) != 1:
            raise InputError(f"the {name} must be one image (1, C, H, W), not {tuple(value.shape)}")
        if not torch.isfinite(value).all():
            raise InputError(f"the {name} is not finite")
