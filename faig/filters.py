"""Numbering of a network's filters: number <-> (layer, out_channel, in_channel).

A filter is one k x k kernel of a convolution. Filters are numbered in the order of the state dict: layer by layer,
within a layer by output channel, within an output channel by input channel. F = number of filters in all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class FilterIndex:
    """The filters of one network. ``layers`` are names of convolutions, ``shapes`` their (out, in) channels."""

    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, network: nn.Module) -> "FilterIndex":
        """Index of all convolutions of ``network``, in the order in which they were defined.

        Raises:
            ValueError: the network has no convolution.
        """
        convolutions = {name: module for name, module in network.named_modules() if isinstance(module, CONVOLUTIONS)}
        if not convolutions:
            raise ValueError(f"{type(network).__name__} has no convolution, so no filters")
        shapes = tuple((module.weight.shape[0], module.weight.shape[1]) for module in convolutions.values())
        return cls(layers=tuple(convolutions), shapes=shapes)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of filters of each layer."""
        return tuple(num_out * num_in for num_out, num_in in self.shapes)

    @property
    def num_filters(self) -> int:
        """F."""
        return sum(self.sizes)

    @property
    def weights(self) -> tuple[str, ...]:
        """State-dict keys of the layers' kernels."""
        return tuple(f"{layer}.weight".lstrip(".") for layer in self.layers)  # a lone convolution has no name

    @cached_property
    def layer_numbers(self) -> np.ndarray:
        """(F,) position in ``layers`` of each filter's layer."""
        return np.repeat(np.arange(len(self.layers)), self.sizes)

    def locate(self, filters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Filter numbers (n,) -> (position in ``layers``, out_channel, in_channel), each (n,).

        Raises:
            ValueError: a number is outside 0 to F - 1.
        """
        filters = np.asarray(filters)
        if filters.size and (filters.min() < 0 or filters.max() >= self.num_filters):
            raise ValueError(
                f"filter numbers run from 0 to {self.num_filters - 1}, not {filters.min()} to {filters.max()}"
            )
        layer = self.layer_numbers[filters]
        within = filters - np.concatenate([[0], np.cumsum(self.sizes)])[layer]
        num_in = np.array([shape[1] for shape in self.shapes])[layer]
        return layer, within // num_in, within % num_in

    def number(self, layer: np.ndarray, out_channel: np.ndarray, in_channel: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`locate`."""
        first = np.concatenate([[0], np.cumsum(self.sizes)])[layer]
        return first + out_channel * np.array([shape[1] for shape in self.shapes])[layer] + in_channel

    def count_by_layer(self, filters: np.ndarray) -> np.ndarray:
        """How many of the filters (n,) lie in each layer: (number of layers,)."""
        return np.bincount(self.layer_numbers[filters], minlength=len(self.layers))

    def depths(self, filters: np.ndarray) -> np.ndarray:
        """Relative depth of each filter's layer (n,): 0 for the first layer, 1 for the last."""
        return self.layer_numbers[filters] / max(len(self.layers) - 1, 1)

    def collect(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum per-weight values over each filter's taps: state-dict-like (out, in, *k) tensors -> (F,)."""
        return torch.cat([values[key].flatten(2).sum(2).flatten() for key in self.weights])

    def spread(self, chosen: np.ndarray) -> dict[str, Tensor]:
        """Filter numbers (n,) -> by key of ``weights`` a boolean (out, in) tensor, true at the chosen ones."""
        flags = torch.zeros(self.num_filters, dtype=torch.bool)
        flags[torch.from_numpy(np.asarray(chosen, dtype=np.int64))] = True
        parts = torch.split(flags, list(self.sizes))
        return {key: part.view(shape) for key, part, shape in zip(self.weights, parts, self.shapes, strict=True)}


def num_discovered(num_filters: int, ratio: float) -> int:
    """How many filters a share of them is: rounded, and at least one for a ratio above 0.

    Raises:
        ValueError: the ratio is not within 0 to 1.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the share of filters must be from 0 to 1, not {ratio}")
    return max(round(num_filters * ratio), 1 if ratio > 0 else 0)


def discovered(scores: np.ndarray, ratio: float) -> np.ndarray:
    """Numbers of the top ``ratio`` share of filters by score (F,), best first; ties go to the lower number."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    return order[: num_discovered(len(order), ratio)]
