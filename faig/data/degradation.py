"""HR -> LR: operations in order, one of them the downsampling, and 8-bit rounding at the end.

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

from faig.base.params import NonNegative, ParamsError, check, settings
from faig.base.seeds import derive_seed

Image = NDArray[np.float64]


def _require_odd(kernel_size: int) -> int:
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size = {kernel_size} must be odd: an even kernel has no centre")
    return kernel_size


KernelSize = Annotated[int, Field(ge=1, le=255), AfterValidator(_require_odd)]
Angle = Annotated[float, Field(ge=-360, le=360)]
"""Degrees, counter-clockwise from the x axis."""
DOWNSAMPLE = "downsample"


class Operation(Protocol):
    """One step of a degradation."""

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
        """(H, W, 3) -> (H, W, 3)."""
        ...


@settings
class GaussianBlur:
    """Isotropic Gaussian of ``sigma`` HR pixels, cut off at ``kernel_size``; sigma 0 changes nothing."""

    kernel_size: KernelSize
    sigma: NonNegative

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
        """Blur, borders mirrored."""
        return convolve(image, gaussian_kernel(self.kernel_size, self.sigma, self.sigma, 0.0))


@settings
class AnisotropicGaussianBlur:
    """Gaussian of ``sigma_x`` along ``angle`` and ``sigma_y`` across it, in HR pixels."""

    kernel_size: KernelSize
    sigma_x: NonNegative
    sigma_y: NonNegative
    angle: Angle

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
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
            raise ValueError(f"length must be at most kernel_size - 1 = {self.kernel_size - 1}")

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
        """Blur, borders mirrored."""
        return convolve(image, motion_kernel(self.kernel_size, self.length, self.angle))


@settings
class GaussianNoise:
    """Additive, independent per pixel and channel, of standard deviation ``sigma`` (range 0 to 1)."""

    sigma: NonNegative

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
        """Add noise."""
        return image + self.sigma * generator.standard_normal(image.shape)


@settings
class PoissonNoise:
    """Photon noise: white is ``peak`` photons on average, so the variance is the value divided by ``peak``."""

    peak: Annotated[float, Field(gt=0, le=1e9)]  # far beyond what 8 bits show, and NumPy's counts end at 9e18

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
        """Replace each value by a photon count over ``peak``."""
        return generator.poisson(np.clip(image, 0, None) * self.peak) / self.peak


@settings
class Jpeg:
    """JPEG compression at ``quality`` 1 to 100, chroma at half resolution (4:2:0), of the 8-bit image."""

    quality: Annotated[int, Field(ge=1, le=100)]

    def __call__(self, image: Image, generator: np.random.Generator) -> Image:
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


def parse_operations(key: str, operations: object) -> tuple[Operation | Literal["downsample"], ...]:
    """The list of operations under ``key`` of params.yaml: ``downsample`` or ``{name: {setting: value}}`` each.

    Raises:
        ParamsError: names the key and the place in the list.
    """
    if not isinstance(operations, Sequence) or isinstance(operations, str):
        raise ParamsError(f"params.yaml: {key} must be a list of operations, not {operations!r}")
    if list(operations).count(DOWNSAMPLE) != 1:
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
    return check(f"{key}.{name}", values, OPERATIONS[name], source="params.yaml")


def degrade(
    image: np.ndarray,
    operations: Sequence[Operation | Literal["downsample"]],
    *,
    scale: int,
    downsampling: str,
    generator: np.random.Generator,
) -> np.ndarray:
    """8-bit HR (sH, sW, 3) -> 8-bit LR (H, W, 3): operations in order, clipped and rounded at the end.

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
    """Generator of one image: the same for any order of the images and any number of workers."""
    return np.random.default_rng(derive_seed(seed, "synthesize", degradation, name))


def to_8bit(image: Image) -> np.ndarray:
    """Float in [0, 1] -> uint8, clipped, halves rounded up as MATLAB does."""
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


