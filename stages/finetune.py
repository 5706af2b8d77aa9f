"""Fine-tune the baseline into a target on the target's mixture of degradations."""

from dataclasses import replace
from pathlib import Path

import click

from faig.base.compute import ComputeParams, resolve
from faig.base.params import load_params
from faig.base.processes import process_group
from faig.data.crops import batches
from faig.data.pairs import read_entries, split_pairs
from faig.data.targets import TargetParams
from faig.networks.models import load_network, save_network
from faig.networks.training import TrainingParams, mean_psnr
from stages.shared.cli import path_option, relaunched, stage
from stages.shared.fitting import fit_or_load
from stages.shared.outputs import write_csv, write_json


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
    split = split_pairs(read_entries(pairs), hr, lr)
    network, spec = load_network(baseline)
    images = {name: batches(split[1], name) for name in settings.degradations}
    with process_group(compute.device) as group:
        before = {name: mean_psnr(compute.place_network(network), images[name], compute) for name in images}
        weights, points = fit_or_load(
            target, ("finetune", target), network, spec, split, settings.mixture, params, compute, group
        )
        if not group.is_writer:
            return
    network.load_state_dict(weights)
    after = {name: mean_psnr(network, images[name], compute) for name in images}
    save_network(output, spec, weights)
    quality = {n: {"psnr_baseline": old, "psnr_target": after[n], "gain": after[n] - old} for n, old in before.items()}
    write_json(metrics, {"finetune": {target: {**quality, **compute.describe()}}})
    write_csv(curve, points)


if __name__ == "__main__":
    main()
