"""The steps of this project's networks, for the page's script, which knows convolutions but no architecture.

Steps: ``base`` (the input enlarged bilinearly, to be added at the end), ``keep`` and ``add`` (a skip connection),
``convolve``, ``rectify`` (a ReLU of some negative slope) and ``shuffle`` (pixels, upwards).
"""

from collections.abc import Sequence
from typing import Any

Step = dict[str, Any]
LEAK = 0.1  # negative slope of both networks' leaky ReLU


def _convolve(name: str, slope: float | None = None) -> list[Step]:
    """A convolution and what comes after it: a ReLU of this negative slope, or nothing."""
    after = [] if slope is None else [{"do": "rectify", "slope": slope}]
    return [{"do": "convolve", "name": name}, *after]


def _upsampling(names: Sequence[str], scale: int) -> list[Step]:
    steps: list[Step] = []
    for name, step in zip(names, {1: [], 2: [2], 3: [3], 4: [2, 2]}[scale], strict=False):
        steps += [*_convolve(name), {"do": "shuffle", "step": step}, {"do": "rectify", "slope": LEAK}]
    return steps


def _srresnet(depth: int, scale: int) -> list[Step]:
    steps: list[Step] = [{"do": "base"}, *_convolve("first", LEAK)]
    for number in range(depth):
        first, second = (f"body.{number}.conv{part}" for part in (1, 2))
        steps += [{"do": "keep"}, *_convolve(first, 0.0), *_convolve(second), {"do": "add"}]
    return [*steps, *_upsampling(("upsample.0", "upsample.3"), scale), *_convolve("high", LEAK), *_convolve("last")]


def _srcnn(depth: int, scale: int) -> list[Step]:
    steps = [step for number in range(depth + 2) for step in _convolve(f"features.{2 * number}", LEAK)]
    place = 2 * depth + 4  # of the module that comes next; an upsampling is three modules
    steps += _upsampling((f"features.{place}", f"features.{place + 3}"), scale)
    place += {1: 0, 2: 3, 3: 3, 4: 6}[scale]
    return [*steps, *_convolve(f"features.{place}", LEAK), *_convolve(f"features.{place + 2}")]


PLANS = {"srresnet": _srresnet, "srcnn": _srcnn}
"""The steps of the networks of :data:`faig.networks.models.NETWORKS`, from their depth and scale."""
