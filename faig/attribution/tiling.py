"""Large images in tiles: each pixel's error is computed from its tile and a halo, so that sums over pixels stay exact.

Only for networks with a finite receptive field: outside of it an input pixel changes no output pixel.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

MAX_PROBE = 1024
"""Largest side, in input pixels, at which a receptive field is looked for."""


@dataclass(frozen=True)
class Tiles:
    """How to cut: tiles of ``size`` input pixels a side, each seen with ``halo`` more on every side within the image.

    Tiles and halo are multiples of ``multiple``, the network's total stride (or window).
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
            raise ValueError(f"{self}: size and halo must be multiples of multiple, size and multiple at least 1")


@dataclass(frozen=True)
class Piece:
    """One tile: its input with the halo, the ground truth of the tile alone, and where that lies in the output.

    ``size``: height and width of the output for ``lr``.
    """

    lr: Tensor
    hr: Tensor
    place: tuple[slice, slice]
    size: tuple[int, int]

    def error(self, sr: Tensor) -> Tensor:
        """Sum of squared errors over the tile, of the output for ``lr``.

        Raises:
            ValueError: the output has not the size or the channels that the ground truth asks for.
        """
        expected = (*self.hr.shape[:-2], *self.size)
        if tuple(sr.shape) != expected:
            raise ValueError(
                f"the network makes {tuple(sr.shape)} of {tuple(self.lr.shape)}, the ground truth asks for {expected}"
            )
        return (sr[..., self.place[0], self.place[1]] - self.hr).square().sum(dtype=torch.float64)


def pieces(lr: Tensor, hr: Tensor, tiles: Tiles | None) -> Iterator[Piece]:
    """Tiles of one image, LR (1, C, H, W) and ground truth (1, C', sH, sW); the whole image if ``tiles`` is None."""
    if tiles is None:
        yield Piece(lr, hr, (slice(None), slice(None)), (hr.shape[-2], hr.shape[-1]))
        return
    scale = scale_of(lr, hr)
    for top in range(0, lr.shape[-2], tiles.size):
        for left in range(0, lr.shape[-1], tiles.size):
            seen, kept, place = [], [], []
            for first, extent in ((top, lr.shape[-2]), (left, lr.shape[-1])):
                last = min(first + tiles.size, extent)
                start = max(first - tiles.halo, 0)
                seen.append(slice(start, min(last + tiles.halo, extent)))
                kept.append(slice(first * scale, last * scale))
                place.append(slice((first - start) * scale, (last - start) * scale))
            crop = lr[..., seen[0], seen[1]]
            size = (crop.shape[-2] * scale, crop.shape[-1] * scale)
            yield Piece(crop, hr[..., kept[0], kept[1]], (place[0], place[1]), size)


