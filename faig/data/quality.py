"""How close two images are: PSNR and SSIM of RGB and of luma, and the paper's gradient-map distance.

One rule for all: images are compared as they would be stored, so both are first clipped to [0, 1] and rounded to 8 bits
(:func:`to_8bit`). The figures therefore equal those computed from the PNG files.

Shapes: N images, H x W pixels. Images are floating point (N, 3, H, W), RGB, nominally in [0, 1]; results float64 (N,).
"""

import torch
from torch import Tensor
from torch.nn import functional

from faig.base.errors import InputError

MAX_PSNR = 100.0
"""dB. Identical images, whose PSNR is infinite, get this value, and none gets more. To compare: 128 x 128 RGB images
that differ by one grey level in one value have 95 dB."""

SSIM_RADIUS, SSIM_SIGMA = 5, 1.5  # pixels: an 11 x 11 Gaussian window
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # (K L)^2 with data range L = 1
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
Y_BLACK, Y_RANGE = 16, 219  # grey levels: Y of black, and of white minus black, in 8-bit YCbCr (BT.601)
GRADIENT_EPSILON = 1e-6


def border_of(scale: int) -> int:
    """Pixels to cut on each side before PSNR and SSIM are taken: one scale, as papers on super-resolution do.

    None at scale 1: papers on denoising and deblurring compare whole images.
    """
    return scale if scale > 1 else 0


def to_8bit(images: Tensor) -> Tensor:
    """Clip to [0, 1] and round to multiples of 1/255 (halves to even): float32, any shape; NaN stays NaN."""
    return to_levels(images) / 255


def to_levels(images: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the 256 grey levels: float32 whole numbers 0 to 255, any shape; NaN stays NaN."""
    return images.float().clamp(0, 1).mul(255).round()


def psnr(sr: Tensor, hr: Tensor, border: int) -> Tensor:
    """Peak signal-to-noise ratio over RGB in dB, ``border`` pixels cut on each side: (N,), at most :data:`MAX_PSNR`.

    Raises:
        InputError: the border leaves no pixel, or a value is not finite.
        ValueError: the shapes differ or are no RGB batch.
    """
    # Whole numbers: the float64 sum is exact, so its order (threads, device) does not matter.
    return _psnr(_difference(sr, hr, border))


def psnr_y(sr: Tensor, hr: Tensor, border: int) -> Tensor:
    """:func:`psnr` of :func:`luma`, as papers on super-resolution report it: (N,), dB, peak 255 although Y spans 219.

    RGB is rounded to 8 bits, Y of it is not rounded again: as in the evaluation of BasicSR.
    MATLAB's rgb2ycbcr of 8-bit images rounds Y as well, which lowers PSNR by 0.01 dB at 30 dB and 0.1 dB at 40 dB.

    Raises:
        InputError, ValueError: as :func:`psnr`.
    """
    # Luma is linear but for its offset, so the luma of the difference is the difference of the lumas.
    return _psnr(Y_RANGE / 255 * gray(_difference(sr, hr, border).double()))


def ssim(sr: Tensor, hr: Tensor, border: int) -> Tensor:
    """Structural similarity (Wang et al. 2004), at most 1: mean over the windows of each colour channel, then over RGB.

    Gaussian 11 x 11 window of sigma 1.5, K1 = 0.01, K2 = 0.03, population variances. ``border`` pixels are cut on each
    side first; only windows that lie wholly inside count, as in Wang's code and in scikit-image.

    Raises:
        InputError, ValueError: as :func:`psnr`; also when less than one window is left.
    """
    return _ssim(*_stored(sr, hr, border))


def ssim_y(sr: Tensor, hr: Tensor, border: int) -> Tensor:
    """:func:`ssim` of :func:`luma`, of which, too, only RGB is rounded: (N,), at most 1.

    Raises:
        InputError, ValueError: as :func:`ssim`.
    """
    return _ssim(*map(luma, _stored(sr, hr, border)))


def _difference(sr: Tensor, hr: Tensor, border: int) -> Tensor:
    """Difference of two RGB batches without their borders in grey levels: (N, 3, H, W), whole numbers."""
    check_pair(sr, hr, border, min_size=1)
    return to_levels(_cut(sr, border)) - to_levels(_cut(hr, border))


def _psnr(difference: Tensor) -> Tensor:
    """PSNR of a difference (N, C, H, W) in grey levels: (N,)."""
    mse = difference.square().sum(dim=(1, 2, 3), dtype=torch.float64) / difference[0].numel()
    return (10 * torch.log10(255**2 / mse)).clamp(max=MAX_PSNR)


def _stored(sr: Tensor, hr: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """Two RGB batches without their borders, rounded to 8 bits, on which SSIM has a window at least."""
    check_pair(sr, hr, border, min_size=2 * SSIM_RADIUS + 1)
    return to_8bit(_cut(sr, border)), to_8bit(_cut(hr, border))


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of images (N, C, H, W) in [0, 1], the mean over channels: (N,)."""
    # var(x) = E[x^2] - E[x]^2 loses digits where the mean is large. A shift leaves variances as they are, so the images
    # are moved to lie around 0, and the means are moved back below.
    x, y = first - 0.5, second - 0.5
    # SSIM needs the sum of both variances only, so x^2 + y^2 is blurred at once. All four are (N, C, H - 10, W - 10).
    mean_x, mean_y, mean_squares, mean_xy = _blur(torch.stack([x, y, x.square() + y.square(), x * y]))
    variances = mean_squares - (mean_x.square() + mean_y.square())  # var(x) + var(y)
    covariance = mean_xy - mean_x * mean_y
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    # SSIM = luminance * structure, equation 13 of Wang et al. with the constants C1 and C2.
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x.square() + mean_y.square() + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variances + SSIM_C2)
    return (luminance * structure).mean(dim=(1, 2, 3), dtype=torch.float64)


