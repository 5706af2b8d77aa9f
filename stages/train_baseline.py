"""Train the baseline: clean inputs only, so it upscales and removes no degradation."""

from pathlib import Path

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
from faig.base.processes import process_group
from faig.base.seeds import derive_seed
from faig.data.crops import batches
from faig.data.pairs import list_pairs, split_pairs
from faig.data.targets import CLEAN
from faig.networks.models import NetworkChoice, NetworkSpec, build_network, save_network
from faig.networks.training import TrainingParams, mean_psnr
from stages.shared.cli import path_option, relaunched, stage
from stages.shared.fitting import fit_or_load
from stages.shared.outputs import write_csv, write_json


@stage
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("output", "weights, safetensors")
@path_option("metrics", "PSNR on the test images, JSON")
@path_option("curve", "training curve, CSV")
def main(hr: Path, lr: Path, output: Path, metrics: Path, curve: Path) -> None:
    """Train the baseline."""
    params, wishes = load_params("train_baseline", TrainingParams), load_params("compute", ComputeParams)
    if relaunched(wishes.launcher):
        return
    run = ("train_baseline",)
    choice = load_params("network", NetworkChoice)
    spec = NetworkSpec(params=choice.params, scale=load_params("scale", Scale))
    compute = resolve(wishes)
    pairs = split_pairs(list_pairs(hr, lr, [CLEAN]), hr, lr)
    network = build_network(spec, derive_seed(load_params("seed", Seed), *run))
    with process_group(compute.device) as group:
        weights, points = fit_or_load("baseline", run, network, spec, pairs, {CLEAN: 1.0}, params, compute, group)
        if not group.is_writer:
            return
    network.load_state_dict(weights)
    quality = mean_psnr(compute.place_network(network), batches(pairs[1], CLEAN), compute)
    save_network(output, spec, weights)
    write_json(metrics, {"train_baseline": {"psnr": quality, **compute.describe()}})
    write_csv(curve, points)


if __name__ == "__main__":
    main()
