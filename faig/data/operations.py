"""Operations of degradations with fixed settings: blur, noise, JPEG, resizing.

Images are float64 RGB (H, W, 3), nominally in [0, 1].
"""

from typing import Annotated, Literal, Protocol, runtime_checkable

import cv2
import numpy as np
from pydantic import AfterValidator, Field

from faig.base.params import NonNegative, settings
from faig.data.kernels import Pixels, convolve, gaussian_kernel, motion_kernel, sinc_kernel

Size = tuple[int, int]
"""Height and width in pixels."""


def _require_odd(kernel_size: int) -> int:
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size = {kernel_size} must be odd: an even kernel has no centre")
    return kernel_size


KernelSize = Annotated[int, Field(ge=1, le=255), AfterValidator(_require_odd)]
Angle = Annotated[float, Field(ge=-360, le=360)]
"""Degrees, counter-clockwise from the x axis."""
Quality = Annotated[int, Field(ge=1, le=100)]
"""Of JPEG."""
Cutoff = Annotated[float, Field(gt=0, le=1)]
"""A frequency as a share of the Nyquist frequency, half a period a pixel."""
Factor = Annotated[float, Field(gt=0, le=4)]
"""How many times as long the sides of an image become."""
Interpolation = Literal["area", "bilinear", "bicubic"]
"""How :func:`resample` finds values between pixels. Only ``area`` averages over what a smaller image leaves out."""
INTERPOLATIONS: dict[Interpolation, int] = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}


class Operation(Protocol):
    """One step of a degradation: settings that can be called with an image."""

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Degrade an image (H, W, 3) of any size; the result has the same shape and is not clipped.

        All that is random is drawn from ``generator``, the image's own: how much as well as the noise itself.
        """
        ...


@runtime_checkable
class Resizing(Protocol):
    """One step of a degradation that changes the image's size, which the operations after it then find."""

    def target(self, size: Size, lr: Size, generator: np.random.Generator) -> tuple[Size, Interpolation]:
        """The size that an image of ``size`` is to be resampled to, and how; ``lr`` is the size of the LR image."""
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

    quality: Quality

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Encode and decode."""
        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        encoded = cv2.imencode(".jpg", np.ascontiguousarray(to_8bit(image)[:, :, ::-1]), options)[1]
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if decoded is None:
            raise ValueError("OpenCV could not decode its own JPEG")
        return decoded[:, :, ::-1] / 255


@settings
class Sinc:
    """Ideal low-pass filter of ``cutoff``, cut off at ``kernel_size``: it rings beside edges, as sharpening does."""

    kernel_size: KernelSize
    cutoff: Cutoff

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Filter, borders mirrored."""
        return convolve(image, sinc_kernel(self.kernel_size, self.cutoff))


@settings
class Resize:
    """To ``factor`` times the sides that the image then has; factor 1 changes nothing."""

    factor: Factor
    interpolation: Interpolation

    def target(self, size: Size, lr: Size, generator: np.random.Generator) -> tuple[Size, Interpolation]:
        """The size, at least one pixel a side."""
        return times(size, self.factor), self.interpolation


def times(size: Size, factor: float) -> Size:
    """A size times a factor, rounded, at least one pixel a side."""
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def resample(image: Pixels, size: Size, interpolation: Interpolation) -> Pixels:
    """An image (H, W, 3) at another size, its corners kept where they are; its own size changes nothing."""
    if image.shape[:2] == size:
        return image
    resampled = cv2.resize(image, (size[1], size[0]), interpolation=INTERPOLATIONS[interpolation])
    return np.asarray(resampled, np.float64)


def to_8bit(image: Pixels) -> np.ndarray:
    """Turn floats in [0, 1] into uint8, clipped, halves rounded up as MATLAB does (NumPy rounds halves to even)."""
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
