"""Numbering of a network's filters: number <-> (layer, out_channel, in_channel).

A filter is one kernel: the weights by which one input channel of a layer enters one of its output channels. In a
convolution, transposed or not, that is one k x k kernel; in a linear layer or an attention's projection, which are
1 x 1 convolutions, it is one weight. With granularity ``channel``, all kernels of one output channel are one filter,
which is mostly what is wanted of linear layers. In a grouped layer only channels of the same group are connected.

Filters are numbered layer by layer as the network defines them, within a layer by output channel, within that by input
channel. Weights that several layers share belong to the first of them. F = number of filters in all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from faig.base.errors import InputError

Granularity = Literal["kernel", "channel"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Parameters that nn.MultiheadAttention multiplies by without a linear layer of their own."""
COMPUTED = ""
"""``Layer.key`` of a weight that is no parameter but computed from others."""
ALL_INPUTS = -1
"""``in_channel`` of a filter that is a whole output channel."""


@dataclass(frozen=True)
class Layer:
    """A layer with filters: its name, the state-dict key of its weight, and how the weight is laid out.

    ``num_out`` counts the layer's output channels, ``num_in`` the input channels that enter each of them: the layer's
    input channels divided by ``groups``. PyTorch lays the weight out as (num_out, num_in, k, k), or as
    (groups * num_in, num_out / groups, k, k) if the layer is ``transposed``; a linear layer has no k.
    """

    name: str
    key: str
    num_out: int
    num_in: int
    groups: int = 1
    transposed: bool = False

    def kernels(self, value: Tensor) -> Tensor:
        """Bring a tensor of the weight's shape into the shape (num_out, num_in, taps), one row of taps per filter."""
        if not self.transposed:
            return value.reshape(self.num_out, self.num_in, -1)  # grouped or not: (num_out, num_in, k, k) already
        # A transposed weight has its input channels first, group after group, and its output channels counted within
        # the group: (groups * num_in, num_out / groups, k, k). Split the groups off, exchange inputs and outputs within
        # each group, and join groups and outputs: output channel = group * (num_out / groups) + output in the group.
        split = value.reshape(self.groups, self.num_in, self.num_out // self.groups, -1)
        return split.transpose(1, 2).reshape(self.num_out, self.num_in, -1)

    def broadcast(self, flags: Tensor, num_dims: int) -> Tensor:
        """Bring one flag per filter into a shape that broadcasts to the weight's; the inverse of :meth:`kernels`.

        Args:
            flags: (num_out, num_in), or (num_out, 1) if a filter is a whole output channel.
            num_dims: of the weight: 4 for a 2-d convolution, 2 for a linear layer.
        """
        if self.transposed:
            # (num_out, num_in) -> (groups, num_out / groups, num_in) -> inputs first, as the weight has them. Flags of
            # whole channels are expanded before, because their one column is not an input channel to be moved.
            split = flags.expand(self.num_out, self.num_in).view(self.groups, -1, self.num_in)
            flags = split.transpose(1, 2).reshape(self.groups * self.num_in, -1)
        return flags.reshape(*flags.shape, *(1,) * (num_dims - 2))  # the k x k taps of a filter share its flag


def find_layers(network: nn.Module) -> Iterator[Layer]:
    """Layers with filters, in the order in which they are defined; a weight that several layers share comes once.

    A weight that is computed from other parameters (as under weight normalisation) has the key :data:`COMPUTED`.
    """
    names = {id(value): name for name, value in network.named_parameters()}
    seen: set[int] = set()
    for name, module in network.named_modules():
        for suffix, value, groups, transposed in _weights(module):
            if value is None or id(value) in seen:
                continue
            seen.add(id(value))
            # The weight's first two sizes are (num_out, num_in), or (groups * num_in, num_out / groups) if transposed.
            num_in, num_out = value.shape[:2] if transposed else value.shape[1::-1]
            shape = (num_out * groups, num_in // groups) if transposed else (num_out, num_in)
            yield Layer(
                ".".join(filter(None, (name, suffix))), names.get(id(value), COMPUTED), *shape, groups, transposed
            )


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor | None, int, bool]]:
    """The weights with filters that a module itself holds: suffix to the module's name, value, groups, transposed."""
    if isinstance(module, CONVOLUTIONS + TRANSPOSED):
        yield "", module.weight, module.groups, isinstance(module, TRANSPOSED)
    elif isinstance(module, nn.Linear):
        yield "", module.weight, 1, False
    elif isinstance(module, nn.MultiheadAttention):
        for name in PROJECTIONS:
            yield name.removesuffix("_weight"), getattr(module, name), 1, False


