"""Score every filter by every method for each of a target's degradations."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Seed, load_params
from faig.base.processes import process_group
from faig.base.resuming import Store
from faig.base.seeds import derive_seed
from faig.data.pairs import read_entries, split_pairs
from faig.data.targets import CLEAN, TargetParams
from faig.experiments.score_table import write_scores
from faig.experiments.scoring import ScoreParams, compare_weights, cut_crops, score_filters, warnings_of
from stages.shared.cli import TARGET, checkpoint_folder, delete_afterwards, reads, relaunched, stage, writes
from stages.shared.foresight import foreseen
from stages.shared.network import read_path


@stage
@TARGET
@reads("hr", "lr", "pairs", "baseline", "network")
@writes(output="score of every filter by every method, Parquet")
def main(target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, output: Path) -> None:
    """Score the filters of one target."""
    params, wishes = load_params("score", ScoreParams), load_params("compute", ComputeParams)
    if relaunched(wishes.launcher):
        return
    settings, seed = load_params(f"targets.{target}", TargetParams), load_params("seed", Seed)
    compute = resolve(wishes).for_gradients()
    with process_group(compute.device) as group:
        model = read_path(baseline, network, compute)
        train, _ = split_pairs(read_entries(pairs), hr, lr)
        images, learnt_from, crops = cut_crops(train, settings, params, seed)
        kinship, warning = compare_weights(model, images[CLEAN][0], params)
        click.echo(warning if group.is_writer else "", err=True, nl=False)
        generator, learning = np.random.default_rng(derive_seed(seed, "random")), derive_seed(seed, "learning")
        files = [path.read_bytes() for path in (network, baseline, pairs)]
        store = Store.unique(checkpoint_folder("score", target), *files, params, settings, seed, compute.describe())
        with foreseen(target, model, images, learnt_from, settings, params, group) as bar:
            scores, checks = score_filters(
                model, images, learnt_from, settings, params, learning, generator, group, bar.advance, store
            )
        if not group.is_writer:
            return
    delete_afterwards(store.folder)
    described = {"target": target, "settings": asdict(params), **asdict(settings), "checks": checks, "kinship": kinship}
    described["computed_with"] = {**compute.describe(), "processes": str(group.size), "torch": version("torch")}
    described["images"] = list(map(asdict, crops))
    write_scores(output, model.index, scores, described)
    click.echo(warnings_of(checks, settings.attribute, params.quadrature), err=True, nl=False)


if __name__ == "__main__":
    main()
