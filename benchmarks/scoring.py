"""Scoring both degradations against the authors' procedure: ``python benchmarks/scoring.py``.

The rival, written from its description: for each of the two rankings it integrates both degradations, by 100 left
endpoints, building the network anew at each, one image at a time, in fp32, in PyTorch's default layout. Its steps cost
the same, so some are timed and the whole is their median times 400. Ours is run as a whole, in the same process.
"""

import subprocess
import sys
from dataclasses import replace

import click
import numpy as np
import torch
from common import DEGRADATIONS, agreement, authors_step, compute, pairs, peak_gib, seconds, spread, trained, write
from torch import Tensor, nn

from faig.attribution import discriminate, faig, taylor
from faig.path import PathModel
from faig.quadrature import quadrature
from faig.tiling import Tiles, find_halo

WIDTH, DEPTH = 64, 16
AUTHORS_PASSES = 2 * 2 * 100


def layouts(
    network: nn.Module, baseline: dict[str, Tensor], target: dict[str, Tensor], size: int, steps: int
) -> dict[str, dict[str, float]]:
    """Seconds of one node of one image in either memory layout, run in turns."""
    times: dict[bool, list[float]] = {False: [], True: []}
    models = {last: PathModel(network, baseline, target, replace(compute(), channels_last=last)) for last in times}
    image = pairs(size, size)["blur"]
    for _ in range(steps):
        for last, model in models.items():
            times[last].append(seconds(lambda model=model: taylor(model, image)))
    return {"contiguous": spread(times[False]), "channels_last": spread(times[True])}


@click.command()
@click.option("--size", "sizes", type=int, multiple=True, default=(128, 256), help="inputs of size x size")
@click.option("--nodes", default=8)
@click.option("--steps", default=5, help="of the rival's steps, timed")
@click.option("--reference-size", default=64, help="input that accuracy is measured on")
@click.option("--reference-nodes", default=200)
@click.option("--memory", hidden=True, default="", help="only score one input, HEIGHTxWIDTH[:tile], and print the peak")
def main(
    sizes: tuple[int, ...], nodes: int, steps: int, reference_size: int, reference_nodes: int, memory: str
) -> None:
    """Measure and write results/scoring.json."""
    network, baseline, target = trained(WIDTH, DEPTH)
    model = PathModel(network, baseline, target, compute())
    if memory:
        shape, _, tile = memory.partition(":")
        height, width = map(int, shape.split("x"))
        halo = find_halo(lambda x: model.restore(model.target, x), 3) if tile else 0
        tiles = Tiles(size=int(tile), halo=halo) if tile else None
        faig(model, pairs(height, width)["blur"], quadrature("left", 1), tiles)
        print(peak_gib())
        return
    results: dict[str, object] = {"nodes": nodes, "layouts": layouts(network, baseline, target, sizes[0], steps)}
    for size in sizes:
        images = pairs(size, size)
        [(lr, hr)] = images["blur"]
        ours = seconds(
            lambda images=images: [
                faig(model, images[name], quadrature("gausslegendre", nodes)) for name in DEGRADATIONS
            ]
        )
        times = [
            seconds(lambda lr=lr, hr=hr, n=n: authors_step(WIDTH, DEPTH, baseline, target, n / 100, lr, hr))
            for n in range(steps + 1)
        ]
        rival = spread([AUTHORS_PASSES * value for value in times[1:]])
        results[f"{size}x{size}"] = {
            "seconds": ours,
            "authors_seconds": rival,
            "speedup": {name: value / ours for name, value in rival.items()},
        }
        click.echo(f"{size}: {results[f'{size}x{size}']}", err=True)
    images = pairs(reference_size, reference_size)
    scores = {}
    for count in (nodes, reference_nodes):
        both = {name: faig(model, images[name], quadrature("gausslegendre", count)).scores[0] for name in DEGRADATIONS}
        scores[count] = {name: (both[name], discriminate(both, name, "difference")) for name in DEGRADATIONS}
    found, exact = scores[nodes], scores[reference_nodes]
    errors = {n: float(np.linalg.norm(found[n][0] - exact[n][0]) / np.linalg.norm(exact[n][0])) for n in DEGRADATIONS}
    results |= {
        "reference": {"size": reference_size, "nodes": reference_nodes, "precision": model.compute.precision},
        "relative_error": max(errors.values()),
        "top1_agreement": min(agreement(found[n][1], exact[n][1]) for n in DEGRADATIONS),
        "speedup": min(results[f"{size}x{size}"]["speedup"]["median"] for size in sizes),  # pyright: ignore
    }
    peaks = {}
    for case in ("256x256", "678x1020:192"):
        command = [sys.executable, __file__, "--memory", case]
        peaks[case] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    write("scoring", {**results, "peak_memory_gib": peaks, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
