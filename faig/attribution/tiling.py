"""Large images in tiles: each pixel's error is computed from its tile and a halo, so that sums over pixels stay exact.

The loss is a sum over pixels, and so are its gradients. If each output pixel depends only on input pixels at most
``halo`` away (a finite receptive field), a tile with that much of the image around it gives the same output within the
tile as the whole image does; the sums over all tiles are then those of the whole, at a tile's memory.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from faig.attribution.losses import SQUARED, Loss
from faig.base.errors import InputError

MAX_PROBE = 1024
"""Largest side, in input pixels, at which a receptive field is looked for."""


@dataclass(frozen=True)
class Tiles:
    """How to cut: tiles of ``size`` input pixels a side, each seen with ``halo`` more on every side within the image.

    Both are multiples of ``multiple``, the network's total stride (or window), in input pixels: a strided network
    treats pixels differently by where they lie in its grid, so each crop must begin on the grid.

    Raises:
        InputError: they are not multiples of it, or ``size`` or ``multiple`` is below 1, or ``halo`` below 0.
    """

    size: int
    halo: int
    multiple: int = 1

    def __post_init__(self) -> None:
        if (
            self.size < 1
            or self.halo < 0
            or self.multiple < 1
            or self.size % self.multiple
            or self.halo % self.multiple
        ):
            raise InputError(f"{self}: size and halo must be multiples of multiple, size and multiple at least 1")


@dataclass(frozen=True)
class Piece:
    """One tile: the network's input ``lr``, halo included, and the ground truth ``hr`` of the tile alone.

    ``inside``: the rows and columns of the output for ``lr`` that belong to the tile, without the halo.
    ``size``: height and width of the output for ``lr``, halo included.
    """

    lr: Tensor
    hr: Tensor
    inside: tuple[slice, slice]
    size: tuple[int, int]

    def error(self, sr: Tensor, loss: Loss = SQUARED) -> Tensor:
        """The loss over the tile in fp64, a scalar; ``sr`` is the network's output for ``lr``.

        Raises:
            InputError: the output has not the size or the channels that the ground truth asks for; the loss is not one
                number.
        """
        expected = (*self.hr.shape[:-2], *self.size)
        if tuple(sr.shape) != expected:
            raise InputError(
                f"the network makes {tuple(sr.shape)} of {tuple(self.lr.shape)}, the ground truth asks for {expected}"
            )
        return loss(sr[..., self.inside[0], self.inside[1]], self.hr)


def pieces(lr: Tensor, hr: Tensor, tiles: Tiles | None) -> Iterator[Piece]:
    """Tiles of one image, LR (1, C, H, W) and ground truth (1, C', sH, sW); the whole image if ``tiles`` is None."""
    if tiles is None:
        yield Piece(lr, hr, (slice(None), slice(None)), (hr.shape[-2], hr.shape[-1]))
        return
    scale = scale_of(lr, hr)
    for top in range(0, lr.shape[-2], tiles.size):
        for left in range(0, lr.shape[-1], tiles.size):
            seen, kept, inside = [], [], []  # along rows, then columns
            for first, extent in ((top, lr.shape[-2]), (left, lr.shape[-1])):
                # Along one side of the image, in input pixels: the tile is [first, last), shorter at the image's end;
                # the network sees [start, last + halo), cut off at the image's borders, where it then pads exactly as
                # it does for the whole image. In output pixels all is `scale` times as large, and within the output,
                # which begins at `start`, the tile begins at first - start.
                last = min(first + tiles.size, extent)
                start = max(first - tiles.halo, 0)
                seen.append(slice(start, min(last + tiles.halo, extent)))
                kept.append(slice(first * scale, last * scale))
                inside.append(slice((first - start) * scale, (last - start) * scale))
            crop = lr[..., seen[0], seen[1]]
            size = (crop.shape[-2] * scale, crop.shape[-1] * scale)
            yield Piece(crop, hr[..., kept[0], kept[1]], (inside[0], inside[1]), size)


def require_exact(restore: Callable[[Tensor], Tensor], lr: Tensor, hr: Tensor, tiles: Tiles, tolerance: float) -> None:
    """Check on the first, the middle and the last tile of an image that a larger halo changes nothing.

    Args:
        restore: (1, C, H, W) -> (1, C', sH, sW).
        lr, hr: the image (1, C, H, W) and its ground truth (1, C', sH, sW).
        tiles: how it is cut.
        tolerance: largest difference of the output, as a share of its largest value.

    Raises:
        InputError: it does: the halo is too small, ``multiple`` is not the network's stride, or the network sees the
            whole image.
    """
    shown = list(pieces(lr, hr, tiles))
    with torch.no_grad():
        # Wider by one step of the grid, which shows a halo just too small; and twice as wide, which also shows that the
        # network sees far more (the image's mean, say, which one step of the grid would hardly change).
        for halo in (tiles.halo + tiles.multiple, 2 * tiles.halo + 2 * tiles.multiple):
            wider = list(pieces(lr, hr, replace(tiles, halo=halo)))
            for number in sorted({0, len(shown) // 2, len(shown) - 1}):
                seen = [piece[number] for piece in (shown, wider)]
                first, second = (restore(piece.lr)[..., piece.inside[0], piece.inside[1]] for piece in seen)
                if first.shape != second.shape:
                    continue  # an output of another size: the errors of the pieces say so
                difference = (first - second).abs().max().item()
                if not difference <= tolerance * first.abs().max().item():
                    raise InputError(
                        f"{tiles}: with a larger halo the output of tile {number} differs by {difference:.2g}: "
                        "the halo is too small, `multiple` is not the network's stride, or the network sees the whole "
                        "image and cannot be tiled"
                    )


def scale_of(lr: Tensor, hr: Tensor) -> int:
    """How many ground truth pixels belong to one input pixel, along one side.

    Raises:
        InputError: the sizes have no common whole factor.
    """
    scale = hr.shape[-1] // lr.shape[-1]
    if scale < 1 or tuple(hr.shape[-2:]) != (lr.shape[-2] * scale, lr.shape[-1] * scale):
        raise InputError(f"tiles need a whole scale, but {tuple(lr.shape)} becomes {tuple(hr.shape)}")
    return scale


def find_halo(restore: Callable[[Tensor], Tensor], num_channels: int, multiple: int = 1) -> int:
    """The halo that a network needs: how far away an input pixel can change an output pixel, in input pixels.

    One input pixel is set to NaN, and the output pixels that become NaN are those that depend on it. Other probes would
    miss some: a small change can be hidden by a ReLU or by rounding, a gradient can be 0 at the probe, but NaN passes
    through every sum, product and activation. Finally a crop is restored and compared with the same pixels of the
    whole.

    Args:
        restore: (1, C, H, W) -> (1, C', sH, sW), the network or a function that calls it; in fp32 or fp64 (fast
            convolutions in bf16 may mix neighbouring pixels).
        num_channels: C, channels of the input.
        multiple: the network's total stride (or window); the result is rounded up to a multiple of it.

    Raises:
        InputError: the receptive field is not finite (up to :data:`MAX_PROBE`), or ``multiple`` is not the stride.
    """
    if multiple < 1:
        raise InputError(f"multiple = {multiple} must be at least 1")
    if isinstance(restore, nn.Module):
        restore = copy.deepcopy(restore).eval()  # in train mode, batch norm's statistics would take up what is probed
    # In a strided network the reach depends on where in the grid the pixel lies, so each position is tried.
    halo = max(_reach(restore, num_channels, shift, multiple) for shift in range(multiple))
    halo = -(-halo // multiple) * multiple  # rounded up: -(-a // b) is the smallest whole number that is at least a / b
    # The comparison: a crop of `side` pixels, `multiple` pixels within an image that is larger by as much on each side.
    # What lies at least a halo within the crop (4 * multiple pixels) must come out as it does from the whole.
    side = 2 * halo + 4 * multiple
    shape = (1, num_channels, side + 2 * multiple, side + 2 * multiple)
    image = torch.arange(math.prod(shape)).float().square().sin().reshape(shape)  # no two pixels alike
    inside = slice(multiple, multiple + side)
    with torch.no_grad():
        whole, part = restore(image.clone()), restore(image[..., inside, inside])  # it may write into its input
    scale = scale_of(image, whole)
    first, last = halo * scale, (side - halo) * scale
    kept = slice(first, last)  # in the crop's output
    same = slice(first + multiple * scale, last + multiple * scale)  # the same pixels in the whole's output
    difference = (whole[..., same, same] - part[..., kept, kept]).abs().max().item()
    if not difference <= 1e-4 * whole.abs().max().item():
        raise InputError(
            f"the network restores a shifted crop differently (by {difference:.2g}): "
            f"give the `multiple` that its strides or windows need, {multiple} is not it"
        )
    return halo


def _reach(restore: Callable[[Tensor], Tensor], num_channels: int, shift: int, multiple: int) -> int:
    """How far from itself one input pixel changes the output, in input pixels rounded up.

    ``shift``: where in the grid of ``multiple`` the pixel lies.
    """
    side = 32
    # The image is doubled until the NaN leaves a margin all around in the output; before, its reach may be cut off.
    while (side := -(-side // multiple) * multiple) <= MAX_PROBE:
        image = torch.full((1, num_channels, side, side), 0.5)
        pixel = side // 2 // multiple * multiple + shift  # near the middle, on the grid, then shifted
        image[..., pixel, pixel] = torch.nan
        with torch.no_grad():
            output = restore(image)
        touched = output.isnan().any(dim=(0, 1))  # (height, width) of the output
        scale = output.shape[-1] / side
        hit = [torch.nonzero(touched.any(dim=dim)).flatten().tolist() for dim in (0, 1)]  # columns, rows with a NaN
        if not all(hit):
            return 0  # nothing depends on this pixel: a stride skips it
        low, high = min(map(min, hit)), max(map(max, hit))
        if low > 0 and high < output.shape[-1] - 1:
            # The pixel's own output is [pixel * scale, (pixel + 1) * scale). How far `low` lies before its start and
            # the end of `high` behind its end, in input pixels, rounded up.
            return int(max(-(-(pixel * scale - low) // scale), -(-(high + 1 - (pixel + 1) * scale) // scale), 0))
        side *= 2
    raise InputError(f"the network has no finite receptive field (up to {MAX_PROBE} pixels), so it cannot be tiled")
