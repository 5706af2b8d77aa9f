"""Crops of photographs and batches of images of one size, as tensors for attribution, masking and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faig.base.errors import InputError
from faig.base.params import Count, settings
from faig.data.dead_leaves import PREFIX
from faig.data.pairs import Pair
from faig.data.tensors import to_tensor


@settings
class CropParams:
    """Crops of photographs: how many, and their size in HR pixels."""

    num: Count
    size: Count


@dataclass(frozen=True)
class Crop:
    """Where a crop is taken: the photograph's name, and the crop's top left corner in LR pixels."""

    name: str
    y: int
    x: int


@dataclass(frozen=True)
class Batch:
    """Images of one size: LR (n, 3, H, W) and HR (n, 3, sH, sW), float32 in [0, 1]."""

    names: tuple[str, ...]
    lr: Tensor
    hr: Tensor

    @property
    def scale(self) -> int:
        """The upscaling factor s: HR pixels per LR pixel along each side."""
        return self.hr.shape[-1] // self.lr.shape[-1]


def choose_crops(pairs: Sequence[Pair], params: CropParams, seed: int, *, dead_leaves: bool = False) -> list[Crop]:
    """Choose crops at random, in turn from the photographs among ``pairs`` that are large enough.

    Dead-leaves images are left out; with ``dead_leaves`` they alone are used, and there are no crops if there are none.
    The crops depend on the seed and on the images' names and sizes, not on the order of the pairs.

    Raises:
        InputError: no photograph is large enough, or the size is no multiple of the scale.
    """
    scale = pairs[0].scale
    if params.size % scale:
        raise InputError(f"crops of {params.size} HR pixels are no multiple of the scale {scale}")
    side = params.size // scale
    shapes = {pair.name: pair.lr.shape for pair in pairs if pair.name.startswith(PREFIX) == dead_leaves}
    if dead_leaves and not shapes:
        return []
    usable = sorted(name for name, shape in shapes.items() if min(shape[:2]) >= side)
    if not usable:
        kind = "dead-leaves image" if dead_leaves else "photograph"
        raise InputError(f"no training {kind} is as large as a crop of {params.size} HR pixels: lower size")
    # Corners are drawn in LR pixels, so that LR and HR crops show exactly the same place. They are drawn one after the
    # other, so that a larger ``num`` begins with the crops of a smaller one.
    generator = np.random.default_rng(seed)
    crops = []
    for number in range(params.num):
        name = usable[number % len(usable)]
        y, x = (int(generator.integers(extent - side + 1)) for extent in shapes[name][:2])
        crops.append(Crop(name, y, x))
    return crops


def cut(pairs: Sequence[Pair], degradation: str, crops: Sequence[Crop], size: int) -> list[tuple[Tensor, Tensor]]:
    """Cut the crops out of the images of one degradation, with s the scale.

    Returns:
        LR (1, 3, size/s, size/s) and HR (1, 3, size, size) of each crop, float32 in [0, 1].
    """
    by_name = {pair.name: pair for pair in pairs if pair.degradation == degradation}
    images = []
    for crop in crops:
        pair = by_name[crop.name]
        scale, side = pair.scale, size // pair.scale
        lr = pair.lr[crop.y : crop.y + side, crop.x : crop.x + side]
        hr = pair.hr[crop.y * scale : crop.y * scale + size, crop.x * scale : crop.x * scale + size]
        images.append((to_tensor(lr), to_tensor(hr)))
    return images


def batches(pairs: Sequence[Pair], degradation: str, batch_size: int = 4) -> list[Batch]:
    """Group the images of one degradation into batches of images of one size, ordered by size, then name.

    On the CPU batches of more than about four images are slower: their feature maps no longer fit into the cache.

    Raises:
        InputError: there is no image of the degradation.
    """
    members = sorted((pair.lr.shape, pair.name, pair) for pair in pairs if pair.degradation == degradation)
    if not members:
        raise InputError(f"no image of degradation {degradation} among the pairs: run `dvc repro` again")
    groups: list[list[Pair]] = []
    for shape, _, pair in members:
        if not groups or groups[-1][0].lr.shape != shape or len(groups[-1]) == batch_size:
            groups.append([])
        groups[-1].append(pair)
    return [
        Batch(
            names=tuple(pair.name for pair in group),
            lr=torch.cat([to_tensor(pair.lr) for pair in group]),
            hr=torch.cat([to_tensor(pair.hr) for pair in group]),
        )
        for group in groups
    ]


def single(batches: Sequence[Batch], number: int) -> tuple[Tensor, Tensor]:
    """Take image ``number`` of all batches, LR (1, 3, H, W) and HR (1, 3, sH, sW); after the last comes the first."""
    places = [(batch, place) for batch in batches for place in range(len(batch.names))]
    batch, place = places[number % len(places)]
    return batch.lr[place : place + 1], batch.hr[place : place + 1]
