"""What attribution will cost, told beforehand: time and memory of a large image from one pass over a small crop of it.

The cost of a convolutional network grows with the number of pixels, so a crop is run once and scaled. Of memory, most
is what autograd keeps of the forward pass for the backward pass, which it is asked for
(``torch.autograd.graph.saved_tensors_hooks``). Attention over the whole image grows faster than that; over windows, it
does not.
"""

import time
from dataclasses import dataclass, replace

import psutil
import torch
from torch import Tensor

from faig.attribution.engine import restore_image
from faig.attribution.path import PathModel
from faig.base.errors import InputError

PROBE = 32
"""Side of the crop, in input pixels; larger, by doublings, for a network that does not take so small a one."""
REPEATS = 3
"""Timed passes, of which the fastest counts; one before them warms up."""
WEIGHTS = 4
"""How often all weights are in memory in a pass, beside the two sets of the path: at a node, gradients, their sum."""
MAPS = 4
"""How many of the largest feature map the backward pass holds at once: two gradients, and a copy of each within the
convolution (measured: benchmarks/speed/results/cost.json)."""
FORWARD = 1 / 3
"""Time of a forward pass alone, as a share of a gradient pass: the backward pass computes two products for its one."""


@dataclass(frozen=True)
class Cost:
    """One gradient pass, forward and backward, over one image.

    ``pixels``: of the input. ``seconds``: the time. ``kept``: bytes that autograd keeps until the backward pass, and
    ``working``: that it takes beside; both grow with the pixels. ``fixed``: bytes that do not.
    """

    pixels: int
    seconds: float
    kept: float
    working: float
    fixed: int

    @property
    def memory(self) -> float:
        """Peak memory in bytes, beside what is in use before."""
        return self.kept + self.working + self.fixed

    def at(self, pixels: int) -> "Cost":
        """The cost of an image of another size."""
        ratio = pixels / self.pixels
        scaled = {name: getattr(self, name) * ratio for name in ("seconds", "kept", "working")}
        return replace(self, pixels=pixels, **scaled)

    def largest(self, memory: float) -> float:
        """How many pixels an image may have for a pass to take no more than ``memory`` bytes, at least 0."""
        room = max(memory - self.fixed, 0.0)
        return room / (self.kept + self.working) * self.pixels if room else 0.0


def measure_cost(model: PathModel, lr: Tensor) -> Cost:
    """Measure a gradient pass over a crop of ``lr`` (1, C, H, W), or over all of it if it is small.

    Returns:
        The cost of all of ``lr``.

    Raises:
        InputError: the network cannot restore ``lr``.
    """
    side, (height, width) = PROBE, lr.shape[-2:]
    with torch.inference_mode(False), torch.enable_grad():
        while True:
            crop = lr[..., :side, :side].clone()
            try:
                kept = _kept(model, crop)
                break
            except InputError:
                if side >= max(height, width):
                    raise
                side *= 2
        seconds = min(_seconds(model, crop) for _ in range(REPEATS))
    fixed = WEIGHTS * sum(value.numel() * value.element_size() for value in model.change.values())
    cost = Cost(crop.shape[-2] * crop.shape[-1], seconds, sum(kept), MAPS * max(kept, default=0), fixed)
    return cost.at(height * width)


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken on the device; of the CPU those that are available without swapping."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def saved_bytes(model: PathModel, lr: Tensor) -> int:
    """Bytes that autograd keeps of a forward pass over ``lr`` (1, C, H, W), weights not counted.

    Raises:
        InputError: as :func:`measure_cost`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        return sum(_kept(model, lr))


def _kept(model: PathModel, lr: Tensor) -> list[int]:
    """Bytes of each tensor that autograd keeps, each memory once."""
    weights = model.at(0.5)
    shapes = {tuple(sorted(value.shape)) for value in weights.values()}  # also of those cast to bf16, transposed
    kept: dict[int, int] = {}
    held = []  # so that no memory is given away and counted as the same

    def pack(value: Tensor) -> Tensor:
        if tuple(sorted(value.shape)) not in shapes:
            held.append(value)
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        restore_image(model, weights, lr).square().sum(dtype=torch.float64)
    return list(kept.values())


def _seconds(model: PathModel, lr: Tensor) -> float:
    start = time.perf_counter()
    weights = model.at(0.5)
    error = model.restore(weights, lr).square().sum(dtype=torch.float64)
    moving = [weights[name] for name in model.moving]
    gradients = torch.autograd.grad(error, moving, allow_unused=True) if moving else ()
    for value in gradients[:1]:
        _ = value is None or value.sum().item()  # waits for the device
    return time.perf_counter() - start
