"""Scores of published weights by the authors' procedure: ``python -m tools.oracle srresnet_64x16``.

Written from the paper's equations 5 to 7 and its description, using nothing of the scoring engine: 100 left endpoints,
one image at a time, fp32, in PyTorch's default layout, the interpolated network loaded anew at each step. The inputs,
a crop of each photograph that the default tests on, degraded as in the published run, are kept beside the scores for a
test of the engine.
"""

from pathlib import Path

import click
import numpy as np
import torch
from skimage import data as bundled
from torch import Tensor
from tqdm import tqdm

from faig.base.files import replacing
from faig.data.degradation import degrade, image_generator, parse_operations
from faig.data.images import read_image
from faig.data.photographs import TEST_FILES, TileParams, tiles
from faig.data.tensors import to_tensor
from faig.networks.weights import load_network
from tools.publish import folders, has_trained
from tools.tables import Json, read_yaml

GOLDEN = Path("tests/golden")
DEGRADATIONS = ("blur", "noise")
STEPS = 100
"""Steps of the path integral, each evaluated at its left end."""
SHARE = 0.01
"""The share of the filters that is kept."""
SIZE = 128
"""Side of the crops, in HR pixels."""


def inputs(params: Json) -> dict[str, np.ndarray]:
    """8-bit crops (N, H, W, 3): ``hr``, and those degraded as a run's params say."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("hr", *DEGRADATIONS)}
    for file in TEST_FILES:
        photograph = read_image(Path(bundled.__file__).parent / file)
        [(name, hr)] = tiles(Path(file).stem, photograph, TileParams(size=SIZE, per_photograph=1)).items()
        found["hr"].append(hr)
        for degradation in DEGRADATIONS:
            operations = parse_operations(degradation, params["degradations"][degradation], scale=params["scale"])
            generator = image_generator(params["seed"], degradation, name)
            settings = {"scale": params["scale"], "downsampling": params["downsampling"]}
            found[degradation].append(degrade(hr, operations, **settings, generator=generator))
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
    baseline, target = (Path("published", network, "weights", f"{name}.safetensors") for name in ("baseline", "blind"))
    trained = [folder for folder in folders(Path("published", network, "runs")) if has_trained(folder)]
    if not trained:
        raise click.ClickException(f"published/{network} has no run that trained weights: publish one first")
    images = inputs(read_yaml(trained[0] / "params.yaml"))
    means = {}
    for degradation in DEGRADATIONS:
        pairs = [*zip(images[degradation], images["hr"], strict=True)]
        scores = [
            authors_scores(baseline, target, to_tensor(lr), to_tensor(hr)) for lr, hr in tqdm(pairs, desc=degradation)
        ]
        means[degradation] = np.mean(scores, axis=0, dtype=np.float64)
    golden = dict(images)
    for degradation, other in (DEGRADATIONS, DEGRADATIONS[::-1]):
        difference = means[degradation] - means[other]  # equation 7
        best = np.argsort(-difference, kind="stable")[: round(SHARE * len(difference))]
        golden[f"filters_{degradation}"] = best.astype(np.int32)
        golden[f"scores_{degradation}"] = difference[best].astype(np.float32)
    with replacing(GOLDEN / f"{network}.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **golden)  # pyright: ignore


if __name__ == "__main__":
    main()
