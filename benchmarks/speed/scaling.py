"""How the cost grows with images, image size, filters and processes: ``python -m benchmarks.speed.scaling``.

The rival is the authors' procedure on the same images: 100 steps, of which some are timed in turn with ours.
"""

import os
import subprocess
import sys

import click
import torch

from benchmarks.common import authors_step, compute, pairs, seconds, spread, trained, write
from faig.attribution.engine import attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.base.processes import process_group

NODES = quadrature("gausslegendre", 8)


def cost(width: int, depth: int, size: int, num_images: int, runs: int) -> dict[str, object]:
    """Seconds of FAIG and of the authors' procedure, and the number of filters."""
    network, baseline, target = trained(width, depth, steps=2)
    model = PathModel(network, baseline, target, compute())
    images = [pairs(size, size, seed)["blur"][0] for seed in range(num_images)]
    ours, rival = [], []
    for _ in range(runs + 1):  # the first warms up
        ours.append(seconds(lambda: attribute_images(model, images, NODES)))
        step = seconds(lambda: [authors_step(width, depth, baseline, target, 0.5, lr, hr) for lr, hr in images])
        rival.append(100 * step)
    ratios = [other / own for own, other in zip(ours[1:], rival[1:], strict=True)]
    case = {"width": width, "depth": depth, "size": size, "images": num_images, "filters": model.index.num_filters}
    return {**case, "seconds": spread(ours[1:]), "authors_seconds": spread(rival[1:]), "speedup": spread(ratios)}


@click.command()
@click.option("--runs", default=3)
@click.option("--worker", is_flag=True, hidden=True, help="share 8 images out among the processes and print the time")
def main(runs: int, worker: bool) -> None:
    """Measure and write benchmarks/speed/results/scaling.json."""
    if worker:
        torch.set_num_threads(1)
        with process_group(torch.device("cpu")) as group:
            network, baseline, target = trained(32, 8, steps=2)
            model = PathModel(network, baseline, target, compute())
            images = group.share([pairs(64, 64, seed)["blur"][0] for seed in range(8)])
            attribute_images(model, images[:1], NODES)
            group.sum(torch.zeros(1).numpy())
            elapsed = seconds(lambda: group.sum(attribute_images(model, images, NODES).scores.sum(axis=0)))
            if group.is_writer:
                click.echo(elapsed)
        return
    results: dict[str, object] = {}
    for name, cases in {
        "images": [(32, 8, 64, number) for number in (1, 2, 4)],
        "size": [(32, 8, size, 1) for size in (32, 64, 128)],
        "filters": [(width, 8, 64, 1) for width in (16, 32, 64)],
    }.items():
        results[name] = [cost(*case, runs) for case in cases]
    environment, times = {**os.environ, "OMP_NUM_THREADS": "1"}, {1: [], 2: []}
    for _ in range(runs):
        for number, found in times.items():
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
            command = [sys.executable, *launcher, __file__, "--worker"]
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found.append(float(result.stdout.split()[-1]))
    ratios = [one / two for one, two in zip(*times.values(), strict=True)]
    processes = {"one": spread(times[1]), "two": spread(times[2]), "speedup": spread(ratios)}
    write("speed/scaling", {**results, "processes": processes})


if __name__ == "__main__":
    main()
