"""How much of the deblurring filters' collateral is a tint by the last layer?

``python -m benchmarks.studies.last_layer``.

Filters of the last layer also carry the picture's mean. Of every published network, FAIG's best 1 % for deblurring are
masked, all of them and those outside the last layer, on the test images of a workspace's data/hr (--data), degraded as
the network's own run did: what of the gains is lost, and how far the mean of the most affected channel moves.
"""

from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.common import ROOT, degraded, published, write
from faig.attribution.path import PathModel, Weights, mask
from faig.base.ranking import num_discovered
from faig.data.images import list_images, read_image
from faig.data.quality import psnr
from tools.tables import Json

INPUTS, RATIO = ("blur", "noise"), 0.01


def quality(model: PathModel, weights: Weights, images: list[tuple[Tensor, Tensor]], scale: int) -> tuple[float, float]:
    """PSNR in dB, and by how much the mean of the channel that moves most differs from the truth; means over images."""
    values = []
    for lr, hr in images:
        with torch.no_grad():
            sr = model.restore(weights, lr).cpu()
        values.append((psnr(sr, hr, scale).item(), (sr - hr).mean(dim=(2, 3)).abs().max().item()))
    return tuple(np.mean(values, axis=0).tolist())


def measure(model: PathModel, params: Json, scores: pd.DataFrame, photographs: list[np.ndarray]) -> Json:
    """Shares lost of the gains, and shifts, with and without the last layer's filters."""
    count = num_discovered(model.index.num_filters, RATIO)
    is_best = (scores["method"] == "faig") & (scores["degradation"] == "blur") & (scores["rank"] < count)
    filters = np.asarray(scores.loc[is_best, "filter"])
    is_last = model.index.layer_numbers[filters] == len(model.index.entries) - 1
    chosen = {"all": filters, "outside the last layer": filters[~is_last]}
    networks = {key: mask(model.target, model.baseline, model.index, each) for key, each in chosen.items()}
    found: Json = {"filters": len(filters), "in the last layer": int(is_last.sum()), "lost": {}, "shift": {}}
    for inputs in INPUTS:
        images = degraded(photographs, inputs, params)
        before, after = (quality(model, each, images, params["scale"])[0] for each in (model.baseline, model.target))
        for key, weights in networks.items():
            value, shift = quality(model, weights, images, params["scale"])
            found["lost"].setdefault(key, {})[inputs] = round((after - value) / (after - before), 4)
            found["shift"].setdefault(key, {})[inputs] = round(shift, 4)
    return found


@click.command()
@click.option("--data", default="data", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(data: Path) -> None:
    """Measure and write benchmarks/studies/results/last_layer.json."""
    photographs = [read_image(path) for path in list_images(data / "hr/test")]
    networks = {}
    for name, params, model in published():
        scores = pd.read_parquet(ROOT / "published" / name / "runs/Set14/scores/blind.parquet")
        networks[name] = measure(model, params, scores, photographs)
        click.echo(f"{name}: {networks[name]}", err=True)
    write("studies/last_layer", {"ratio": RATIO, "images": len(photographs), "networks": networks})


if __name__ == "__main__":
    main()
