"""HR -> LR: operations in order, one of them the downsampling unless the scale is 1, and 8-bit rounding at the end.

Operations (:mod:`faig.data.operations`, :mod:`faig.data.random_operations`) take and return float64 RGB images
(H, W, 3), nominally in [0, 1], and a generator. ``downsample`` works on 8-bit images as MATLAB's imresize does, so the
image is rounded before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faig.base.errors import InputError
from faig.base.params import ParamsError, validate
from faig.base.seeds import derive_seed
from faig.data.kernels import Pixels
from faig.data.operations import (
    AnisotropicGaussianBlur,
    GaussianBlur,
    GaussianNoise,
    Interpolation,
    Jpeg,
    MotionBlur,
    Operation,
    PoissonNoise,
    Resize,
    Resizing,
    Sinc,
    Size,
    resample,
    to_8bit,
)
from faig.data.random_operations import RandomBlur, RandomJpeg, RandomNoise, RandomResize, RandomSinc

DOWNSAMPLE = "downsample"
SHUFFLE = "shuffle"
GIVEN = "given"
"""In place of a list of operations: LR images are the user's own files (:mod:`faig.data.given`)."""
MAX_GROWTH = 4
"""How many times as long as the HR image's the sides of an image may become on its way: memory."""

OPERATIONS: dict[str, type[Operation] | type[Resizing]] = {
    "gaussian_blur": GaussianBlur,
    "anisotropic_gaussian_blur": AnisotropicGaussianBlur,
    "motion_blur": MotionBlur,
    "gaussian_noise": GaussianNoise,
    "poisson_noise": PoissonNoise,
    "jpeg": Jpeg,
    "sinc": Sinc,
    "resize": Resize,
    "random_blur": RandomBlur,
    "random_sinc": RandomSinc,
    "random_resize": RandomResize,
    "random_noise": RandomNoise,
    "random_jpeg": RandomJpeg,
}


@dataclass(frozen=True)
class Shuffle:
    """Groups of steps, the groups in an order that is drawn anew for each image."""

    groups: tuple[tuple["Step", ...], ...]


Step = Operation | Resizing | Shuffle | Literal["downsample"]
"""One entry of a degradation's list."""


def clean_operations(scale: int) -> list[str]:
    """What the degradation ``clean`` must be in params.yaml: downsampling alone, at scale 1 nothing."""
    return [DOWNSAMPLE] if scale > 1 else []


def parse_operations(key: str, operations: object, *, scale: int) -> tuple[Step, ...]:
    """Parse the list of operations under ``key`` of params.yaml.

    Each is ``downsample``, ``{name: {setting: value}}`` or ``{shuffle: [list, list]}`` of such lists.

    Raises:
        ParamsError: names the key and the place in the list; ``downsample`` must be there once, at scale 1 never.
    """
    steps = _parse_steps(key, operations)
    count = _count_downsamples(steps)
    if scale == 1 and count:
        raise ParamsError(f"params.yaml: {key} must not name {DOWNSAMPLE}: at scale 1, LR is as large as HR")
    if scale > 1 and count != 1:
        raise ParamsError(f"params.yaml: {key} must name {DOWNSAMPLE} exactly once")
    return steps


def _parse_steps(key: str, operations: object) -> tuple[Step, ...]:
    if operations == GIVEN:
        raise ParamsError(f"params.yaml: {key} is {GIVEN}: its LR images are files and cannot be made of others")
    if not isinstance(operations, Sequence) or isinstance(operations, str):
        raise ParamsError(f"params.yaml: {key} must be a list of operations, not {operations!r}")
    return tuple(
        DOWNSAMPLE if item == DOWNSAMPLE else _parse_step(f"{key}.{place}", item)
        for place, item in enumerate(operations)
    )


