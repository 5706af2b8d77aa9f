"""Training patches, drawn at random from pairs in memory."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from faig.base.processes import ALONE, Group
from faig.data.pairs import Pair


class PatchSampler:
    """Random aligned HR and LR patches: a degradation by its weight, then an image, a place, and one of 8 symmetries.

    A batch holds each degradation as often as its weight says, but for one patch: losses of degradations differ much,
    and their chance numbers would only add noise to the gradient.

    Batch ``n`` depends on the seed and ``n`` alone, so a run that goes on from a checkpoint sees the same batches.
    Of several processes, each gets every so many'th patch of a batch.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        mixture: Mapping[str, float],
        *,
        patch_size: int,
        batch_size: int,
        seed: int,
        group: Group = ALONE,
    ) -> None:
        """``mixture``: relative weight of each degradation; ``patch_size`` in HR pixels.

        Raises:
            ValueError: the patch is no multiple of the scale or larger than an image, a degradation has no pair, or
                the batch cannot be shared out equally.
        """
        self.names = sorted(mixture)
        self.edges = np.cumsum([mixture[name] for name in self.names])[:-1] / sum(mixture.values())
        self.pairs = {name: [pair for pair in pairs if pair.degradation == name] for name in self.names}
        self.scale = pairs[0].scale
        self.size = patch_size // self.scale
        self.batch_size = batch_size
        self.seed = seed
        self.group = group
        if batch_size % group.size:
            raise ValueError(f"batch_size = {batch_size} must be a multiple of the {group.size} processes")
        if patch_size % self.scale:
            raise ValueError(f"patch_size = {patch_size} must be a multiple of the scale {self.scale}")
        for name, members in self.pairs.items():
            if not members:
                raise ValueError(f"no training pair of degradation {name}")
            for pair in members:
                if min(pair.lr.shape[:2]) < self.size:
                    raise ValueError(f"training image {pair.name} is smaller than patch_size = {patch_size}")

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """This process's part of batch ``number``: LR (N, 3, p/s, p/s) and HR (N, 3, p, p) float32 in [0, 1].

        p = patch_size.
        """
        generator = np.random.default_rng([self.seed, number])
        patches = [self._patch(self.names[number], generator) for number in self._draw(generator)]
        lr, hr = (np.stack(images) for images in zip(*self.group.share(patches), strict=True))
        return _to_batch(lr), _to_batch(hr)

    def labels(self, number: int) -> Tensor:
        """Degradation of each of these patches: positions in ``names``, (N,)."""
        drawn = self._draw(np.random.default_rng([self.seed, number]))
        return torch.tensor(self.group.share(drawn.tolist()))

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        places = (np.arange(self.batch_size) + generator.random()) / self.batch_size  # systematic sampling
        return np.searchsorted(self.edges, places, side="right")

    def _patch(self, degradation: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        members = self.pairs[degradation]
        pair = members[generator.integers(len(members))]
        y, x = (generator.integers(side - self.size + 1) for side in pair.lr.shape[:2])
        lr = pair.lr[y : y + self.size, x : x + self.size]
        y, x, size = y * self.scale, x * self.scale, self.size * self.scale
        symmetry = int(generator.integers(8))
        return _transform(lr, symmetry), _transform(pair.hr[y : y + size, x : x + size], symmetry)


def _transform(image: np.ndarray, symmetry: int) -> np.ndarray:
    """One of the 8 symmetries of the square: ``symmetry`` & 3 quarter turns, mirrored from 4 on."""
    turned = np.rot90(image, symmetry & 3)
    return turned[:, ::-1] if symmetry & 4 else turned


def _to_batch(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) 8-bit -> (N, 3, H, W) float32 in [0, 1], channels-last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
