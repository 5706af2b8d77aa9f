"""How an image enters a network of someone else's, and how the result leaves it.

The project's images are RGB (N, 3, H, W) in [0, 1], of any size, and their restorations are s times as large. Many
networks ask for more: sides in multiples of a window or a total stride, a margin that their unpadded convolutions eat,
luma instead of RGB. A frame gives them what they ask for and takes it off their output. It hangs on the network as two
hooks, so that names of layers and weights stay as they are.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from faig.base.errors import InputError
from faig.base.params import Scale, settings
from faig.data.quality import gray

SIDES = (64, 128)
"""Pixels a side of the images that a network is tried with first: the larger ones where it refuses the smaller."""
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
"""What sides of an input may have to be multiples of."""


@settings
class Frame:
    """What a network asks of its input.

    ``scale``: output pixels per input pixel along each side. ``channels``: 3 for RGB, 1 for luma, whose colour is then
    upscaled beside it. ``multiple``: sides of the input are multiples of it. ``margin``: input pixels that the image is
    extended by on each side, because convolutions without padding take them away. ``several``: whether the network
    returns several outputs, of which the first is the image.
    """

    scale: Scale
    channels: Literal[1, 3]
    multiple: Annotated[int, Field(ge=1, le=MULTIPLES[-1])]
    margin: Annotated[int, Field(ge=0, le=1024)]
    several: bool

    def attach(self, network: nn.Module) -> nn.Module:
        """Let the network take and return the project's images; returns it."""
        call = _Call(self)
        network.register_forward_pre_hook(call.enter)
        network.register_forward_hook(call.leave)
        return network


@dataclass
class _Call:
    """The two hooks, and what the second must know of the first's input."""

    frame: Frame
    image: Tensor = field(default_factory=lambda: torch.empty(0))

    def enter(self, network: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        """RGB (N, 3, H, W) -> what the network takes: (N, channels, H', W')."""
        [self.image] = arguments
        frame, x = self.frame, self.image
        height, width = x.shape[-2:]
        x = gray(x) if frame.channels == 1 else x
        # The margin all around, then what is missing to the next multiple, to the right and below.
        low = frame.margin
        bottom, right = (low + -(side + 2 * low) % frame.multiple for side in (height, width))
        return (functional.pad(x, (low, right, low, bottom), mode="replicate") if bottom or right else x,)

    def leave(self, network: nn.Module, arguments: tuple[Tensor], output: Tensor | tuple[Tensor, ...]) -> Tensor:
        """What the network made of it -> RGB (N, 3, sH, sW)."""
        frame, image = self.frame, self.image
        self.image = torch.empty(0)
        result = output[0] if frame.several else output
        if not isinstance(result, Tensor) or frame == Frame(
            scale=frame.scale, channels=3, multiple=1, margin=0, several=frame.several
        ):
            return result  # pyright: ignore[reportReturnType] # what is no image is refused where it is used
        s, (height, width) = frame.scale, image.shape[-2:]
        # Convolutions without padding took half of what is missing away on each side.
        top, left = (
            s * frame.margin - (s * given - made) // 2
            for given, made in zip(arguments[0].shape[-2:], result.shape[-2:], strict=True)
        )
        result = result[..., top : top + s * height, left : left + s * width]
        if frame.channels == 3:
            return result
        colour = image - gray(image)  # RGB = luma + this
        upscaled = functional.interpolate(colour, scale_factor=s, mode="bicubic") if s > 1 else colour
        return result + upscaled


def is_framed(network: nn.Module) -> bool:
    """Whether a frame hangs on the network: whether it is a network of someone else's."""
    return any(getattr(hook, "__func__", None) is _Call.leave for hook in network._forward_hooks.values())


def find_frame(network: nn.Module, scale: int) -> Frame:
    """Find out by trying what a network asks of its input.

    Args:
        network: in the mode in which it will be used; tried with gray images of 64 pixels a side and more.
        scale: what it must be.

    Raises:
        InputError: the network takes neither RGB nor luma, has another scale, does not return an image, or restores no
            image whose sides are multiples of 128.
    """
    channels, wide = _accepted(network)
    (first, several), (second, _) = (_restore(network, channels, side, side) for side in (wide, 2 * wide))
    found = (second.shape[-1] - first.shape[-1]) / wide
    if found != scale:
        raise InputError(f"the network upscales by {found:g}, but params.yaml says scale = {scale}: change one of them")
    if first.shape[1] != channels:
        raise InputError(f"the network takes {channels} channels and returns {first.shape[1]}: it must return an image")
    lost = scale * wide - first.shape[-1]
    if lost < 0 or lost % 2:
        raise InputError(f"the network makes {first.shape[-1]} pixels of {wide} at scale {scale}: it cannot be framed")
    margin = -(-lost // (2 * scale))
    for multiple in MULTIPLES:
        # Odd multiples, and no square: what works here works for all sizes that are multiples.
        height, width = wide + multiple, wide + 3 * multiple
        try:
            made = _restore(network, channels, height, width)[0].shape[-2:]
        except InputError:
            continue
        if tuple(made) == (scale * height - lost, scale * width - lost):
            return Frame(scale=scale, channels=channels, multiple=multiple, margin=margin, several=several)
    raise InputError(f"the network restores {wide} x {wide} pixels, but no image that is not square")


def _accepted(network: nn.Module) -> tuple[Literal[1, 3], int]:
    """How many channels the network takes, and the smallest of :data:`SIDES` that it restores."""
    errors = []
    for side in SIDES:
        for channels in (3, 1, 4):
            try:
                _restore(network, channels, side, side)
            except InputError as error:
                errors.append(str(error))
                continue
            if channels == 4:
                raise InputError("the network takes four channels: networks of RGBA images cannot be used")
            return 1 if channels == 1 else 3, side
    raise InputError(f"the network takes neither RGB nor luma: {errors[0]}")


def _restore(network: nn.Module, channels: int, height: int, width: int) -> tuple[Tensor, bool]:
    """What the network makes of a gray image, and whether it returns it among several outputs.

    Raises:
        InputError: the network cannot restore an image of this size, or returns none.
    """
    image = torch.full((1, channels, height, width), 0.5)
    try:
        with torch.no_grad():
            output = network(image)
    except Exception as error:  # whatever the code of others raises
        raise InputError(f"it raises {type(error).__name__} on an input of {tuple(image.shape)}: {error}") from error
    several = isinstance(output, tuple | list) and bool(output)
    result: object = next(iter(output)) if several else output
    if not isinstance(result, Tensor) or result.ndim != 4:
        raise InputError(f"the network returns a {type(output).__name__}, not an image (N, C, H, W): wrap it")
    return result, several