def _parse_step(key: str, item: Any) -> Step:
    known = ", ".join([DOWNSAMPLE, SHUFFLE, *OPERATIONS])
    if not isinstance(item, dict) or len(item) != 1:
        raise ParamsError(f"params.yaml: {key} = {item!r} must be one operation with its settings; known are {known}")
    [(name, values)] = item.items()
    if name == SHUFFLE:
        if not isinstance(values, list) or len(values) < 2:
            raise ParamsError(f"params.yaml: {key}.{name} must be two lists of operations or more, not {values!r}")
        return Shuffle(tuple(_parse_steps(f"{key}.{name}.{place}", group) for place, group in enumerate(values)))
    if name not in OPERATIONS:
        raise ParamsError(f"params.yaml: {key} names the unknown operation {name!r}; known are {known}")
    return validate(f"{key}.{name}", values, OPERATIONS[name], source="params.yaml")


def _count_downsamples(steps: Sequence[Step]) -> int:
    nested = (_count_downsamples(group) for step in steps if isinstance(step, Shuffle) for group in step.groups)
    return list(steps).count(DOWNSAMPLE) + sum(nested)


def degrade(
    image: np.ndarray,
    operations: Sequence[Step],
    *,
    scale: int,
    downsampling: str,
    generator: np.random.Generator,
) -> np.ndarray:
    """Make the 8-bit LR image (H, W, 3) of an 8-bit HR image (sH, sW, 3): operations in order, rounded at the end.

    An image that has another size than LR in the end is brought to it.

    Raises:
        InputError: a step makes the image larger than :data:`MAX_GROWTH` times HR.
        ValueError: a side is no multiple of the scale.
    """
    frame = _Frame((image.shape[0], image.shape[1]), scale, downsampling, generator)
    return to_8bit(frame.fitted(frame.run(image / 255, operations)))


@dataclass(frozen=True)
class _Frame:
    """What steps need to know beside the image: its HR size, the scale, the kernel of ``downsample``, the generator."""

    hr: Size
    scale: int
    downsampling: str
    generator: np.random.Generator

    @property
    def lr(self) -> Size:
        return self.hr[0] // self.scale, self.hr[1] // self.scale

    def run(self, values: Pixels, steps: Sequence[Step]) -> Pixels:
        for step in steps:
            if isinstance(step, str):
                values = self.downsampled(values)
            elif isinstance(step, Shuffle):
                for place in self.generator.permutation(len(step.groups)):
                    values = self.run(values, step.groups[place])
            elif isinstance(step, Resizing):
                size = (values.shape[0], values.shape[1])
                values = self.resized(values, *step.target(size, self.lr, self.generator))
            else:
                values = step(values, self.generator)
        return values

    def downsampled(self, values: Pixels) -> Pixels:
        if values.shape[:2] == self.hr:
            return downsample(to_8bit(values), self.scale, self.downsampling) / 255
        return self.fitted(values)

    def fitted(self, values: Pixels) -> Pixels:
        """To the LR size: a larger image is averaged, so that nothing aliases, a smaller one interpolated."""
        return resample(values, self.lr, "area" if values.shape[0] > self.lr[0] else "bicubic")

    def resized(self, values: Pixels, size: Size, interpolation: Interpolation) -> Pixels:
        if max(size[0] / self.hr[0], size[1] / self.hr[1]) > MAX_GROWTH:
            raise InputError(
                f"a degradation makes an image of {self.hr[1]} x {self.hr[0]} pixels {size[1]} x {size[0]} pixels "
                f"large: more than {MAX_GROWTH} times is refused, so lower the factors of its resizing operations"
            )
        return resample(values, size, interpolation)


def image_generator(seed: int, degradation: str, name: str) -> np.random.Generator:
    """Make the random generator of one image, which depends neither on the order of images nor on other images."""
    return np.random.default_rng(derive_seed(seed, "synthesize", degradation, name))


# Downsampling


def bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's imresize(image, 1 / scale, "bicubic") of an 8-bit image (sH, sW, 3).

    Antialiased: Keys' cubic kernel (a = -0.5) is widened by the scale. The height is reduced first, then the width.
    """
    # MATLAB keeps the 8-bit type between the two passes, so it rounds and clips after each, and the order matters.
    columns = _round(_resample(image.astype(float), *bicubic_taps(image.shape[0], scale)))
    rows = _round(_resample(columns.swapaxes(0, 1), *bicubic_taps(image.shape[1], scale)))
    return np.ascontiguousarray(rows.swapaxes(0, 1)).astype(np.uint8)


@cache
def bicubic_taps(length: int, scale: int) -> tuple[NDArray[np.intp], Pixels]:
    """Which input pixels make each output pixel, and with what weight: both (length / scale, T), T = 4 scale + 2."""
    # Pixel i covers [i, i + 1) and has its centre at i + 1/2, in the input as in the output: output pixel j lies at
    # (j + 1/2) scale - 1/2 when input pixels lie at 0, 1, 2, ...
    centres = (np.arange(length // scale) + 0.5) * scale - 0.5
    # The cubic kernel reaches 2 pixels to either side, widened 2 scale: at most 4 scale + 1 input pixels, and one more
    # as the first is rounded down. Taps out of reach get weight 0.
    taps = np.floor(centres - 2 * scale).astype(int)[:, None] + np.arange(4 * scale + 2)
    weights = cubic((centres[:, None] - taps) / scale)
    # Beyond the borders the image is mirrored, the edge pixel repeated (-1 -> 0, length -> length - 1). Mirrored at
    # both edges it has the period 2 length, whose second half runs backwards.
    inside = taps % (2 * length)
    return np.where(inside < length, inside, 2 * length - 1 - inside), weights / weights.sum(axis=1, keepdims=True)


def _resample(image: Pixels, taps: NDArray[np.intp], weights: Pixels) -> Pixels:
    """Take weighted sums along the first axis: (L, W, 3), taps and weights (M, T) -> (M, W, 3)."""
    total = np.zeros((len(taps), *image.shape[1:]))
    for tap, weight in zip(taps.T, weights.T, strict=True):
        total += weight[:, None, None] * image[tap]
    return total


def cubic(x: Pixels) -> Pixels:
    """Keys' cubic convolution kernel, a = -0.5 (Keys 1981)."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def bilinear(image: np.ndarray, scale: int) -> np.ndarray:
    """OpenCV's INTER_LINEAR, which the authors used: the 2 x 2 pixels around each output pixel's centre, at any
    scale.

    At scale 2 these are the whole block, so it equals :func:`area`; at 3 (one pixel exactly) and 4 it skips pixels.
    """
    size = (image.shape[1] // scale, image.shape[0] // scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def area(image: np.ndarray, scale: int) -> np.ndarray:
    """The mean over each block of scale x scale pixels, rounded to 8 bits."""
    height, width = image.shape[0] // scale, image.shape[1] // scale
    blocks = image.reshape(height, scale, width, scale, 3).astype(float)
    return _round(blocks.mean(axis=(1, 3))).astype(np.uint8)


DOWNSAMPLING: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bicubic": bicubic,
    "bilinear": bilinear,
    "area": area,
}


def downsample(image: np.ndarray, scale: int, kernel: str) -> np.ndarray:
    """Reduce an 8-bit image (sH, sW, 3) to 8-bit (H, W, 3) by the named kernel of :data:`DOWNSAMPLING`.

    Raises:
        InputError: the kernel is unknown.
        ValueError: a side is no multiple of the scale.
    """
    if kernel not in DOWNSAMPLING:
        raise InputError(f"downsampling = {kernel!r} is not one of {', '.join(DOWNSAMPLING)}")
    if image.shape[0] % scale or image.shape[1] % scale:
        raise ValueError(f"an image of {image.shape[0]} x {image.shape[1]} pixels is no multiple of scale = {scale}")
    return DOWNSAMPLING[kernel](image, scale)


def _round(levels: Pixels) -> Pixels:
    """Clip and round to whole levels 0 to 255, halves up."""
    return np.floor(np.clip(levels, 0, 255) + 0.5)