@dataclass(frozen=True)
class FilterIndex:
    """The filters of one network, numbered from 0 to F - 1; ``entries`` are the layers that hold them."""

    entries: tuple[Layer, ...]
    granularity: Granularity = "kernel"

    @classmethod
    def of(
        cls,
        network: nn.Module,
        *,
        granularity: Granularity = "kernel",
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
    ) -> "FilterIndex":
        """Number the filters of the layers whose names match a pattern of ``include`` and none of ``exclude``.

        Patterns are of the shell's kind: ``body.*``.

        Raises:
            InputError: no layer with filters is left; a pattern matches no layer; a layer's weight is no parameter.
        """
        if granularity not in ("kernel", "channel"):
            raise InputError(f"granularity must be kernel or channel, not {granularity!r}")
        layers = list(find_layers(network))
        for pattern in (*include, *exclude):
            if layers and not any(fnmatchcase(layer.name, pattern) for layer in layers):
                known = ", ".join(layer.name for layer in layers[:5])
                raise InputError(f"no layer is named {pattern!r}; the first layers with filters: {known}")
        left = [
            layer
            for layer in layers
            if any(fnmatchcase(layer.name, pattern) for pattern in include)
            and not any(fnmatchcase(layer.name, pattern) for pattern in exclude)
        ]
        if not left:
            raise InputError(
                f"{type(network).__name__}: no filter is left of {len(layers)} layers with filters "
                f"(include {list(include)}, exclude {list(exclude)})"
            )
        for layer in left:
            if layer.key == COMPUTED:
                raise InputError(
                    f"the weight of {layer.name} is computed from other parameters: make it one of its own first"
                )
        return cls(entries=tuple(left), granularity=granularity)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(entry.name for entry in self.entries)

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(output channels, filters of each output channel) of each layer."""
        return tuple((entry.num_out, entry.num_in if self.granularity == "kernel" else 1) for entry in self.entries)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of filters of each layer."""
        return tuple(num_out * num_in for num_out, num_in in self.shapes)

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of each layer's first filter, (number of layers,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    @property
    def num_filters(self) -> int:
        """Number of filters in all layers together, F."""
        return sum(self.sizes)

    @property
    def keys(self) -> tuple[str, ...]:
        """State-dict keys of the layers' weights."""
        return tuple(entry.key for entry in self.entries)

    @cached_property
    def layer_numbers(self) -> np.ndarray:
        """For each filter, the index of its layer in ``layers``: (F,)."""
        return np.repeat(np.arange(len(self.layers)), self.sizes)

    def locate(self, filters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Filter numbers (n,) -> (index of the layer in ``layers``, out_channel, in_channel), each (n,).

        ``in_channel`` counts all input channels of the layer, not only those of the group; it is :data:`ALL_INPUTS`
        where a filter is a whole output channel.

        Raises:
            InputError: a number is outside 0 to F - 1.
        """
        filters = np.asarray(filters)
        if filters.size and (filters.min() < 0 or filters.max() >= self.num_filters):
            raise InputError(
                f"filter numbers run from 0 to {self.num_filters - 1}, not {filters.min()} to {filters.max()}"
            )
        layer = self.layer_numbers[filters]
        within = filters - self.starts[layer]
        per_output = np.array([shape[1] for shape in self.shapes])[layer]
        out_channel, in_channel = within // per_output, within % per_output
        if self.granularity == "channel":
            return layer, out_channel, np.full_like(within, ALL_INPUTS)
        return layer, out_channel, in_channel + self._first_input(layer, out_channel)

    def number(self, layer: np.ndarray, out_channel: np.ndarray, in_channel: np.ndarray) -> np.ndarray:
        """(index of the layer, out_channel, in_channel), each (n,), -> filter numbers (n,); inverts :meth:`locate`."""
        if self.granularity == "channel":
            return self.starts[layer] + out_channel
        per_output = np.array([shape[1] for shape in self.shapes])[layer]
        return self.starts[layer] + out_channel * per_output + in_channel - self._first_input(layer, out_channel)

    def _first_input(self, layer: np.ndarray, out_channel: np.ndarray) -> np.ndarray:
        """The first input channel of the group to which each output channel belongs, (n,).

        A group holds num_out / groups consecutive output channels and ``num_in`` consecutive input channels. Without
        groups it is always 0.
        """
        outs, ins, groups = np.array([(e.num_out, e.num_in, e.groups) for e in self.entries])[layer].T
        return out_channel // (outs // groups) * ins  # number of the group, times its input channels

    def count_by_layer(self, filters: np.ndarray) -> np.ndarray:
        """How many of the filters (n,), given by number, lie in each layer: (number of layers,)."""
        return np.bincount(self.layer_numbers[filters], minlength=len(self.layers))

    def depths(self, filters: np.ndarray) -> np.ndarray:
        """How deep the layer of each filter (n,) lies: 0 for the first layer, 1 for the last, evenly in between."""
        return self.layer_numbers[filters] / max(len(self.layers) - 1, 1)

    def collect(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum values that belong to single weights over each filter's weights -> (F,).

        Args:
            values: by state-dict key, tensors of the weights' shapes; other keys are left aside.
        """
        # Each layer's values become (num_out, num_in, taps); what remains of them are the filters, in their order.
        taps: int | tuple[int, int] = 2 if self.granularity == "kernel" else (1, 2)
        return torch.cat([entry.kernels(values[entry.key]).sum(taps).flatten() for entry in self.entries])

    def spread(self, chosen: np.ndarray, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mark filters in the weights: the inverse of :meth:`collect`.

        Args:
            chosen: filter numbers (n,).
            weights: by state-dict key; only their numbers of dimensions matter.

        Returns:
            By state-dict key, boolean tensors on the CPU that broadcast to the weights, true at the chosen filters.
        """
        flags = torch.zeros(self.num_filters, dtype=torch.bool)
        flags[torch.from_numpy(np.asarray(chosen, dtype=np.int64))] = True
        parts = torch.split(flags, list(self.sizes))
        return {
            entry.key: entry.broadcast(part.view(shape), weights[entry.key].ndim)
            for entry, part, shape in zip(self.entries, parts, self.shapes, strict=True)
        }

    def places(self, filters: np.ndarray, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Where the weights of filters lie: by state-dict key of their layer, positions in its flattened weight.

        Args:
            filters: their numbers (n,).
            weights: by state-dict key; only their shapes matter.

        Returns:
            (filters of the layer among the n, taps of each), the filters in the order in which they are given.

        Raises:
            InputError: a number is outside 0 to F - 1.
        """
        layers, _, _ = self.locate(filters)
        found = {}
        for number in np.unique(layers):
            entry, shape = self.entries[number], weights[self.entries[number].key].shape
            all_places = entry.kernels(torch.arange(shape.numel()).view(shape)).reshape(self.sizes[number], -1)
            found[entry.key] = all_places[torch.from_numpy(filters[layers == number] - self.starts[number])]
        return found