# Kernels


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> Image:
    """Sampled Gaussian (size, size), sum 1; ``sigma_x`` along ``angle`` degrees counter-clockwise, ``sigma_y`` across.

    A sigma of 0 is its limit: no spread in that direction. Sampled at pixel centres: across an oblique line
    thinner than these (0 at 30 degrees), the kernel tends to the identity.
    """
    radius = size // 2
    y, x = np.mgrid[radius : -radius - 1 : -1, -radius : radius + 1].astype(float)  # y points up
    turn = np.deg2rad(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    tiny = 1e-3  # pixels: narrower than any sampling
    exponent = (along / max(sigma_x, tiny)) ** 2 + (across / max(sigma_y, tiny)) ** 2
    kernel = np.exp(-0.5 * np.minimum(exponent, 1400))
    return kernel / kernel.sum()


def motion_kernel(size: int, length: float, angle: float) -> Image:
    """Line of ``length`` pixels through the centre (size, size), sum 1, spread bilinearly over the grid."""
    radius = size // 2
    turn = np.deg2rad(angle)
    places = np.linspace(-length / 2, length / 2, max(2 * int(np.ceil(8 * length)), 1) + 1)
    kernel = np.zeros((size + 1, size + 1))
    for x, y in zip(radius + places * np.cos(turn), radius - places * np.sin(turn), strict=True):
        column, row = int(np.floor(x)), int(np.floor(y))
        right, down = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - down, down], [1 - right, right])
    kernel = kernel[:size, :size]
    return kernel / kernel.sum()


def convolve(image: Image, kernel: Image) -> Image:
    """Convolution per channel, borders mirrored without repeating the edge pixel."""
    blurred = cv2.filter2D(image, cv2.CV_64F, kernel[::-1, ::-1], borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float64)


# Downsampling


def bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's imresize(image, 1 / scale, "bicubic") of an 8-bit image.

    Keys' cubic (a = -0.5) widened by the scale, weights normalised, the edge pixel repeated in the mirrored border;
    rows first, then columns, rounded and clipped to 8 bits after each.
    """
    columns = _round(_resample(image.astype(float), *bicubic_taps(image.shape[0], scale)))
    rows = _round(_resample(columns.swapaxes(0, 1), *bicubic_taps(image.shape[1], scale)))
    return np.ascontiguousarray(rows.swapaxes(0, 1)).astype(np.uint8)


@cache
def bicubic_taps(length: int, scale: int) -> tuple[NDArray[np.intp], Image]:
    """Which input pixels make each output pixel, and with what weight: both (length / scale, T), T = 4 scale + 2."""
    centres = (np.arange(length // scale) + 0.5) * scale - 0.5
    places = np.floor(centres - 2 * scale).astype(int)[:, None] + np.arange(4 * scale + 2)
    weights = cubic((centres[:, None] - places) / scale)
    inside = places % (2 * length)  # a signal mirrored at both edges has the period 2 length
    return np.where(inside < length, inside, 2 * length - 1 - inside), weights / weights.sum(axis=1, keepdims=True)


def _resample(image: Image, taps: NDArray[np.intp], weights: Image) -> Image:
    """Weighted sums along the first axis: (L, W, 3), taps and weights (M, T) -> (M, W, 3)."""
    total = np.zeros((len(taps), *image.shape[1:]))
    for tap, weight in zip(taps.T, weights.T, strict=True):
        total += weight[:, None, None] * image[tap]
    return total


def cubic(x: Image) -> Image:
    """Keys' cubic convolution kernel, a = -0.5 (Keys 1981)."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def bilinear(image: np.ndarray, scale: int) -> np.ndarray:
    """OpenCV's INTER_LINEAR, which the authors used: the 2 x 2 pixels nearest to the place, whatever the scale.

    At scale 2 these are the whole block, so it equals :func:`area`; at 3 (one pixel exactly) and 4 it skips pixels.
    """
    size = (image.shape[1] // scale, image.shape[0] // scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def area(image: np.ndarray, scale: int) -> np.ndarray:
    """Mean over blocks of scale x scale pixels, rounded."""
    height, width = image.shape[0] // scale, image.shape[1] // scale
    blocks = image.reshape(height, scale, width, scale, 3).astype(float)
    return _round(blocks.mean(axis=(1, 3))).astype(np.uint8)


DOWNSAMPLING: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bicubic": bicubic,
    "bilinear": bilinear,
    "area": area,
}


def downsample(image: np.ndarray, scale: int, kernel: str) -> np.ndarray:
    """8-bit (sH, sW, 3) -> 8-bit (H, W, 3) by the named kernel of :data:`DOWNSAMPLING`.

    Raises:
        ValueError: the kernel is unknown, or a side is no multiple of the scale.
    """
    if kernel not in DOWNSAMPLING:
        raise ValueError(f"downsampling = {kernel!r} is not one of {', '.join(DOWNSAMPLING)}")
    if image.shape[0] % scale or image.shape[1] % scale:
        raise ValueError(f"an image of {image.shape[0]} x {image.shape[1]} pixels is no multiple of scale = {scale}")
    return DOWNSAMPLING[kernel](image, scale)


def _round(levels: Image) -> Image:
    """To whole levels 0 to 255, halves up."""
    return np.floor(np.clip(levels, 0, 255) + 0.5)
