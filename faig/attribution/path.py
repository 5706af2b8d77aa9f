"""A network on the straight path between two sets of weights: what attribution, masking and prediction evaluate.

gamma(a) = theta-bar + a (theta - theta-bar) for positions a from 0 to 1; theta-bar and theta are the weights of
baseline and target. All parameters move along the path, and so do floating-point buffers that differ (a batch norm's
running statistics). Masking leaves the path: it puts theta-bar back at chosen filters of theta.
"""

import copy
import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules import batchnorm, dropout
from torch.overrides import TorchFunctionMode

from faig.attribution.filters import FilterIndex
from faig.base.compute import Compute
from faig.base.errors import InputError

Weights = Mapping[str, Tensor]
"""Values by state-dict key."""
ADVICE = "try training=True"
"""Said where a network may not be differentiable in eval mode."""
UNSTEADY = (dropout._DropoutNd, batchnorm._NormBase, nn.RReLU, nn.MultiheadAttention)
"""Layers whose output, in training mode, depends on chance or on statistics of the input."""


class PathModel:
    """A network and two sets of weights for it; in eval mode, unless ``training`` asks for the other.

    ``baseline``, ``target`` and ``change`` (target minus baseline) hold the floating-point parameters and buffers by
    state-dict key; a value that several layers share is listed once, under its first name. ``moving`` names those that
    differ between baseline and target. ``index`` numbers the filters.
    """

    def __init__(
        self,
        network: nn.Module,
        baseline: Weights,
        target: Weights,
        compute: Compute,
        index: FilterIndex | None = None,
        *,
        training: bool = False,
    ) -> None:
        """Copy a network, which gives the architecture only, and check and copy its weights.

        Args:
            network: stays as it is.
            baseline, target: state dicts of ``network``.
            compute: device and precision.
            index: the filters; all kernels of all layers if None.
            training: run the network in training mode, but for the layers of :func:`in_training_mode`. It is needed
                where eval mode cannot be differentiated: some networks then fuse their weights through ``.data``, so
                that gradients are silently wrong (the convergence error tells), or write in place, which PyTorch
                refuses.

        Raises:
            InputError: the weights are not of this network or not of one network, or not finite.
        """
        names = shared_names(network)
        require_weights(network, baseline, target, names)
        self.network = compute.network_to_device(copy.deepcopy(network)).eval()
        self.training = training
        if training:
            in_training_mode(self.network)
        self.network.load_state_dict(dict(target))  # also what does not move: counters, masks
        self.index = FilterIndex.of(network) if index is None else index
        self.compute = compute
        self.baseline, self.target = (
            {name: compute.cast(weights[name]) for name in names} for weights in (baseline, target)
        )
        self.change = {name: self.target[name] - value for name, value in self.baseline.items()}
        self.moving = tuple(name for name, value in self.change.items() if value.any())
        self._statistics_move = not set(self.moving) <= {name for name, _ in self.network.named_parameters()}

    def at(self, position: float) -> dict[str, Tensor]:
        """The weights gamma(position); 0 is the baseline, 1 the target.

        Those that move require gradients, so that the loss can be differentiated with respect to them.
        """
        weights = dict(self.baseline)
        for name in self.moving:
            weights[name] = (weights[name] + position * self.change[name]).requires_grad_()
        return weights

    def masked(self, filters: np.ndarray) -> dict[str, Tensor]:
        """The target's weights with the baseline's at the filters (n,), given by number; see :func:`mask`."""
        return mask(self.target, self.baseline, self.index, filters)

    def with_gradients(self, weights: Weights) -> dict[str, Tensor]:
        """The weights, of which those that hold filters require gradients and no others."""
        detached = {name: value.detach() for name, value in weights.items()}
        return {**detached, **{key: detached[key].clone().requires_grad_() for key in self.index.keys}}

    def moves(self, output: Tensor, weights: Weights, direction: Tensor | None = None, *, keep: bool = False) -> Tensor:
        """The derivative of an output as each filter moves from the target's weights to the baseline's, (F,).

        Args:
            output: one number, or more and a ``direction`` of the same shape, whose product with it is differentiated.
            weights: of :meth:`with_gradients`, that ``output`` was computed from; what it does not depend on counts 0.
            keep: whether another derivative of the same output will be asked for.
        """
        keys = self.index.keys
        gradients = gradients_of(output, [weights[key] for key in keys], direction, keep=keep)
        return self.index.collect(
            {
                key: torch.zeros_like(self.change[key]) if gradient is None else -gradient * self.change[key]
                for key, gradient in zip(keys, gradients, strict=True)
            }
        ).detach()

    def restore(self, weights: Weights, lr: Tensor) -> Tensor:
        """Restore LR (n, C, H, W) with the given weights: SR (n, C', sH, sW), of type ``compute.dtype``.

        ``lr`` stays as it is, even if the network writes into its input.

        Raises:
            InputError: the network returns something else than one tensor; in training mode it draws random numbers.
        """
        x = self.compute.to_device(lr).clone()  # a network may begin with an operation in place
        chance = self._chance()
        with self.compute.autocast(), MovingStatistics() if self._statistics_move else nullcontext():
            output = functional_call(self.network, dict(weights), (x,))
        if not isinstance(output, Tensor):
            raise InputError(f"the network returns a {type(output).__name__}, not one tensor: wrap it")
        if not all(map(torch.equal, chance, self._chance())):
            raise InputError(
                "in training mode the network draws random numbers, so it has no one output: set the share of what it "
                "drops to 0, or leave it in eval mode"
            )
        return output.to(self.compute.dtype)

    def _chance(self) -> list[Tensor]:
        """The states of the random generators that the network could draw from; none in eval mode."""
        if not self.training:
            return []
        device = self.compute.device
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def in_training_mode(network: nn.Module) -> None:
    """Switch a network to training mode, but leave in eval mode what then gives no output of the weights alone.

    That are the layers that are random (dropout of all kinds, attention's own, ``RReLU``) and those that go by the
    statistics of their input instead of running ones (batch and instance norm).
    """
    network.train()
    for module in network.modules():
        if isinstance(module, UNSTEADY) or "drop" in type(module).__name__.lower():  # DropPath, which others define
            module.training = False


