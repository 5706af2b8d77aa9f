"""HR -> LR: operations in order, one of them the downsampling unless the scale is 1, and 8-bit rounding at the end.

Operations take and return float64 RGB images (H, W, 3), nominally in [0, 1], and a generator. ``downsample`` works on
8-bit images as MATLAB's imresize does, so the image is rounded before it.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from faig.base.errors import InputError
from faig.base.params import NonNegative, ParamsError, settings, validate
from faig.base.seeds import derive_seed

Pixels = NDArray[np.float64]
"""Floating-point values of an image (H, W, 3) or of a kernel."""


def _require_odd(kernel_size: int) -> int:
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size = {kernel_size} must be odd: an even kernel has no centre")
    return kernel_size


KernelSize = Annotated[int, Field(ge=1, le=255), AfterValidator(_require_odd)]
Angle = Annotated[float, Field(ge=-360, le=360)]
"""Degrees, counter-clockwise from the x axis."""
DOWNSAMPLE = "downsample"


class Operation(Protocol):
    """One step of a degradation: settings that can be called with an image."""

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Degrade an image (H, W, 3); the result has the same shape and is not clipped."""
        ...


@settings
class GaussianBlur:
    """Isotropic Gaussian of ``sigma`` HR pixels, cut off at ``kernel_size``; sigma 0 changes nothing."""

    kernel_size: KernelSize
    sigma: NonNegative

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Blur, borders mirrored."""
        return convolve(image, gaussian_kernel(self.kernel_size, self.sigma, self.sigma, 0.0))


@settings
class AnisotropicGaussianBlur:
    """Gaussian of ``sigma_x`` along ``angle`` and ``sigma_y`` across it, in HR pixels."""

    kernel_size: KernelSize
    sigma_x: NonNegative
    sigma_y: NonNegative
    angle: Angle

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Blur, borders mirrored."""
        return convolve(image, gaussian_kernel(self.kernel_size, self.sigma_x, self.sigma_y, self.angle))


@settings
class MotionBlur:
    """Mean along a straight line of ``length`` HR pixels at ``angle``; length 0 changes nothing."""

    kernel_size: KernelSize
    length: NonNegative
    angle: Angle

    def __post_init__(self) -> None:
        if self.length > self.kernel_size - 1:
            raise ValueError(f"length = {self.length} must be at most kernel_size - 1 = {self.kernel_size - 1}")

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Blur, borders mirrored."""
        return convolve(image, motion_kernel(self.kernel_size, self.length, self.angle))


@settings
class GaussianNoise:
    """Additive, independent per pixel and channel, of standard deviation ``sigma`` (range 0 to 1)."""

    sigma: NonNegative

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Add noise."""
        return image + self.sigma * generator.standard_normal(image.shape)


@settings
class PoissonNoise:
    """Photon noise: white is ``peak`` photons on average, so the variance is the value divided by ``peak``."""

    peak: Annotated[float, Field(gt=0, le=1e9)]  # far beyond what 8 bits show, and NumPy's counts end at 9e18

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Replace each value by a photon count over ``peak``."""
        return generator.poisson(np.clip(image, 0, None) * self.peak) / self.peak


@settings
class Jpeg:
    """JPEG compression at ``quality`` 1 to 100, chroma at half resolution (4:2:0), of the 8-bit image."""

    quality: Annotated[int, Field(ge=1, le=100)]

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Encode and decode."""
        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        encoded = cv2.imencode(".jpg", np.ascontiguousarray(to_8bit(image)[:, :, ::-1]), options)[1]
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if decoded is None:
            raise ValueError("OpenCV could not decode its own JPEG")
        return decoded[:, :, ::-1] / 255


OPERATIONS: dict[str, type[Operation]] = {
    "gaussian_blur": GaussianBlur,
    "anisotropic_gaussian_blur": AnisotropicGaussianBlur,
    "motion_blur": MotionBlur,
    "gaussian_noise": GaussianNoise,
    "poisson_noise": PoissonNoise,
    "jpeg": Jpeg,
}


def clean_operations(scale: int) -> list[str]:
    """What the degradation ``clean`` must be in params.yaml: downsampling alone, at scale 1 nothing."""
    return [DOWNSAMPLE] if scale > 1 else []