def require_exact(restore: Callable[[Tensor], Tensor], lr: Tensor, hr: Tensor, tiles: Tiles, tolerance: float) -> None:
    """Check on the first, the middle and the last tile of an image that a larger halo changes nothing.

    Args:
        restore: (1, C, H, W) -> (1, C', sH, sW).
        tolerance: largest difference of the output, as a share of its largest value.

    Raises:
        ValueError: it does: the halo is too small, ``multiple`` is not the network's stride, or the network sees the
            whole image.
    """
    shown = list(pieces(lr, hr, tiles))
    with torch.no_grad():
        for halo in (tiles.halo + tiles.multiple, 2 * tiles.halo + 2 * tiles.multiple):
            wider = list(pieces(lr, hr, replace(tiles, halo=halo)))
            for number in sorted({0, len(shown) // 2, len(shown) - 1}):
                seen = [piece[number] for piece in (shown, wider)]
                first, second = (restore(piece.lr)[..., piece.place[0], piece.place[1]] for piece in seen)
                if first.shape != second.shape:
                    continue  # an output of another size: the errors of the pieces say so
                difference = (first - second).abs().max().item()
                if not difference <= tolerance * first.abs().max().item():
                    raise ValueError(
                        f"{tiles}: with a larger halo the output of tile {number} differs by {difference:.2g}: "
                        "the halo is too small, `multiple` is not the network's stride, or the network sees the whole "
                        "image and cannot be tiled"
                    )


def scale_of(lr: Tensor, hr: Tensor) -> int:
    """Ground truth pixels per input pixel and side.

    Raises:
        ValueError: the sizes have no common whole factor.
    """
    scale = hr.shape[-1] // lr.shape[-1]
    if scale < 1 or tuple(hr.shape[-2:]) != (lr.shape[-2] * scale, lr.shape[-1] * scale):
        raise ValueError(f"tiles need a whole scale, but {tuple(lr.shape)} becomes {tuple(hr.shape)}")
    return scale


def find_halo(restore: Callable[[Tensor], Tensor], num_channels: int, multiple: int = 1) -> int:
    """Input pixels on each side that an output pixel can depend on, rounded up to ``multiple``.

    One input pixel is set to NaN, which no operation hides; where NaN comes out is what depends on it. Each position
    within ``multiple`` is tried. At last one tile is compared with the same pixels of the whole.

    Args:
        restore: (1, C, H, W) -> (1, C', sH, sW); in fp32 or fp64, fast convolutions may mix neighbouring pixels.
        num_channels: C.

    Raises:
        ValueError: the receptive field is not finite (up to :data:`MAX_PROBE`), or ``multiple`` is not the stride.
    """
    if multiple < 1:
        raise ValueError(f"multiple = {multiple} must be at least 1")
    if isinstance(restore, nn.Module):
        restore = copy.deepcopy(restore).eval()  # in train mode, batch norm's statistics would take up what is probed
    halo = max(_reach(restore, num_channels, shift, multiple) for shift in range(multiple))
    halo = -(-halo // multiple) * multiple
    side = 2 * halo + 4 * multiple
    shape = (1, num_channels, side + 2 * multiple, side + 2 * multiple)
    image = torch.arange(math.prod(shape)).float().square().sin().reshape(shape)  # no two places alike
    inside = slice(multiple, multiple + side)
    with torch.no_grad():
        whole, part = restore(image), restore(image[..., inside, inside])
    scale = scale_of(image, whole)
    first, last = halo * scale, (side - halo) * scale
    kept, same = slice(first, last), slice(first + multiple * scale, last + multiple * scale)
    difference = (whole[..., same, same] - part[..., kept, kept]).abs().max().item()
    if not difference <= 1e-4 * whole.abs().max().item():
        raise ValueError(
            f"the network restores a shifted crop differently (by {difference:.2g}): "
            f"give the `multiple` that its strides or windows need, {multiple} is not it"
        )
    return halo


def _reach(restore: Callable[[Tensor], Tensor], num_channels: int, shift: int, multiple: int) -> int:
    """How far from its own place one input pixel changes the output, in input pixels rounded up."""
    side = 32
    while (side := -(-side // multiple) * multiple) <= MAX_PROBE:
        image = torch.full((1, num_channels, side, side), 0.5)
        pixel = side // 2 // multiple * multiple + shift
        image[..., pixel, pixel] = torch.nan
        with torch.no_grad():
            output = restore(image)
        touched = output.isnan().any(dim=(0, 1))
        scale = output.shape[-1] / side
        places = [torch.nonzero(touched.any(dim=dim)).flatten().tolist() for dim in (0, 1)]
        if not all(places):
            return 0
        low, high = min(map(min, places)), max(map(max, places))
        if low > 0 and high < output.shape[-1] - 1:
            return int(max(-(-(pixel * scale - low) // scale), -(-(high + 1 - (pixel + 1) * scale) // scale), 0))
        side *= 2
    raise ValueError(f"the network has no finite receptive field (up to {MAX_PROBE} pixels), so it cannot be tiled")
