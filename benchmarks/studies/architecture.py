"""Which layers hold which ability, and does it help to know?

``python -m benchmarks.studies.architecture path/to/BSDS400 path/to/Set14 [PART...]``: learns, scores and trains on the
first folder's photographs and measures tiles of the second's. The parts:

- ``profiles``: where in the published networks the discovered filters lie, by FAIG and by learned masks;
- ``widths``: networks of equal FLOPs that have more width where the scores name filters, or less
  (:mod:`benchmarks.studies.widths`);
- ``pruning``: networks without the channels that no ability needs (:mod:`benchmarks.studies.pruning`).

Adds to benchmarks/studies/results/architecture.json; parts that are there stay unless named. Trainings that were
finished are read from .ckpt/study.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import pandas as pd
import torch
from torch import nn

from benchmarks.common import ROOT, compute, results_file, write
from benchmarks.studies.attributions import patch_sources
from benchmarks.studies.learned_masks import tiles
from benchmarks.studies.profiles import profiles_part
from benchmarks.studies.pruning import pruning_part
from benchmarks.studies.widths import (
    INPUTS,
    LEVELS,
    METHODS,
    Widths,
    allotted,
    build,
    compared,
    enrichment,
    fitted,
    flops,
    measured,
    test_inputs,
)
from faig.attribution.path import PathModel, Weights
from faig.data.pairs import Pair
from faig.networks.training import TrainingParams
from tools.tables import Json, read_yaml

WIDTH, DEPTH = 16, 8
TRAINING = TrainingParams(
    iterations=1200,
    batch_size=4,
    patch_size=48,
    learning_rate=1.5e-3,
    warmup=0.1,
    adam_betas=(0.9, 0.99),
    ema_decay=0.99,
    log_every=400,
    checkpoint_every=1200,
    validation_images=1,
)
"""Of the networks whose filters are scored: of the baseline and, as long again, of the target."""
SHORTER = replace(TRAINING, iterations=800, log_every=400, checkpoint_every=800)
"""Of the variants, which are trained on the target's mixture at once: what is asked is what networks of such widths can
do, and baselines would take half of the time."""
SCORED_SEED = 100
"""Of the network whose filters are scored; the variants have the seeds 0, 1, ..."""
UNIFORM, REVERSED = "uniform", ", reversed"


def scored_network(pairs: Sequence[Pair], params: Json) -> PathModel:
    """The path from a uniform network's baseline to its target."""
    network = build(Widths.uniform(WIDTH, DEPTH), SCORED_SEED)
    weights: dict[str, Weights] = {}
    for name, mixture in (("baseline", {"clean": 1.0}), ("blind", params["targets"]["blind"]["mixture"])):
        weights[name] = fitted(network, pairs, mixture, TRAINING, name, SCORED_SEED)
        network.load_state_dict(dict(weights[name]))
    return PathModel(network, weights["baseline"], weights["blind"], compute("fp32"))


def variants(named: Mapping[str, Mapping[str, float]]) -> dict[str, Widths]:
    """The widths of every variant, by whose filters name the layers; the uniform one first."""
    uniform = Widths.uniform(WIDTH, DEPTH)
    found = {UNIFORM: uniform}
    for name, shares in named.items():
        found[name], found[name + REVERSED] = (allotted(shares, uniform, power) for power in (1.0, -1.0))
    return found


def widths_part(training: Path, test: Path, methods: Sequence[str], seeds: int, keep: Callable[[Json], None]) -> None:
    """Part ``widths``: every variant trained with each of ``seeds`` seeds, and compared with the uniform one."""
    params = read_yaml(ROOT / "params.yaml")
    pairs, mixture = patch_sources(training, params), params["targets"]["blind"]["mixture"]
    model = scored_network(pairs, params)
    scores = {method: METHODS[method](model, params, training) for method in methods}
    named = {
        f"{level}, {method}": enrichment(model.index, own, params["mask_ratio"], level)
        for level in LEVELS
        for method, own in scores.items()
    }
    chosen = variants(named)
    click.echo(f"{named}\n{chosen}", err=True)
    networks: dict[tuple[str, int], nn.Module] = {}
    inputs = test_inputs(tiles(test), params)
    for seed in range(seeds):
        for name, widths in chosen.items():
            networks[name, seed] = build(widths, seed)
            weights = fitted(networks[name, seed], pairs, mixture, SHORTER, "variant", seed)
            networks[name, seed].load_state_dict(weights)
        keep(judged(measured(networks, inputs), chosen, named, seed + 1))


def judged(table: pd.DataFrame, chosen: Mapping[str, Widths], named: Mapping[str, Json], seeds: int) -> Json:
    """What is kept of part ``widths``: the variants, and what each is worth beside the uniform one and its reverse."""
    means = pd.Series(table.groupby(["variant", "input"])["psnr"].mean()).to_dict()
    return {
        "network": f"{WIDTH}x{DEPTH}",
        "seeds": seeds,
        "iterations": SHORTER.iterations,
        "images": len(table["image"].unique()),
        "named": {key: {name: round(value, 2) for name, value in own.items()} for key, own in named.items()},
        "variants": {
            name: {
                "units": list(widths.units),
                "flops": round(flops(widths) / flops(chosen[UNIFORM]), 4),
                "psnr": {each: round(means[name, each], 2) for each in INPUTS},
                "over_uniform": compared(table, name, UNIFORM),
            }
            for name, widths in chosen.items()
        },
        "over_reversed": {name: compared(table, name, name + REVERSED) for name in named},
    }


@click.command()
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("test", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("parts", nargs=-1, type=click.Choice(["profiles", "widths", "pruning"]))
@click.option("--seeds", default=4, help="so many trainings of each variant")
@click.option("--method", "methods", multiple=True, type=click.Choice(list(METHODS)), default=list(METHODS))
def main(training: Path, test: Path, parts: tuple[str, ...], seeds: int, methods: tuple[str, ...]) -> None:
    """Learn and train on photographs of TRAINING, test on TEST: the named PARTS, or those that the results lack."""
    path = results_file("studies/architecture")
    results: Json = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results |= {"training": training.name, "test": test.name}
    torch.set_num_threads(1)

    def keeps(part: str) -> Callable[[Json], None]:
        def keep(found: Json) -> None:
            results[part] = found
            write("studies/architecture", {key: value for key, value in results.items() if key != "machine"})

        return keep

    runs: dict[str, Callable[[Callable[[Json], None]], None]] = {
        "profiles": lambda keep: profiles_part(training, keep, {} if parts else results.get("profiles", {})),
        "widths": lambda keep: widths_part(training, test, methods, seeds, keep),
        "pruning": lambda keep: pruning_part(training, test, keep),
    }
    for part in parts or [part for part in runs if part not in results or part == "profiles"]:
        runs[part](keeps(part))


if __name__ == "__main__":
    main()
