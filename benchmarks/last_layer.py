"""How much of the deblurring filters' collateral is a tint by the last layer: ``python benchmarks/last_layer.py``.

Filters of the last layer also carry the picture's mean. Of every published network, FAIG's best 1 % for deblurring are
masked, all of them and those outside the last layer, on the test images of a workspace's data/hr (--data), degraded as
the network's own run did: what of the gains is lost, and how far the mean of the most affected channel moves.
"""

from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from common import compute, write
from torch import Tensor

from faig.degradation import degrade, parse_operations
from faig.filters import num_discovered
from faig.images import list_images, read_image
from faig.masking import mask
from faig.path import PathModel, Weights, load_model
from faig.quality import psnr
from faig.tensors import to_tensor
from tools.tables import Json, read_yaml

ROOT = Path(__file__).parents[1]
INPUTS, RATIO = ("blur", "noise"), 0.01


def quality(model: PathModel, weights: Weights, images: list[tuple[Tensor, Tensor]], scale: int) -> tuple[float, float]:
    """PSNR in dB, and by how much the mean of the channel that moves most differs from the truth; means over images."""
    values = []
    for lr, hr in images:
        with torch.no_grad():
            sr = model.restore(weights, lr).cpu()
        values.append((psnr(sr, hr, scale).item(), (sr - hr).mean(dim=(2, 3)).abs().max().item()))
    return tuple(np.mean(values, axis=0).tolist())


def measure(name: str, photographs: list[np.ndarray]) -> Json:
    """Shares lost of the gains, and shifts, with and without the last layer's filters."""
    folder, results = ROOT / "weights" / name, ROOT / "results" / name / "Set14"
    params = read_yaml(results / "params.yaml")
    model = load_model(folder / "baseline.safetensors", folder / "blind.safetensors", compute("fp32"))
    scores = pd.read_parquet(results / "scores/blind.parquet")
    count = num_discovered(model.index.num_filters, RATIO)
    is_best = (scores["method"] == "faig") & (scores["degradation"] == "blur") & (scores["rank"] < count)
    filters = np.asarray(scores.loc[is_best, "filter"])
    is_last = model.index.layer_numbers[filters] == len(model.index.entries) - 1
    chosen = {"all": filters, "outside the last layer": filters[~is_last]}
    networks = {key: mask(model.target, model.baseline, model.index, each) for key, each in chosen.items()}
    found: Json = {"filters": len(filters), "in the last layer": int(is_last.sum()), "lost": {}, "shift": {}}
    for inputs in INPUTS:
        operations = parse_operations(inputs, params["degradations"][inputs])
        images = []
        for row, hr in enumerate(photographs):
            options = {"scale": params["scale"], "downsampling": params["downsampling"]}
            lr = degrade(hr, operations, **options, generator=np.random.default_rng([0, row]))
            images.append((to_tensor(lr), to_tensor(hr)))
        before, after = (quality(model, each, images, params["scale"])[0] for each in (model.baseline, model.target))
        for key, weights in networks.items():
            value, shift = quality(model, weights, images, params["scale"])
            found["lost"].setdefault(key, {})[inputs] = round((after - value) / (after - before), 4)
            found["shift"].setdefault(key, {})[inputs] = round(shift, 4)
    return found


@click.command()
@click.option("--data", default="data", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(data: Path) -> None:
    """Measure and write results/last_layer.json."""
    photographs = [read_image(path) for path in list_images(data / "hr/test")]
    names = sorted(path.parent.name for path in (ROOT / "weights").glob("*/blind.safetensors"))
    networks = {}
    for name in names:
        networks[name] = measure(name, photographs)
        click.echo(f"{name}: {networks[name]}", err=True)
    write("last_layer", {"ratio": RATIO, "images": len(photographs), "networks": networks})


if __name__ == "__main__":
    main()
