"""What a visitor asks for, and the input that is made of a photograph.

All that is asked for is checked again, since a request can be written by hand.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from faig.base.errors import InputError
from faig.data.degradation import Step, clean_operations, degrade, image_generator, parse_operations
from faig.data.images import crop_to_multiple
from faig.experiments.modulation import MAX_LAMBDA
from tools.demo.filters import SEED
from tools.demo.plugins import Held
from tools.demo.sharing import Recent
from tools.demo.uploads import Photograph

TILE = 256
"""Pixels a side of the networks' input."""
LIMITS = {"blur": (0.0, 4.0), "noise": (0.0, 0.3), "jpeg": (10.0, 100.0)}
"""Of the degradations' sliders: sigma of the blur in HR pixels, of the noise as a share of white, JPEG's quality."""
NO_JPEG = 100.0
PLUGGED = "plugins"
LEFT = {
    "input": "the input, upscaled",
    "target": "restored by the target",
    "baseline": "restored by the baseline",
    PLUGGED: "restored by the baseline with plug-ins",
}
"""What can be shown left of the divider, the last of them where a plug-in has been put in."""


@dataclass(frozen=True)
class Wish:
    """What a visitor asks for: a tile of a photograph, its degradation, and the dials.

    ``left``, ``top``: where the tile lies, as shares (0 to 1) of the room that there is. ``as_it_is``: the photograph
    itself is the input. ``dials``: lambda of each ability. ``plugins``: those put into the
    baseline, each with its strength.
    """

    pair: str
    left: float = 0.5
    top: float = 0.5
    as_it_is: bool = False
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = NO_JPEG
    method: str = "faig"
    ratio: float = 0.01
    dials: tuple[float, ...] = ()
    plugins: tuple[tuple[Held, float], ...] = ()
    shown: str = "input"

    def __post_init__(self) -> None:
        """Refuse what no slider could have sent.

        Raises:
            InputError: names what is out of its range.
        """
        for name, value in (("left", self.left), ("top", self.top)):
            require_within(f"the tile's place ({name})", value, 0, 1)
        for name, (low, high) in LIMITS.items():
            require_within(name, getattr(self, name), low, high)
        for value in self.dials:
            require_within("a dial", value, 0, MAX_LAMBDA)
        for held, value in self.plugins:
            require_within(f"the strength of {held.name}", value, 0, MAX_LAMBDA)
        if self.shown not in LEFT:
            raise InputError(f"{self.shown!r} cannot be shown on the left")


def require_within(what: str, value: object, low: float, high: float) -> None:
    """Check one number of a request.

    Raises:
        InputError: it is no number from ``low`` to ``high``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{what} must be a number from {low:g} to {high:g}, not {value!r}")
    if not low <= value <= high:
        raise InputError(f"{what} must be from {low:g} to {high:g}, not {value:g}: nothing was changed")


def share_of(ratio: object) -> float:
    """The share of filters that the slider stands at, in %.

    Raises:
        InputError: it is no number.
    """
    if not isinstance(ratio, int | float) or not math.isfinite(ratio):
        raise InputError("the share of filters must be a number")
    return ratio / 100


@dataclass(frozen=True)
class Tile:
    """An input: ``lr`` (H, W, 3), the original ``hr`` (sH, sW, 3) or None, both uint8, and what stands for it."""

    lr: np.ndarray
    hr: np.ndarray | None
    key: tuple


def make_tile(photograph: Photograph, wish: Wish, scale: int, downsampling: str, made: Recent[np.ndarray]) -> Tile:
    """The networks' input: the tile of the photograph itself, or degraded.

    Args:
        photograph: what the tile is cut from.
        wish: where it lies, and how it is degraded.
        scale, downsampling: of the networks.
        made: tiles that were degraded before; this one is added.
    """
    pixels = crop_to_multiple(photograph.pixels, 1 if wish.as_it_is else scale)
    top, left, height, width = place_of(pixels.shape[:2], wish, scale)
    own = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    key = (photograph.digest, wish.as_it_is, top, left, height, width, scale)
    if wish.as_it_is:
        return Tile(own, None, key)
    key = (*key, downsampling, wish.blur, wish.noise, wish.jpeg)
    return Tile(made.get(key, lambda: degrade_tile(own, wish, scale, downsampling)), own, key)


def place_of(size: tuple[int, int], wish: Wish, scale: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the tile in a photograph of (height, width), in the photograph's pixels."""
    step = 1 if wish.as_it_is else scale
    height, width = (min(TILE * step, extent) for extent in size)
    top = round(wish.top * (size[0] - height) / step) * step
    left = round(wish.left * (size[1] - width) / step) * step
    return min(top, size[0] - height), min(left, size[1] - width), height, width


def degrade_tile(hr: np.ndarray, wish: Wish, scale: int, downsampling: str) -> np.ndarray:
    """The LR tile: blur, downsampling, noise, JPEG, as the project's degradations have them; the noise is always the
    same.
    """
    steps: list = []
    if wish.blur > 0:
        steps.append({"gaussian_blur": {"kernel_size": 4 * math.ceil(2 * wish.blur) + 5, "sigma": float(wish.blur)}})
    steps += clean_operations(scale)
    if wish.noise > 0:
        steps.append({"gaussian_noise": {"sigma": float(wish.noise)}})
    if wish.jpeg < NO_JPEG:
        steps.append({"jpeg": {"quality": round(wish.jpeg)}})
    operations: tuple[Step, ...] = parse_operations("the sliders", steps, scale=scale)
    generator = image_generator(SEED, "page", "tile")
    return degrade(hr, operations, scale=scale, downsampling=downsampling, generator=generator)


def upscaled(lr: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic interpolation of an image (H, W, 3)."""
    return cv2.resize(lr, (lr.shape[1] * scale, lr.shape[0] * scale), interpolation=cv2.INTER_CUBIC)