def parse_operations(key: str, operations: object, *, scale: int) -> tuple[Operation | Literal["downsample"], ...]:
    """Parse the list of operations under ``key`` of params.yaml, each ``downsample`` or ``{name: {setting: value}}``.

    Raises:
        ParamsError: names the key and the place in the list; ``downsample`` must be there once, at scale 1 never.
    """
    if not isinstance(operations, Sequence) or isinstance(operations, str):
        raise ParamsError(f"params.yaml: {key} must be a list of operations, not {operations!r}")
    count = list(operations).count(DOWNSAMPLE)
    if scale == 1 and count:
        raise ParamsError(f"params.yaml: {key} must not name {DOWNSAMPLE}: at scale 1, LR is as large as HR")
    if scale > 1 and count != 1:
        raise ParamsError(f"params.yaml: {key} must name {DOWNSAMPLE} exactly once")
    return tuple(
        DOWNSAMPLE if item == DOWNSAMPLE else _parse_operation(f"{key}.{place}", item)
        for place, item in enumerate(operations)
    )


def _parse_operation(key: str, item: Any) -> Operation:
    known = ", ".join([DOWNSAMPLE, *OPERATIONS])
    if not isinstance(item, dict) or len(item) != 1:
        raise ParamsError(f"params.yaml: {key} = {item!r} must be one operation with its settings; known are {known}")
    [(name, values)] = item.items()
    if name not in OPERATIONS:
        raise ParamsError(f"params.yaml: {key} names the unknown operation {name!r}; known are {known}")
    return validate(f"{key}.{name}", values, OPERATIONS[name], source="params.yaml")


def degrade(
    image: np.ndarray,
    operations: Sequence[Operation | Literal["downsample"]],
    *,
    scale: int,
    downsampling: str,
    generator: np.random.Generator,
) -> np.ndarray:
    """Make the 8-bit LR image (H, W, 3) of an 8-bit HR image (sH, sW, 3): operations in order, rounded at the end.

    Raises:
        ValueError: a side is no multiple of the scale.
    """
    values = image / 255
    for operation in operations:
        if operation == DOWNSAMPLE:
            values = downsample(to_8bit(values), scale, downsampling) / 255
        else:
            values = operation(values, generator)
    return to_8bit(values)


def image_generator(seed: int, degradation: str, name: str) -> np.random.Generator:
    """Make the random generator of one image, which depends neither on the order of images nor on other images."""
    return np.random.default_rng(derive_seed(seed, "synthesize", degradation, name))


def to_8bit(image: Pixels) -> np.ndarray:
    """Turn floats in [0, 1] into uint8, clipped, halves rounded up as MATLAB does (NumPy rounds halves to even)."""
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


# Kernels


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> Pixels:
    """A sampled Gaussian (size, size), sum 1: ``sigma_x`` pixels along ``angle`` degrees counter-clockwise, ``sigma_y``
    across.

    A sigma of 0 means no spread in that direction. As the Gaussian is sampled at pixel centres, one that is oblique and
    thinner than a pixel (sigma 0 at 30 degrees) misses all pixels but the central one: it changes nothing.
    """
    radius = size // 2
    y, x = np.mgrid[radius : -radius - 1 : -1, -radius : radius + 1].astype(float)  # y points up
    turn = np.deg2rad(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    tiny = 1e-3  # pixels: narrower than any sampling
    # exp(-700) is near the smallest number of fp64: the limit keeps the kernel free of underflow.
    exponent = (along / max(sigma_x, tiny)) ** 2 + (across / max(sigma_y, tiny)) ** 2
    kernel = np.exp(-0.5 * np.minimum(exponent, 1400))
    return kernel / kernel.sum()


def motion_kernel(size: int, length: float, angle: float) -> Pixels:
    """A line of ``length`` pixels through the centre of (size, size), sum 1, at ``angle`` degrees counter-clockwise."""
    radius = size // 2
    turn = np.deg2rad(angle)
    # About 16 points per pixel of the line; each is shared out bilinearly between the four pixels around it. One row
    # and one column more than needed: the last pixel, too, has a neighbour, whose weight is 0.
    points = np.linspace(-length / 2, length / 2, max(2 * int(np.ceil(8 * length)), 1) + 1)
    kernel = np.zeros((size + 1, size + 1))
    for x, y in zip(radius + points * np.cos(turn), radius - points * np.sin(turn), strict=True):
        column, row = int(np.floor(x)), int(np.floor(y))
        right, down = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - down, down], [1 - right, right])
    kernel = kernel[:size, :size]
    return kernel / kernel.sum()


def convolve(image: Pixels, kernel: Pixels) -> Pixels:
    """Convolve each channel with ``kernel`` (K, K), borders mirrored without repeating the edge pixel."""
    # OpenCV correlates; turning the kernel by 180 degrees makes that a convolution.
    blurred = cv2.filter2D(image, cv2.CV_64F, kernel[::-1, ::-1], borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float64)


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
