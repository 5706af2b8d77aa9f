"""Scores of published weights by the authors' procedure: ``python benchmarks/oracle.py srresnet_64x16``.

Written from the paper's equations 5 to 7 and its description, and from nothing of the engine but the network: 100 left
endpoints, one image at a time, fp32, in PyTorch's default layout, the interpolated network loaded anew at each step.
The inputs, a crop of each photograph that the default tests on, are kept beside the scores, for a test of the engine.
"""

from pathlib import Path

import click
import numpy as np
import torch
from ruamel.yaml import YAML
from skimage import data
from torch import Tensor
from tqdm import tqdm

from faig.degradation import degrade, image_generator, parse_operations
from faig.images import read_image
from faig.networks import load_network
from faig.photographs import TEST_FILES, TileParams, tiles
from faig.tensors import to_tensor

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
STEPS = 100
SHARE = 0.01
SIZE = 128
"""Of the crops, in HR pixels."""


def inputs(scale: int) -> dict[str, np.ndarray]:
    """8-bit crops (N, H, W, 3): ``hr``, and ``blur`` and ``noise`` as params.yaml has them."""
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    found: dict[str, list[np.ndarray]] = {"hr": [], "blur": [], "noise": []}
    for file in TEST_FILES:
        photograph = read_image(Path(data.file_path(file)))  # pyright: ignore
        [(name, hr)] = tiles(file, photograph, TileParams(size=SIZE, per_photograph=1)).items()
        found["hr"].append(hr)
        for degradation in ("blur", "noise"):
            operations = parse_operations(degradation, params["degradations"][degradation])
            generator = image_generator(0, degradation, name)
            lr = degrade(hr, operations, scale=scale, downsampling="bicubic", generator=generator)
            found[degradation].append(lr)
    return {name: np.stack(images) for name, images in found.items()}


def authors_scores(baseline: Path, target: Path, lr: Tensor, hr: Tensor) -> np.ndarray:
    """FAIG (F,) of one image: kernels of all convolutions in the order of the weights."""
    network, _ = load_network(baseline)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    after = load_network(target)[0].state_dict()
    gradients = {name: torch.zeros_like(value) for name, value in before.items()}
    for step in range(STEPS):
        place = step / STEPS
        network.load_state_dict({name: (1 - place) * before[name] + place * after[name] for name in before})
        network.zero_grad()
        (network(lr) - hr).square().sum().backward()
        for name, value in network.named_parameters():
            assert value.grad is not None
            gradients[name] += value.grad / STEPS
    per_kernel = [
        (value * (after[name] - before[name])).abs().sum(dim=(2, 3)).flatten()
        for name, value in gradients.items()
        if value.ndim == 4  # biases are no filters
    ]
    return torch.cat(per_kernel).numpy()


@click.command()
@click.argument("network")
def main(network: str) -> None:
    """Score the published weights NETWORK and write tests/golden/NETWORK.npz."""
    folder = ROOT / "weights" / network
    baseline, target = folder / "baseline.safetensors", folder / "blind.safetensors"
    images = inputs(load_network(baseline)[1].scale)
    means = {}
    for degradation in ("blur", "noise"):
        pairs = [*zip(images[degradation], images["hr"], strict=True)]
        scores = [
            authors_scores(baseline, target, to_tensor(lr), to_tensor(hr)) for lr, hr in tqdm(pairs, desc=degradation)
        ]
        means[degradation] = np.mean(scores, axis=0, dtype=np.float64)
    golden = dict(images)
    for degradation, other in (("blur", "noise"), ("noise", "blur")):
        difference = means[degradation] - means[other]  # equation 7
        best = np.argsort(-difference, kind="stable")[: round(SHARE * len(difference))]
        golden[f"filters_{degradation}"] = best.astype(np.int32)
        golden[f"scores_{degradation}"] = difference[best].astype(np.float32)
    GOLDEN.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN / f"{network}.npz", **golden)  # pyright: ignore


if __name__ == "__main__":
    main()
