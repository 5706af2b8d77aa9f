"""Losses that an attribution explains: sums over pixels of a function of the error e = SR - HR.

The paper's is the squared error. A network trained on another loss may be better explained by that one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from faig.base.errors import InputError

LossName = Literal["squared", "absolute", "charbonnier"]
Function = Callable[[Tensor, Tensor], Tensor]
"""SR and HR (1, C, H, W), on the device and in the precision of the network -> the loss, one number."""

CHARBONNIER_EPS = 1e-3
"""Of values in [0, 1], as is customary since LapSRN (Lai et al. 2017, section 3.3)."""
SUM_TOLERANCE = 1e-4
"""How far the losses of an image's tiles may miss that of the whole, as a share of it."""


@dataclass(frozen=True)
class Loss:
    """A loss, and what a factor of ten in it means, in ``decibels``.

    10 for squared errors, whose ratio in dB is the difference in PSNR; 20 for sums that grow with the error's size, so
    that twice the error is 6 dB of every named loss (of Charbonnier's as long as errors are well above its eps).
    """

    function: Function
    decibels: float

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """The loss in fp64, a scalar.

        Raises:
            InputError: the function returns something else than one number.
        """
        value = self.function(sr, hr)
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"the loss must be one number, a tensor of shape (), not {found}")
        return value.double().reshape(())

    def ratio_db(self, value: float, reference: float) -> float:
        """By how many dB a loss is above another, which is above 0."""
        return float(self.decibels * np.log10(value / reference))

    def require_sum(self, parts: list[Tensor], whole: Tensor) -> None:
        """Check that the loss of an image is the sum of those of its tiles, which it must be for tiles to be exact.

        Args:
            parts: the ground truth of all tiles (1, C, h, w).
            whole: the image's (1, C, H, W).

        Raises:
            InputError: it is not; the loss is a mean, say, or compares neighbouring pixels.
        """
        of_parts, of_whole = (
            sum(self(hr + (50 * hr).sin(), hr).item() for hr in images)  # errors unlike each other, from -1 to 1
            for images in (parts, [whole])
        )
        if not abs(of_parts - of_whole) <= SUM_TOLERANCE * abs(of_whole):
            raise InputError(
                f"the loss of an image, {of_whole:.6g}, is not the sum of its tiles', {of_parts:.6g}: with tiles it "
                "must be a sum over pixels, so return a sum instead of a mean, or attribute without tiles"
            )


def squared(sr: Tensor, hr: Tensor) -> Tensor:
    """Sum of e^2."""
    return (sr - hr).square().sum(dtype=torch.float64)


def absolute(sr: Tensor, hr: Tensor) -> Tensor:
    """Sum of ``|e|``; where e is 0, its gradient is 0."""
    return (sr - hr).abs().sum(dtype=torch.float64)


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Sum of sqrt(e^2 + eps^2) (Charbonnier et al. 1994), ``|e|`` made smooth at 0."""
    return ((sr - hr).square() + CHARBONNIER_EPS**2).sqrt().sum(dtype=torch.float64)


LOSSES: dict[LossName, Loss] = {
    "squared": Loss(squared, 10.0),
    "absolute": Loss(absolute, 20.0),
    "charbonnier": Loss(charbonnier, 20.0),
}
SQUARED = LOSSES["squared"]


def resolve_loss(loss: LossName | Function) -> Loss:
    """A named loss, or a function of one's own, whose ratios count in dB as those of squared errors do.

    Raises:
        InputError: no loss has this name.
    """
    if callable(loss):
        return Loss(loss, 10.0)
    if loss not in LOSSES:
        raise InputError(f"loss = {loss!r} is not one of {', '.join(LOSSES)}, nor a function of SR and HR")
    return LOSSES[loss]
