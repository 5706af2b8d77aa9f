"""Plug-ins: a few kernels that add an ability to one baseline, in a file of kilobytes.

A plug-in p holds a set S_p of filters and a kernel for each. Put into the baseline's weights theta-bar with strengths
lambda_p, plug-ins give::

    w_i = theta-bar_i + sum over the plug-ins p with i in S_p of lambda_p (kernel_{p,i} - theta-bar_i)

lambda 0 is the baseline, 1 the plug-in as it was trained, both bit for bit. Filters of no plug-in and all biases stay
the baseline's. So plug-ins with no filter in common do not change each other, and any can be taken out again, also from
weights that hold others, by putting the baseline's kernels back at its filters (:func:`remove`).

The differences are what model merging calls task vectors (Ilharco et al. 2023), here sparse from the start.

n = number of the plug-in's filters.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import Weights, mask, shared_names
from faig.base.errors import InputError
from faig.base.files import replacing
from faig.base.params import ParamsError, settings, validate

HEADER_KEY = "plugin"
KERNEL_TYPES = (torch.float32, torch.float16)


@settings
class PluginHeader:
    """What a plug-in's file says in words.

    ``baseline``: :func:`digest` of the baseline that it fits; ``granularity``: what its filters are; ``settings``: how
    it was made, for the reader.
    """

    baseline: str
    granularity: Granularity
    settings: dict[str, Any]


@dataclass(frozen=True)
class Plugin:
    """Kernels at some filters of a baseline.

    ``filters``: their numbers (n,), rising. ``kernels``: the weights of one filter after the other, (number of all
    their taps,), fp32 or fp16.
    """

    filters: np.ndarray
    kernels: Tensor = field(repr=False)
    header: PluginHeader

    @property
    def num_bytes(self) -> int:
        """Size of the plug-in's file."""
        return len(_serialized(self))


def moving_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the floating-point values of a network's state dict; what several layers share is listed once, under
    its first name.
    """
    state = network.state_dict()
    return {name: state[name].detach().clone() for name in shared_names(network)}


def digest(weights: Weights) -> str:
    """SHA-256 of weights: of their names, shapes and fp32 values, in the order of the names."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(f"{name}{tuple(value.shape)}".encode())
        found.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()


def extract(weights: Weights, baseline: Weights, index: FilterIndex, filters: np.ndarray, **about: Any) -> Plugin:
    """The plug-in that holds the kernels which ``weights`` have at the filters (n,).

    Args:
        weights: of a network that was fine-tuned from the baseline: wholly, or those filters alone.
        baseline: what the plug-in will fit; as ``weights``, by first names (:func:`moving_weights`).
        index: numbers the filters.
        filters: in any order, each once.
        about: how it was made, for ``header.settings``.
    """
    chosen = np.sort(filters)
    kernels = [weights[key].flatten()[places].flatten() for key, places in index.places(chosen, weights).items()]
    header = PluginHeader(baseline=digest(baseline), granularity=index.granularity, settings=about)
    return Plugin(chosen, torch.cat([torch.empty(0), *(each.detach().cpu().float() for each in kernels)]), header)


def plug_in(baseline: Weights, index: FilterIndex, plugins: Sequence[tuple[Plugin, float]]) -> dict[str, Tensor]:
    """The baseline's weights with plug-ins in them, each with its strength lambda.

    Args:
        baseline: by first names (:func:`moving_weights`); stays as it is.
        index: numbers the filters.
        plugins: none gives the baseline. Where they share a filter, their changes are added.

    Raises:
        InputError: a plug-in was made for another baseline or for other filters.
    """
    own, weights = digest(baseline), dict(baseline)
    taken = np.zeros(index.num_filters, dtype=bool)
    for plugin, strength in plugins:
        _require_fit(plugin, own, baseline, index)
        first = index.spread(plugin.filters[~taken[plugin.filters]], baseline)
        for key, kernels in _dense(plugin, baseline, index).items():
            moved = torch.lerp(baseline[key], kernels, strength)  # exact at 0 and 1, and where nothing differs
            added = weights[key] + (moved - baseline[key])
            weights[key] = torch.where(first[key].to(moved.device), moved, added)
        taken[plugin.filters] = True
    return weights


