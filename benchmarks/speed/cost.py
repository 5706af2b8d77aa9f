"""Time and memory told from a small crop, against measured: ``python -m benchmarks.speed.cost``.

Of one gradient pass over one input, a process each: its time, medians of some in turns with the prediction, and by how
much its peak memory grew. Then scoring of a published network by the settings of params.yaml, as the score stage does
it. ``ratios`` are predicted over measured.
"""

import statistics
import subprocess
import sys

import click
import numpy as np
import psutil
import torch

from benchmarks.common import ROOT, compute, peak_gib, published, seconds, spread, write
from faig.attribution.cost import measure_cost
from faig.attribution.engine import Example, integrate
from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT
from faig.base.params import load_params
from faig.base.processes import ALONE
from faig.data.targets import TargetParams
from faig.experiments.forecast import forecast
from faig.experiments.scoring import ScoreParams, score_filters
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from tools.tables import read_yaml

GIB = 2**30
TURNS = 5
SCORED = "srresnet_32x8_bicubic"


def one(width: int, depth: int, size: int) -> tuple[float, ...]:
    """Predicted and measured seconds of one pass, then predicted and measured peak in GiB."""
    params = NetworkParams(name="srresnet", width=width, depth=depth)
    networks = [build_network(NetworkSpec(params=params, scale=2), seed) for seed in (0, 1)]
    baseline, target = (network.state_dict() for network in networks)
    model = PathModel(networks[0], baseline, target, compute())
    lr, hr = torch.rand(1, 3, size, size), torch.rand(1, 3, 2 * size, 2 * size)
    cost = measure_cost(model, lr)  # warms up, too
    before = psutil.Process().memory_info().rss / GIB
    integrate(model, lr, hr, END_POINT)
    grown = peak_gib() - before
    turns = [
        (measure_cost(model, lr).seconds, seconds(lambda: integrate(model, lr, hr, END_POINT))) for _ in range(TURNS)
    ]
    told, time = (statistics.median(values) for values in zip(*turns, strict=True))
    return told, time, cost.memory / GIB, grown


def scoring(name: str) -> dict[str, float]:
    """Predicted and measured seconds of all methods, by the committed settings, on inputs of noise."""
    settings, target = read_yaml(ROOT / "params.yaml"), load_params("targets.blind", TargetParams, ROOT / "params.yaml")
    params = load_params("score", ScoreParams, ROOT / "params.yaml")
    model = next(model for known, _, model in published() if known == name)
    generator = torch.Generator().manual_seed(0)

    def crops(num: int, size: int) -> list[Example]:
        lr, hr = (torch.rand(num, 1, 3, side, side, generator=generator) for side in (size // settings["scale"], size))
        return list(zip(lr, hr, strict=True))

    images, learnt_from = {}, {}
    for degradation in target.degradations:
        images[degradation] = crops(params.images.num, params.images.size)
        images[degradation] += crops(params.dead_leaves.num, params.dead_leaves.size)
        learnt_from[degradation] = [lr for lr, _ in crops(params.learned.images.num, params.learned.images.size)]
    told = forecast(model, images, learnt_from, target, params, ALONE).seconds
    options = (target, params, 0, np.random.default_rng(0), ALONE, lambda _: None)
    return {"predicted": told, "measured": seconds(lambda: score_filters(model, images, learnt_from, *options))}


@click.command()
@click.option("--width", "widths", type=int, multiple=True, default=(32, 48, 64))
@click.option("--depth", default=8)
@click.option("--size", "sizes", type=int, multiple=True, default=(64, 128, 256))
@click.option("--only", hidden=True, default="", help="only measure one WIDTHxDEPTHxSIZE, and print the numbers")
def main(widths: tuple[int, ...], depth: int, sizes: tuple[int, ...], only: str) -> None:
    """Measure and write benchmarks/speed/results/cost.json."""
    if only:
        print(*one(*map(int, only.split("x"))))
        return
    rows = []
    for width in widths:
        for size in sizes:
            command = [sys.executable, "-m", "benchmarks.speed.cost", "--only", f"{width}x{depth}x{size}"]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            told, time, memory, grown = map(float, output.split()[-4:])
            rows.append(
                {
                    "network": [width, depth],
                    "size": size,
                    "seconds": {"predicted": told, "measured": time},
                    "memory_gib": {"predicted": memory, "measured": grown},
                }
            )
            click.echo(rows[-1], err=True)
    ratios = {
        name: spread([row[name]["predicted"] / row[name]["measured"] for row in rows])
        for name in ("seconds", "memory_gib")
    }
    found = {SCORED: scoring(SCORED)}
    write("speed/cost", {"rows": rows, "ratios": ratios, "scoring_seconds": found})


if __name__ == "__main__":
    main()
