"""A network on the straight path between two sets of weights: what attribution, masking and prediction evaluate.

gamma(a) = theta-bar + a (theta - theta-bar), theta-bar and theta the weights of baseline and target. All parameters
move along it, and so do floating-point buffers that differ (a batch norm's running statistics).
"""

import copy
import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from faig.attribution.filters import FilterIndex
from faig.base.compute import Compute

Weights = Mapping[str, Tensor]
"""Values by state-dict key."""


class PathModel:
    """A network and two sets of weights, in eval mode.

    ``baseline``, ``target`` and ``change`` (target minus baseline) hold floating-point parameters and buffers, a value
    that several layers share under its first name. ``moving`` names those that differ. The given network is copied.
    """

    def __init__(
        self, network: nn.Module, baseline: Weights, target: Weights, compute: Compute, index: FilterIndex | None = None
    ) -> None:
        """``network`` gives the architecture only. ``index``: the filters; all kernels of all layers if None.

        Raises:
            ValueError: the weights are not of this network or not of one network, or not finite.
        """
        names = shared_names(network)
        require_weights(network, baseline, target, names)
        self.network = compute.place_network(copy.deepcopy(network)).eval()
        self.network.load_state_dict(dict(target))  # also what does not move: counters, masks
        self.index = FilterIndex.of(network) if index is None else index
        self.compute = compute
        self.baseline, self.target = (
            {name: compute.cast(weights[name]) for name in names} for weights in (baseline, target)
        )
        self.change = {name: self.target[name] - value for name, value in self.baseline.items()}
        self.moving = tuple(name for name, value in self.change.items() if value.any())
        self._statistics_move = not set(self.moving) <= {name for name, _ in self.network.named_parameters()}

    def at(self, place: float) -> dict[str, Tensor]:
        """Weights gamma(place), those that move ready to be differentiated by."""
        weights = dict(self.baseline)
        for name in self.moving:
            weights[name] = (weights[name] + place * self.change[name]).requires_grad_()
        return weights

    def restore(self, weights: Weights, lr: Tensor) -> Tensor:
        """SR (n, 3, sH, sW), in the precision of the weights, of LR (n, 3, H, W) with the given weights.

        Raises:
            ValueError: the network returns something else than one tensor.
        """
        with self.compute.autocast(), MovingStatistics() if self._statistics_move else nullcontext():
            output = functional_call(self.network, dict(weights), (self.compute.place(lr),))
        if not isinstance(output, Tensor):
            raise ValueError(f"the network returns a {type(output).__name__}, not one tensor: wrap it")
        return output.to(self.compute.dtype)

    def masked(self, filters: np.ndarray) -> dict[str, Tensor]:
        """The target's weights with the baseline's at the given filters (n,), see :func:`mask`."""
        return mask(self.target, self.baseline, self.index, filters)


def mask(target: Weights, baseline: Weights, index: FilterIndex, chosen: np.ndarray) -> dict[str, Tensor]:
    """The target's weights with the baseline's at the chosen filters (n,); biases stay the target's.

    No filter chosen gives the target, all give the baseline's kernels, bit for bit.
    """
    masked = dict(target)
    for name, flags in index.spread(chosen, target).items():
        masked[name] = torch.where(flags.to(target[name].device), baseline[name], target[name])
    return masked


class MovingStatistics(TorchFunctionMode):
    """Batch and instance norm by running statistics, differentiable by these as well, as PyTorch's own are not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, or :func:`normalize` in place of a norm that uses running statistics."""
        own = NORMS.get(func)
        if own is not None:
            call = inspect.signature(func).bind(*args, **(kwargs or {}))
            call.apply_defaults()
            given = call.arguments
            if given["running_mean"] is not None and not given[own]:
                parts = (given[name] for name in ("input", "running_mean", "running_var", "weight", "bias", "eps"))
                return normalize(*parts)
        return func(*args, **(kwargs or {}))


NORMS: dict[Any, str] = {functional.batch_norm: "training", functional.instance_norm: "use_input_stats"}
"""Functions that take running statistics, and the argument that says not to use them."""


def normalize(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, all but x (N, C, ...) per channel (C,)."""
    gain = (variance + eps).rsqrt()
    gain = gain if weight is None else gain * weight
    shift = -mean * gain if bias is None else bias - mean * gain
    shape = (1, -1, *(1,) * (x.ndim - 2))
    return x * gain.view(shape) + shift.view(shape)


def shared_names(network: nn.Module) -> dict[str, list[str]]:
    """Floating-point parameters and buffers of the state dict: first name -> all names of the same value."""
    names: dict[int, list[str]] = {}
    for name, value in network.state_dict(keep_vars=True).items():
        if value.is_floating_point():
            names.setdefault(id(value), []).append(name)
    return {same[0]: same for same in names.values()}


def require_weights(network: nn.Module, baseline: Weights, target: Weights, names: Mapping[str, list[str]]) -> None:
    """Check that two sets of weights are of one network, this one, and finite, and agree where the network shares.

    Raises:
        ValueError: names the first weight for which it does not hold, and the shapes.
    """
    own = network.state_dict()
    for weights in (own, baseline, target):
        for name, value in weights.items():
            if not isinstance(value, Tensor) or value.is_complex():
                raise ValueError(f"{name} is not a tensor of real numbers: such networks cannot be attributed")
    for name in [*own, *sorted((baseline.keys() | target.keys()) - own.keys())]:
        first, second, expected = (
            tuple(weights[name].shape) if name in weights else None for weights in (baseline, target, own)
        )
        if first != second:
            raise ValueError(f"baseline and target are of different networks: {name} is {first} and {second}")
        if first != expected:
            raise ValueError(f"the weights are of another network: {name} is {first}, but {expected} in the network")
    for which, weights in (("baseline", baseline), ("target", target)):
        for first, same in names.items():
            if not torch.isfinite(weights[first]).all():
                raise ValueError(f"the {which}'s weights of {first} are not finite")
            for name in same[1:]:
                if not torch.equal(weights[name], weights[first]):
                    raise ValueError(f"the network shares {first} with {name}, but the {which}'s values differ")
