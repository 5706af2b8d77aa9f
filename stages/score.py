"""Score every filter by every method for each of a target's degradations."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

from faig.attribution import ScoreParams, load_model
from faig.compute import ComputeParams, resolve
from faig.crops import choose_crops, cut
from faig.pairs import read_entries, split_pairs
from faig.params import Seed, load_params
from faig.progress import Progress
from faig.score_table import write_scores
from faig.scoring import num_passes, score_filters
from faig.seeds import derive_seed
from faig.targets import TargetParams
from stages.cli import path_option, stage
from stages.outputs import write_json


@stage
@click.option("--target", required=True, help="name under `targets` in params.yaml")
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("output", "score table, Parquet")
@path_option("metrics", "convergence of the integrals, JSON")
def main(
    target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, output: Path, metrics: Path
) -> None:
    """Score the filters of one target."""
    params = load_params("score", ScoreParams)
    settings = load_params(f"targets.{target}", TargetParams)
    seed = load_params("seed", Seed)
    model = load_model(baseline, network, resolve(load_params("compute", ComputeParams)))
    train, _ = split_pairs(read_entries(pairs), hr, lr)
    places = choose_crops(train, params.images, derive_seed(seed, "score"))
    leaves = choose_crops(train, params.dead_leaves, derive_seed(seed, "score"), dead_leaves=True)
    images = {
        name: cut(train, name, places, params.images.size) + cut(train, name, leaves, params.dead_leaves.size)
        for name in settings.degradations
    }
    generator = np.random.default_rng(derive_seed(seed, "random"))
    with Progress(num_passes(settings), f"score {target}") as progress:
        scores, errors = score_filters(model, images, settings, params, generator, progress.advance)
    used = {**model.compute.describe(), "torch": version("torch")}
    described = {
        "target": target,
        "settings": asdict(params),
        **asdict(settings),
        "images": list(map(asdict, places + leaves)),
    }
    write_scores(output, model.index, scores, {**described, "convergence_error": errors, "computed_with": used})
    write_json(metrics, {"score": {target: {"convergence_error": max(errors.values())}}})


if __name__ == "__main__":
    main()