def gray(images: Tensor) -> Tensor:
    """Luma of RGB by the weights of ITU-R BT.601: (N, 3, H, W) -> (N, 1, H, W), same range."""
    red, green, blue = images.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def luma(images: Tensor) -> Tensor:
    """Y of YCbCr for RGB in [0, 1]: (N, 3, H, W) -> (N, 1, H, W), from 16/255 (black) to 235/255 (white).

    MATLAB's rgb2ycbcr: Y = (65.481 R + 128.553 G + 24.966 B) / 255 + 16 / 255; the weights are 219 times :data:`LUMA`.
    """
    return (Y_RANGE * gray(images) + Y_BLACK) / 255


def gradient_map(gray: Tensor) -> Tensor:
    """sqrt(v^2 + h^2 + 1e-6), v and h the central differences [-1, 0, 1], zero padded: (N, 1, H, W) -> (N, 1, H, W)."""
    padded = functional.pad(gray, (1, 1, 1, 1))
    vertical = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    horizontal = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return (vertical.square() + horizontal.square() + GRADIENT_EPSILON).sqrt()


def gradient_distance(a: Tensor, b: Tensor) -> Tensor:
    """The paper's measure of a lost function: MSE between the gradient maps of the gray images, times 1000: (N,), >= 0.

    The images are compared whole, without a cut border; gray values in [0, 1].

    Raises:
        InputError: a value is not finite.
        ValueError: the shapes differ or are no RGB batch.
    """
    check_pair(a, b, border=0, min_size=1)
    difference = gradient_map(gray(to_8bit(a))) - gradient_map(gray(to_8bit(b)))
    return 1000 * difference.square().mean(dim=(1, 2, 3), dtype=torch.float64)


def _cut(images: Tensor, border: int) -> Tensor:
    height, width = images.shape[-2:]
    return images[..., border : height - border, border : width - border]


def _blur(planes: Tensor) -> Tensor:
    """Weight with the Gaussian window over the last two axes, no padding: (..., H, W) -> (..., H - 10, W - 10)."""
    return _blur_axis(_blur_axis(planes, dim=-2), dim=-1)


def _blur_axis(planes: Tensor, dim: int) -> Tensor:
    """One axis of :func:`_blur` as a sum of 11 shifted copies: on the CPU nine times as fast as ``conv2d``."""
    offsets = torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1, dtype=torch.float64)
    # The softmax of -x^2 / (2 sigma^2) is the Gaussian, normalised to sum 1.
    weights = torch.softmax(-0.5 * (offsets / SSIM_SIGMA) ** 2, dim=0).tolist()
    length = planes.shape[dim] - 2 * SSIM_RADIUS
    blurred = planes.narrow(dim, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        blurred.add_(planes.narrow(dim, shift, length), alpha=weight)
    return blurred


def check_pair(a: Tensor, b: Tensor, border: int, min_size: int) -> None:
    """Check that two images can be compared once ``border`` pixels are cut on each side.

    Raises:
        InputError: less than ``min_size`` x ``min_size`` pixels are left, or a value is not finite.
        ValueError: the shapes differ or are no RGB batch.
    """
    shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise ValueError(f"expected two RGB batches of one shape (N, 3, H, W), got {shapes}")
    if not (a.is_floating_point() and b.is_floating_point()):
        raise ValueError(f"expected floating-point images in [0, 1], got {a.dtype} and {b.dtype}: divide 8 bits by 255")
    size = min(a.shape[-2:])
    if border < 0 or size - 2 * border < min_size:
        raise InputError(
            f"a border of {border} pixels leaves too little of {a.shape[-2]} x {a.shape[-1]} pixels: "
            f"the border must be 0 or more and leave at least {min_size} x {min_size}"
        )
    for images in (a, b):
        if not torch.isfinite(images).all():
            raise InputError("an image holds NaN or infinity: check the network that made it")
