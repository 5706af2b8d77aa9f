"""Fine-tune the baseline into a target on the target's mixture of degradations."""

from dataclasses import replace
from pathlib import Path

import click
import pandas as pd

from faig.compute import ComputeParams, resolve
from faig.crops import batches
from faig.networks import load_network, save_network
from faig.pairs import read_entries, split_pairs
from faig.params import Seed, load_params
from faig.processes import process_group
from faig.seeds import derive_seed
from faig.targets import TargetParams
from faig.training import TrainingParams, fit, mean_psnr
from stages.cli import checkpoint_folder, delete_afterwards, path_option, relaunched, stage
from stages.outputs import write_csv, write_json


@stage
@click.option("--target", required=True, help="name under `targets` in params.yaml")
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the baseline's weights")
@path_option("output", "weights, safetensors")
@path_option("metrics", "PSNR of baseline and target on the test images, JSON")
@path_option("curve", "training curve, CSV")
def main(
    target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, output: Path, metrics: Path, curve: Path
) -> None:
    """Fine-tune one target."""
    settings, wishes = load_params(f"targets.{target}", TargetParams), load_params("compute", ComputeParams)
    if relaunched(wishes.launcher):
        return
    params = load_params("finetune", TrainingParams)
    params = replace(params, iterations=max(1, round(params.iterations * settings.effort)))
    compute = resolve(wishes)
    train, test = split_pairs(read_entries(pairs), hr, lr)
    network, spec = load_network(baseline)
    images = {name: batches(test, name) for name in settings.degradations}
    with process_group(compute.device) as group:
        before = {name: mean_psnr(compute.place_network(network), images[name], compute) for name in images}
        weights, points, checkpoint = fit(
            network,
            train,
            test,
            settings.mixture,
            params,
            compute,
            seed=derive_seed(load_params("seed", Seed), "finetune", target),
            checkpoints=checkpoint_folder("finetune", target),
            description=f"finetune {target}",
            group=group,
        )
        if not group.is_writer:
            return
    delete_afterwards(checkpoint)
    network.load_state_dict(weights)
    after = {name: mean_psnr(network, images[name], compute) for name in images}
    save_network(output, spec, weights)
    quality = {n: {"psnr_baseline": old, "psnr_target": after[n], "gain": after[n] - old} for n, old in before.items()}
    write_json(metrics, {"finetune": {target: {**quality, **compute.describe()}}})
    write_csv(curve, pd.DataFrame(points))


if __name__ == "__main__":
    main()
