"""Training patches, drawn at random from pairs in memory."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from faig.base.errors import InputError
from faig.base.processes import ALONE, Group
from faig.data.pairs import Pair


class PatchSampler:
    """Random aligned HR and LR patches: a degradation by its weight, then an image, a position, one of 8 symmetries.

    A batch holds each degradation as often as its weight says, give or take one patch: losses of degradations differ
    much, and random numbers of each would only add noise to the gradient.

    Batch ``n`` depends on the seed and ``n`` alone, so a run that is resumed from a checkpoint sees the same batches.
    Several processes share out the patches of each batch.
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
            InputError: the patch is no multiple of the scale or larger than an image, a degradation has no pair, or
                the batch cannot be shared out equally.
        """
        self.names = sorted(mixture)
        # Cumulative shares of the degradations, 0 to 1: where one ends and the next begins.
        self.edges = np.cumsum([mixture[name] for name in self.names])[:-1] / sum(mixture.values())
        self.pairs = {name: [pair for pair in pairs if pair.degradation == name] for name in self.names}
        self.scale = pairs[0].scale
        self.size = patch_size // self.scale
        self.batch_size = batch_size
        self.seed = seed
        self.group = group
        if batch_size % group.size:
            raise InputError(f"batch_size = {batch_size} must be a multiple of the {group.size} processes")
        if patch_size % self.scale:
            raise InputError(f"patch_size = {patch_size} must be a multiple of the scale {self.scale}")
        for name, members in self.pairs.items():
            if not members:
                raise InputError(f"no training pair of degradation {name}")
            for pair in members:
                if min(pair.lr.shape[:2]) < self.size:
                    raise InputError(f"training image {pair.name} is smaller than patch_size = {patch_size}")

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Draw this process's part of batch ``number``: LR (N, 3, p/s, p/s) and HR (N, 3, p, p), float32 in [0, 1].

        p is the patch size in HR pixels, s the scale.
        """
        generator = np.random.default_rng([self.seed, number])
        # Each process draws the whole batch and keeps its part: the batch is the same for any number of processes.
        patches = [self._patch(self.names[number], generator) for number in self._draw(generator)]
        lr, hr = (np.stack(images) for images in zip(*self.group.share(patches), strict=True))
        return _to_batch(lr), _to_batch(hr)

    def labels(self, number: int) -> Tensor:
        """Degradation of each patch of :meth:`batch` ``number``, as an index into ``names``: int64 (N,)."""
        drawn = self._draw(np.random.default_rng([self.seed, number]))
        return torch.tensor(self.group.share(drawn.tolist()))

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the degradations of a batch, (batch_size,), by systematic sampling.

        One random shift of equally spaced points on [0, 1): a degradation of share q gets floor or ceil of
        q * batch_size points, q * batch_size on average.
        """
        points = (np.arange(self.batch_size) + generator.random()) / self.batch_size
        return np.searchsorted(self.edges, points, side="right")

    def _patch(self, degradation: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        members = self.pairs[degradation]
        pair = members[generator.integers(len(members))]
        # The position is drawn in LR pixels, so that both patches show exactly the same place.
        y, x = (generator.integers(side - self.size + 1) for side in pair.lr.shape[:2])
        lr = pair.lr[y : y + self.size, x : x + self.size]
        y, x, size = y * self.scale, x * self.scale, self.size * self.scale
        symmetry = int(generator.integers(8))
        return _transform(lr, symmetry), _transform(pair.hr[y : y + size, x : x + size], symmetry)


def _transform(image: np.ndarray, symmetry: int) -> np.ndarray:
    """Apply one of the 8 symmetries of the square: ``symmetry`` modulo 4 quarter turns, mirrored if it is 4 or more."""
    turned = np.rot90(image, symmetry & 3)
    return turned[:, ::-1] if symmetry & 4 else turned


def _to_batch(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) 8-bit -> (N, 3, H, W) float32 in [0, 1], channels-last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
