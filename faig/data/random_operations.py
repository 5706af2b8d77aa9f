"""Operations whose kind and strength are drawn anew for each image: what networks for photographs of unknown origin
are trained on (Real-ESRGAN: Wang et al. 2021, arXiv 2107.10833).

``probability`` is that of doing anything; pairs of numbers are ranges, both ends included, drawn from evenly.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, Field

from faig.base.params import NonNegative, Unique, settings
from faig.data.kernels import Pixels, convolve, gaussian_kernel, generalized_kernel, plateau_kernel, sinc_kernel
from faig.data.operations import Cutoff, Interpolation, Jpeg, KernelSize, Quality, Size, times

Kind = TypeVar("Kind", bound=str)
Number = TypeVar("Number", int, float)

PHOTONS = 256
"""Photons at white that Poisson noise counts, before its deviation is scaled."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Brightness of red, green and blue (ITU-R BT.601)."""


def _require_range(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    if ends[0] > ends[1]:
        raise ValueError(f"[{ends[0]}, {ends[1]}] is an empty range: the first number must be at most the second")
    return ends


def _require_shares(shares: Mapping[Kind, float]) -> Mapping[Kind, float]:
    if abs((total := sum(shares.values())) - 1) > 1e-6:
        raise ValueError(f"the probabilities of {', '.join(shares) or 'nothing'} add up to {total:g}, not to 1")
    return shares


Range = AfterValidator(_require_range)
"""Marks a pair of numbers that must not fall."""
Shares = AfterValidator(_require_shares)
"""Marks probabilities by kind that must add up to 1; a kind that is not named never occurs."""
Probability = Annotated[float, Field(ge=0, le=1)]
KernelSizes = Annotated[tuple[KernelSize, KernelSize], Range]
Cutoffs = Annotated[tuple[Cutoff, Cutoff], Range]
Levels = Annotated[tuple[NonNegative, NonNegative], Range]
Shape = Annotated[float, Field(gt=0, le=20)]
Shapes = Annotated[tuple[Shape, Shape], Range]
Enlarging = Annotated[float, Field(ge=1, le=4)]
Shrinking = Annotated[float, Field(gt=0, le=1)]

BlurKind = Literal[
    "isotropic",
    "anisotropic",
    "generalized_isotropic",
    "generalized_anisotropic",
    "plateau_isotropic",
    "plateau_anisotropic",
    "sinc",
]


@settings
class RandomBlur:
    """A kernel of one of the ``kinds``: Gaussian, generalized Gaussian, plateau, each round or not; or sinc.

    Kernels have an odd size and ``sigma`` pixels of the image as it is then; those that are not round have two sigmas
    and any angle. The shapes are the exponents of :func:`generalized_kernel` and :func:`plateau_kernel`: one half of
    them is drawn below 1, the other above. ``cutoff`` is the sinc filter's.
    """

    probability: Probability
    kinds: Annotated[dict[BlurKind, NonNegative], Shares]
    kernel_size: KernelSizes
    sigma: Levels
    generalized_shape: Shapes
    plateau_shape: Shapes
    cutoff: Cutoffs

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Blur, borders mirrored."""
        return convolve(image, self.kernel(generator)) if generator.random() < self.probability else image

    def kernel(self, generator: np.random.Generator) -> Pixels:
        """Draw a kernel (K, K)."""
        kind, size = draw_kind(self.kinds, generator), draw_size(self.kernel_size, generator)
        if kind == "sinc":
            return sinc_kernel(size, generator.uniform(*self.cutoff))
        family, _, form = kind.rpartition("_")
        sigma = generator.uniform(*self.sigma)
        across, angle = sigma, 0.0
        if form == "anisotropic":
            across, angle = generator.uniform(*self.sigma), generator.uniform(-180, 180)
        match family:
            case "generalized":
                return generalized_kernel(size, sigma, across, angle, draw_shape(self.generalized_shape, generator))
            case "plateau":
                return plateau_kernel(size, sigma, across, angle, draw_shape(self.plateau_shape, generator))
            case _:
                return gaussian_kernel(size, sigma, across, angle)


@settings
class RandomSinc:
    """A sinc filter of odd size: ringing and overshoot beside edges."""

    probability: Probability
    kernel_size: KernelSizes
    cutoff: Cutoffs

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Filter, borders mirrored."""
        if generator.random() >= self.probability:
            return image
        return convolve(image, sinc_kernel(draw_size(self.kernel_size, generator), generator.uniform(*self.cutoff)))


@settings
class RandomResize:
    """To more (``up``) or fewer (``down``) times as many pixels a side, or 1 time (``keep``).

    Times what ``of`` says: ``image``, the sides that the image then has, or ``lr``, those of the LR image.
    ``interpolations``: each as likely as the others.
    """

    of: Literal["image", "lr"]
    kinds: Annotated[dict[Literal["up", "down", "keep"], NonNegative], Shares]
    up: Annotated[tuple[Enlarging, Enlarging], Range]
    down: Annotated[tuple[Shrinking, Shrinking], Range]
    interpolations: Annotated[tuple[Interpolation, ...], Unique, Field(min_length=1)]

    def target(self, size: Size, lr: Size, generator: np.random.Generator) -> tuple[Size, Interpolation]:
        """Draw the size and the interpolation."""
        factors = {"up": self.up, "down": self.down, "keep": (1.0, 1.0)}[draw_kind(self.kinds, generator)]
        interpolation = self.interpolations[generator.integers(len(self.interpolations))]
        return times(lr if self.of == "lr" else size, generator.uniform(*factors)), interpolation


@settings
class RandomNoise:
    """Noise of one of the ``kinds``; ``gray`` is the probability that all channels have the same.

    Gaussian noise has ``sigma`` (range 0 to 1). Poisson noise is that of 256 photons at white, of the brightness where
    it is gray, times ``poisson_scale``.
    """

    probability: Probability
    kinds: Annotated[dict[Literal["gaussian", "poisson"], NonNegative], Shares]
    gray: Probability
    sigma: Levels
    poisson_scale: Levels

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Add noise."""
        if generator.random() >= self.probability:
            return image
        kind, is_gray = draw_kind(self.kinds, generator), generator.random() < self.gray
        seen = image @ LUMA[:, None] if is_gray else image  # (H, W, 1 or 3)
        if kind == "gaussian":
            return image + generator.uniform(*self.sigma) * generator.standard_normal(seen.shape)
        counts = generator.poisson(np.clip(seen, 0, None) * PHOTONS)
        return image + generator.uniform(*self.poisson_scale) * (counts / PHOTONS - np.clip(seen, 0, None))


@settings
class RandomJpeg:
    """JPEG compression at a quality of the range, as :class:`Jpeg`."""

    probability: Probability
    quality: Annotated[tuple[Quality, Quality], Range]

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Encode and decode."""
        if generator.random() >= self.probability:
            return image
        return Jpeg(quality=int(generator.integers(*self.quality, endpoint=True)))(image, generator)


def draw_kind(shares: Mapping[Kind, float], generator: np.random.Generator) -> Kind:
    """One of the kinds, by their probabilities."""
    kinds, weights = list(shares), np.array(list(shares.values()))
    return kinds[generator.choice(len(kinds), p=weights / weights.sum())]


def draw_size(sizes: tuple[int, int], generator: np.random.Generator) -> int:
    """An odd number of the range, whose ends are odd."""
    return sizes[0] + 2 * int(generator.integers((sizes[1] - sizes[0]) // 2, endpoint=True))


def draw_shape(shapes: tuple[float, float], generator: np.random.Generator) -> float:
    """A number of the range: if 1 is in it, with equal chances one up to 1 or one from 1 on."""
    low, high = shapes
    if low <= 1 <= high:
        low, high = (low, 1.0) if generator.random() < 0.5 else (1.0, high)
    return generator.uniform(low, high)