def add_tasks(baseline: Weights, tuned: Sequence[tuple[Weights, float]]) -> dict[str, Tensor]:
    """The baseline's weights with whole task vectors added, each times its strength lambda, as of :func:`plug_in`.

    theta-bar + sum over the networks t of lambda_t (theta_t - theta-bar), "task addition" of Ilharco et al. 2023.

    Args:
        baseline: by first names (:func:`moving_weights`); stays as it is.
        tuned: the weights of networks that were fine-tuned from it; none gives the baseline, one with lambda 1 itself.
    """
    weights = dict(baseline)
    for number, (network, strength) in enumerate(tuned):
        for name, value in baseline.items():
            moved = torch.lerp(value, network[name], strength)  # exact at 0 and 1
            weights[name] = weights[name] + (moved - value) if number else moved
    return weights


def remove(weights: Weights, baseline: Weights, index: FilterIndex, plugin: Plugin) -> dict[str, Tensor]:
    """Weights without a plug-in: the baseline's kernels are back at its filters, all else stays.

    Raises:
        InputError: the plug-in was made for another baseline or for other filters.
    """
    _require_fit(plugin, digest(baseline), baseline, index)
    return mask(weights, baseline, index, plugin.filters)


def _require_fit(plugin: Plugin, own: str, baseline: Weights, index: FilterIndex) -> None:
    """Raise InputError unless the plug-in was made for the baseline of this digest, with filters of this numbering."""
    header = plugin.header
    if header.baseline != own:
        raise InputError(
            f"the plug-in was made for the baseline {header.baseline[:12]}, not for this one, {own[:12]}: "
            "take the baseline that it was trained from, or train it anew"
        )
    if header.granularity != index.granularity:
        raise InputError(f"the plug-in's filters are of granularity {header.granularity}, not {index.granularity}")
    num_taps = sum(places.numel() for places in index.places(plugin.filters, baseline).values())
    if num_taps != plugin.kernels.numel():
        raise InputError(f"the plug-in holds {plugin.kernels.numel()} weights, but its filters have {num_taps}")


def _dense(plugin: Plugin, baseline: Weights, index: FilterIndex) -> dict[str, Tensor]:
    """The layers that a plug-in changes, whole: its kernels at its filters, the baseline's elsewhere."""
    layers, start = {}, 0
    for key, places in index.places(plugin.filters, baseline).items():
        values = baseline[key].flatten().clone()
        values[places.flatten()] = plugin.kernels[start : start + places.numel()].to(values)
        layers[key] = values.view(baseline[key].shape)
        start += places.numel()
    return layers


def save_plugin(path: Path, plugin: Plugin) -> None:
    """Write a plug-in as safetensors, atomically; equal plug-ins give equal bytes."""
    with replacing(path) as partial:
        partial.write_bytes(_serialized(plugin))


def _serialized(plugin: Plugin) -> bytes:
    filters = torch.from_numpy(plugin.filters.astype(np.int32))
    header = {HEADER_KEY: json.dumps(asdict(plugin.header), sort_keys=True)}
    return serialize({"filters": filters, "kernels": plugin.kernels}, metadata=header)


def load_plugin(path: Path) -> Plugin:
    """Read a plug-in's file; :func:`plug_in` checks whether it fits.

    Raises:
        InputError: the file is missing, is no plug-in, or holds what no plug-in can.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get(HEADER_KEY, "null"))
            header = validate(HEADER_KEY, content, PluginHeader, source=f"{path}: header")
            filters, kernels = file.get_tensor("filters"), file.get_tensor("kernels")
    except (SafetensorError, json.JSONDecodeError, RecursionError, ParamsError) as error:
        raise InputError(f"{path} is not a plug-in of this project: {error}") from error
    if filters.dtype != torch.int32 or filters.ndim != 1 or (np.diff(filters.numpy(), prepend=-1) <= 0).any():
        raise InputError(f"{path}: filters must be rising numbers from 0 on, as int32")
    if kernels.dtype not in KERNEL_TYPES or kernels.ndim != 1 or not torch.isfinite(kernels).all():
        raise InputError(f"{path}: kernels must be finite numbers in one row, as fp32 or fp16")
    return Plugin(filters.numpy().astype(np.int64), kernels, header)