def gradients_of(
    output: Tensor, weights: Sequence[Tensor], direction: Tensor | None = None, *, keep: bool = False
) -> tuple[Tensor | None, ...]:
    """The gradients of an output with respect to weights; None for a weight that it does not depend on.

    Args:
        output: one number, or more and a ``direction`` of the same shape, whose product with it is differentiated.
        weights: what it was computed from.
        direction: see ``output``.
        keep: whether another derivative of the same output will be asked for.

    Raises:
        InputError: the network writes in place over what its own gradients need.
    """
    if not output.requires_grad:
        return (None,) * len(weights)
    try:
        return torch.autograd.grad(output, weights, direction, retain_graph=keep, allow_unused=True)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        raise InputError(
            f"the network writes in place over what its gradients need ({error}); some do only in eval mode: {ADVICE}"
        ) from error


def mask(target: Weights, baseline: Weights, index: FilterIndex, chosen: np.ndarray) -> dict[str, Tensor]:
    """The target's weights with the baseline's at the chosen filters (n,); biases stay the target's.

    No filter chosen gives the target, all give the baseline's kernels, bit for bit.
    """
    masked = dict(target)
    for name, flags in index.spread(chosen, target).items():
        masked[name] = torch.where(flags.to(target[name].device), baseline[name], target[name])
    return masked


class MovingStatistics(TorchFunctionMode):
    """While active, batch and instance norm can be differentiated with respect to their running statistics.

    A fine-tuned batch norm has other running means and variances than before, and these change the output just as
    weights do. PyTorch's own functions take them for constants: their gradients would be None, what the statistics
    contribute would be missing from the sum of the integrals, and completeness would fail. So :func:`normalize`, which
    is the same formula in plain operations, takes the place of these functions.

    The functions are replaced, not the modules, because modules of other libraries call them as well (a batch norm with
    an activation in its ``forward``, say).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, or :func:`normalize` in place of a norm that uses running statistics."""
        own = NORMS.get(func)
        if own is not None:
            call = inspect.signature(func).bind(*args, **(kwargs or {}))
            call.apply_defaults()
            given = call.arguments
            # A norm by the statistics of its own input (in train mode, or without running ones) has nothing that moves.
            if given["running_mean"] is not None and not given[own]:
                parts = (given[name] for name in ("input", "running_mean", "running_var", "weight", "bias", "eps"))
                return normalize(*parts)
        return func(*args, **(kwargs or {}))


NORMS: dict[Any, str] = {functional.batch_norm: "training", functional.instance_norm: "use_input_stats"}
"""Functions that take running statistics, each with its argument that is true where the input's own are used."""


def normalize(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalize each channel: (x - mean) / sqrt(variance + eps) * weight + bias; x is (N, C, ...), the others (C,)."""
    gain = (variance + eps).rsqrt()
    gain = gain if weight is None else gain * weight
    shift = -mean * gain if bias is None else bias - mean * gain
    shape = (1, -1, *(1,) * (x.ndim - 2))
    return x * gain.view(shape) + shift.view(shape)


def shared_names(network: nn.Module) -> dict[str, list[str]]:
    """Floating-point parameters and buffers of the state dict: first name -> all names of the same value."""
    names: dict[int, list[str]] = {}  # by the tensor's identity, which layers that share a weight have in common
    for name, value in network.state_dict(keep_vars=True).items():
        if value.is_floating_point():
            names.setdefault(id(value), []).append(name)
    return {same[0]: same for same in names.values()}


def require_weights(network: nn.Module, baseline: Weights, target: Weights, names: Mapping[str, list[str]]) -> None:
    """Check that two sets of weights belong to this network, are finite, and agree where the network shares weights.

    Args:
        network: whose state dict gives the expected names and shapes.
        baseline, target: the weights to check.
        names: as :func:`shared_names` finds them.

    Raises:
        InputError: names the first weight for which it does not hold, and the shapes.
    """
    own = network.state_dict()
    for weights in (own, baseline, target):
        for name, value in weights.items():
            if not isinstance(value, Tensor) or value.is_complex():
                raise InputError(f"{name} is not a tensor of real numbers: such networks cannot be attributed")
    for name in [*own, *sorted((baseline.keys() | target.keys()) - own.keys())]:
        first, second, expected = (
            tuple(weights[name].shape) if name in weights else None for weights in (baseline, target, own)
        )
        if first != second:
            raise InputError(f"baseline and target are of different networks: {name} is {first} and {second}")
        if first != expected:
            raise InputError(f"the weights are of another network: {name} is {first}, but {expected} in the network")
    for which, weights in (("baseline", baseline), ("target", target)):
        for first, same in names.items():
            if not torch.isfinite(weights[first]).all():
                raise InputError(f"the {which}'s weights of {first} are not finite")
            for name in same[1:]:
                if not torch.equal(weights[name], weights[first]):
                    raise InputError(f"the network shares {first} with {name}, but the {which}'s values differ")
