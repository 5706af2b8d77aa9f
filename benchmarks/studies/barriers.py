"""What the networks on the straight path from baseline to target restore: ``python -m benchmarks.studies.barriers``.

FAIG integrates along that path. Where the networks on it are worse than both of its ends, it leads over a barrier, and
scores may tell of that detour. Of every published pair of weights, on the middle of training photographs of a
workspace's data/hr (--data), degraded as the network's own run did: the barrier as the score stage measures it, and
PSNR at both ends and at the nodes between.
"""

from pathlib import Path

import click
import numpy as np

from benchmarks.common import degraded, middle, published, write
from faig.attribution.engine import barrier, loss_at
from faig.attribution.quadrature import quadrature
from faig.data.images import list_images, read_image

INPUTS = ("clean", "blur", "noise")
SIZE = 128


@click.command()
@click.option("--data", default="data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--images", default=12, help="so many photographs, spread evenly over their names")
@click.option("--nodes", default=12)
def main(data: Path, images: int, nodes: int) -> None:
    """Measure and write benchmarks/studies/results/barriers.json."""
    found = list_images(data / "hr/train")
    photographs = [middle(read_image(path), SIZE) for path in found[:: len(found) // images][:images]]
    places = [0.0, *quadrature("gausslegendre", nodes).positions.tolist(), 1.0]
    networks = {}
    for network, params, model in published():
        networks[network] = {}
        for name in INPUTS:
            pairs = degraded(photographs, name, params)
            losses = np.array([[loss_at(model, model.at(place), *pair, None) for place in places] for pair in pairs])
            heights = [barrier(values[1:-1], (values[0], values[-1])) for values in losses]
            curve = -10 * np.log10(losses / (3 * SIZE**2)).mean(axis=0)
            networks[network][name] = {
                "barrier": round(float(np.mean(heights)), 3),
                "psnr": [round(value, 2) for value in curve.tolist()],
            }
        click.echo(f"{network}: {networks[network]}", err=True)
    write("studies/barriers", {"images": len(photographs), "places": places, "networks": networks})


if __name__ == "__main__":
    main()
