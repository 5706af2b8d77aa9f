"""Kernels of blur, (K, K) with sum 1, and convolution with them.

``angle`` is in degrees counter-clockwise from the x axis, all lengths in pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float64]
"""Floating-point values of an image (H, W, 3) or of a kernel."""
MAX_EXPONENT = 1400
"""exp(-700) is near the smallest number of fp64: the limit keeps kernels free of underflow."""


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> Pixels:
    """A sampled Gaussian (size, size), sum 1: ``sigma_x`` pixels along ``angle`` degrees counter-clockwise, ``sigma_y``
    across.

    A sigma of 0 means no spread in that direction. As the Gaussian is sampled at pixel centres, one that is oblique and
    thinner than a pixel (sigma 0 at 30 degrees) misses all pixels but the central one: it changes nothing.
    """
    return _normalized(np.exp(-0.5 * np.minimum(_ellipse(size, sigma_x, sigma_y, angle), MAX_EXPONENT)))


def generalized_kernel(size: int, sigma_x: float, sigma_y: float, angle: float, shape: float) -> Pixels:
    """A generalized Gaussian (size, size), sum 1: exp(-e^shape / 2), with e the squared distance in sigmas.

    ``shape`` 1 is the Gaussian, below 1 has a sharper peak, above 1 a flatter one (Liu et al. 2020).
    """
    return _normalized(np.exp(-0.5 * np.minimum(_ellipse(size, sigma_x, sigma_y, angle) ** shape, MAX_EXPONENT)))


def plateau_kernel(size: int, sigma_x: float, sigma_y: float, angle: float, shape: float) -> Pixels:
    """A plateau (size, size), sum 1: 1 / (1 + e^shape), with e the squared distance in sigmas (Wang et al. 2021)."""
    return _normalized(1 / (1 + _ellipse(size, sigma_x, sigma_y, angle) ** shape))


def sinc_kernel(size: int, cutoff: float) -> Pixels:
    """The ideal low-pass filter cut off at (size, size), sum 1: it rings beside edges, as sharpened pictures do.

    Args:
        size: pixels a side, odd.
        cutoff: the largest frequency that passes, in any direction, as a share of the Nyquist frequency, 0 to 1.
    """
    # omega J1(omega r) / (2 pi r) of Wang et al. 2021, equation 6, with Bessel's function as its integral
    # omega^2 / (2 pi^2) int cos(omega r sin t) cos^2 t dt over half a period, which holds at r = 0, too. The integrand
    # is periodic: equal steps converge faster than any power, once there are more of them than omega r.
    radius = size // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    distance = np.pi * cutoff * np.hypot(x, y)
    num_steps = 2 * size + 16
    kernel = np.zeros((size, size))
    for t in np.pi * np.arange(num_steps) / num_steps:
        kernel += np.cos(distance * np.sin(t)) * np.cos(t) ** 2
    return _normalized(kernel)


def _ellipse(size: int, sigma_x: float, sigma_y: float, angle: float) -> Pixels:
    """Squared distance of each pixel from the centre, in sigmas along and across ``angle``: (size, size)."""
    radius = size // 2
    y, x = np.mgrid[radius : -radius - 1 : -1, -radius : radius + 1].astype(float)  # y points up
    turn = np.deg2rad(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    tiny = 1e-3  # pixels: narrower than any sampling
    return (along / max(sigma_x, tiny)) ** 2 + (across / max(sigma_y, tiny)) ** 2


def _normalized(kernel: Pixels) -> Pixels:
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
