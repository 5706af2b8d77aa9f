"""Scoring both degradations against the authors' procedure: ``python -m benchmarks.speed.scoring``.

The rival, written from its description: for each of the two rankings it integrates both degradations, by 100 left
endpoints, building the network anew at each, one image at a time, in fp32, in PyTorch's default layout. Its steps cost
the same, so some are timed and the whole is their median times 400. Ours is run as a whole, in the same process and in
turns with the rival's steps. Accuracy is that of the nodes timed, against many more, on inputs of several seeds.
"""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import click
import numpy as np
import torch
from torch import nn

from benchmarks.common import (
    DEGRADATIONS,
    Weights,
    agreement,
    authors_step,
    compute,
    on_device,
    pairs,
    peak_gib,
    seconds,
    spread,
    trained,
    write,
)
from faig.attribution.comparisons import discriminate, taylor
from faig.attribution.engine import attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.attribution.tiling import Tiles, find_halo

WIDTH, DEPTH = 64, 16
AUTHORS_PASSES = 2 * 2 * 100


def layouts(
    network: nn.Module, baseline: Weights, target: Weights, size: int, steps: int
) -> dict[str, dict[str, float]]:
    """Seconds of one node of one image in either memory layout, run in turns."""
    times: dict[bool, list[float]] = {False: [], True: []}
    models = {last: PathModel(network, baseline, target, replace(compute(), channels_last=last)) for last in times}
    image = pairs(size, size)["blur"][0]
    for _ in range(steps):
        for last, model in models.items():
            times[last].append(seconds(lambda model=model: taylor(model, *image)))
    return {"contiguous": spread(times[False]), "channels_last": spread(times[True])}


def times(model: PathModel, size: int, nodes: int, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of scoring one input of each degradation, ours and the rival's, and their ratio, each with its spread."""
    images = pairs(size, size)
    lr, hr = (value.to(model.compute.device) for value in images["blur"][0])

    def ours() -> None:
        for name in DEGRADATIONS:
            attribute_images(model, images[name], quadrature("gausslegendre", nodes))

    def rival(number: int) -> float:
        step = partial(authors_step, WIDTH, DEPTH, model.baseline, model.target, number / 100, lr, hr)
        return AUTHORS_PASSES * seconds(step)

    rival(0)  # the first step also sets up what later ones find in place
    found = [(seconds(ours), rival(2 * n), rival(2 * n + 1)) for n in range(repeats)]
    return {
        "seconds": spread([own for own, *_ in found]),
        "authors_seconds": spread([other for _, *others in found for other in others]),
        "speedup": spread([sum(others) / 2 / own for own, *others in found]),
    }


def accuracy(model: PathModel, size: int, seed: int, nodes: int, reference_nodes: int) -> dict[str, float]:
    """Error of the score vectors and agreement of the top 1 % of their difference, the worse of both degradations."""
    images = pairs(size, size, seed)
    scores = []
    for count in (nodes, reference_nodes):
        both = {
            name: attribute_images(model, images[name], quadrature("gausslegendre", count)).scores[0]
            for name in DEGRADATIONS
        }
        scores.append({name: (both[name], discriminate(both, name, "difference")) for name in DEGRADATIONS})
    found, exact = scores
    return {
        "relative_error": max(
            float(np.linalg.norm(found[n][0] - exact[n][0]) / np.linalg.norm(exact[n][0])) for n in DEGRADATIONS
        ),
        "top1_agreement": min(agreement(found[n][1], exact[n][1]) for n in DEGRADATIONS),
    }


@click.command()
@click.option("--size", "sizes", type=int, multiple=True, default=(128, 256), help="inputs of size x size, timed")
@click.option("--nodes", default=8)
@click.option("--repeats", default=3, help="of ours, and of two of the rival's steps")
@click.option("--reference-size", default=128, help="input that accuracy is measured on")
@click.option("--reference-nodes", default=200)
@click.option("--seeds", default=2, help="inputs that accuracy is measured on")
@click.option("--memory", hidden=True, default="", help="only score one input, HEIGHTxWIDTH[:tile], and print the peak")
def main(
    sizes: tuple[int, ...],
    nodes: int,
    repeats: int,
    reference_size: int,
    reference_nodes: int,
    seeds: int,
    memory: str,
) -> None:
    """Measure and write benchmarks/speed/results/scoring.json."""
    network, baseline, target = trained(WIDTH, DEPTH)
    model = PathModel(network, baseline, target, compute())
    if memory:
        shape, _, tile = memory.partition(":")
        height, width = map(int, shape.split("x"))
        halo = find_halo(lambda x: model.restore(model.target, x), 3) if tile else 0
        tiles = Tiles(size=int(tile), halo=halo) if tile else None
        attribute_images(model, pairs(height, width)["blur"], quadrature("left", 1), tiles)
        print(peak_gib())
        return
    results: dict[str, object] = {"nodes": nodes, "layouts": layouts(network, baseline, target, sizes[0], 5)}
    timed = {size: times(model, size, nodes, repeats) for size in sizes}
    results |= {f"{size}x{size}": values for size, values in timed.items()}
    results["speedup"] = min(values["speedup"]["median"] for values in timed.values())
    click.echo(results, err=True)
    peaks = {}
    for case in ("256x256", "678x1020:192"):
        command = [sys.executable, __file__, "--memory", case]
        peaks[case] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    results["peak_memory_gib"] = peaks
    found = [accuracy(model, reference_size, seed, nodes, reference_nodes) for seed in range(seeds)]
    results["reference"] = {
        "size": reference_size,
        "nodes": reference_nodes,
        "precision": model.compute.precision,
        "by_seed": found,
    }
    results["relative_error"] = max(values["relative_error"] for values in found)
    results["top1_agreement"] = min(values["top1_agreement"] for values in found)
    write(on_device("speed/scoring"), {**results, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
