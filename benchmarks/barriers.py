"""What the networks on the straight path from baseline to target restore: ``python benchmarks/barriers.py``.

FAIG integrates along that path. Where the networks on it are worse than both of its ends, it leads over a barrier, and
scores may tell of that detour. Of every published pair of weights, on the middle of training photographs of a
workspace's data/hr (--data), degraded as the network's own run did: the barrier as the score stage measures it, and
PSNR at both ends and at the nodes between.
"""

from pathlib import Path

import click
import numpy as np
import torch
from common import compute, write

from faig.attribution import barrier, loss
from faig.degradation import degrade, parse_operations
from faig.images import list_images, read_image
from faig.path import load_model
from faig.quadrature import quadrature
from faig.tensors import to_tensor
from tools.tables import read_yaml

ROOT = Path(__file__).parents[1]
INPUTS = ("clean", "blur", "noise")
SIZE = 128


@click.command()
@click.option("--data", default="data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--images", default=12, help="so many photographs, spread evenly over their names")
@click.option("--nodes", default=12)
def main(data: Path, images: int, nodes: int) -> None:
    """Measure and write results/barriers.json."""
    found = list_images(data / "hr/train")
    photographs = [read_image(path) for path in found[:: len(found) // images][:images]]
    places = [0.0, *quadrature("gausslegendre", nodes)[0].tolist(), 1.0]
    networks = {}
    for folder in sorted(path.parent for path in (ROOT / "weights").glob("*/blind.safetensors")):
        params = read_yaml(ROOT / "results" / folder.name / "Set14/params.yaml")
        model = load_model(folder / "baseline.safetensors", folder / "blind.safetensors", compute("fp32"))
        networks[folder.name] = {}
        for name in INPUTS:
            operations = parse_operations(name, params["degradations"][name])
            losses = np.zeros((len(photographs), len(places)))
            for row, photograph in enumerate(photographs):
                top, left = ((side - SIZE) // 2 for side in photograph.shape[:2])
                hr = np.ascontiguousarray(photograph[top : top + SIZE, left : left + SIZE])
                options = {"scale": params["scale"], "downsampling": params["downsampling"]}
                lr = degrade(hr, operations, **options, generator=np.random.default_rng([0, row]))
                pair = to_tensor(lr), to_tensor(hr)
                with torch.no_grad():
                    losses[row] = [loss(model, model.at(place), *pair, None) for place in places]
            heights = [barrier(values[1:-1], (values[0], values[-1])) for values in losses]
            curve = -10 * np.log10(losses / (3 * SIZE**2)).mean(axis=0)
            networks[folder.name][name] = {
                "barrier": round(float(np.mean(heights)), 3),
                "psnr": [round(value, 2) for value in curve.tolist()],
            }
        click.echo(f"{folder.name}: {networks[folder.name]}", err=True)
    write("barriers", {"images": len(photographs), "places": places, "networks": networks})


if __name__ == "__main__":
    main()
