"""Perceptual distances, LPIPS and DISTS: by torchmetrics, an optional extra, and networks trained on ImageNet.

LPIPS (Zhang et al. 2018, on AlexNet, as papers report it) and DISTS (Ding et al. 2020, on VGG16) compare what a
classifier's layers make of two images: 0 for equal ones, more the less alike they look.
"""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faig.base.errors import InputError
from faig.data.quality import check_pair, to_8bit

INSTALL = "pip install --constraint constraints.txt --editable '.[perceptual]'"


def _lpips() -> Callable[..., Tensor]:
    network: Any = import_module("torchmetrics.image.lpip").LearnedPerceptualImagePatchSimilarity(net_type="alex").net
    return lambda sr, hr: network(sr, hr, normalize=True)  # [0, 1] -> [-1, 1]


def _dists() -> Callable[..., Tensor]:
    return import_module("torchmetrics.functional.image.dists").DISTSNetwork().eval()


PERCEPTUAL = {"lpips": (_lpips, "AlexNet_Weights"), "dists": (_dists, "VGG16_Weights")}
"""By name, what builds the network that compares, and the weights of torchvision's that it is built on."""


def perceptual(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Load a perceptual distance.

    Args:
        name: one of :data:`PERCEPTUAL`.

    Returns:
        A function of SR and HR (N, 3, H, W) in [0, 1] -> (N,), at least 0. Images are compared whole, without a cut
        border, as they would be stored (:func:`~faig.data.quality.to_8bit`).

    Raises:
        InputError: the libraries or the weights cannot be had; says which command installs them, or where to put them.
            The function: as :func:`~faig.data.quality.psnr`, or the images are too small for the network.
    """
    build, weights = PERCEPTUAL[name]
    try:
        import_module("torchmetrics.image")
        url = getattr(import_module("torchvision.models"), weights).DEFAULT.url
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that is not for this torch
        raise InputError(
            f"the measure {name} needs torchmetrics and the torchvision for torch {torch.__version__}, which cannot be "
            f"imported ({error}). Install them by: {INSTALL}"
        ) from error
    file = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    _verify(file)
    try:
        network = build()
    except (OSError, RuntimeError) as error:  # RuntimeError: what was downloaded is damaged
        raise InputError(
            f"the measure {name} needs the weights {url}, which cannot be had ({error}): download them elsewhere, and "
            f"put them at {file}"
        ) from error

    def distance(sr: Tensor, hr: Tensor) -> Tensor:
        check_pair(sr, hr, border=0, min_size=1)
        try:
            with torch.no_grad():
                return network(to_8bit(sr), to_8bit(hr)).flatten().double()
        except RuntimeError as error:
            raise InputError(f"{name} cannot be taken of {sr.shape[-2]} x {sr.shape[-1]} pixels: {error}") from error

    return distance


def _verify(file: Path) -> None:
    """Check weights that are there already: they are pickled, and so would run what they hold.

    Raises:
        InputError: they are not those whose digest begins as their name ends.
    """
    if file.is_file():
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if not found.startswith(file.stem.rpartition("-")[2]):
            raise InputError(f"{file} is not the file of this name: SHA-256 {found}. Delete it, or download it again")
