"""Train the baseline: clean inputs only, so it upscales and removes no degradation."""

from pathlib import Path

import pandas as pd

from faig.compute import ComputeParams, resolve
from faig.crops import batches
from faig.networks import NetworkParams, NetworkSpec, build_network, save_network
from faig.pairs import list_pairs, split_pairs
from faig.params import Scale, Seed, load_params
from faig.processes import process_group
from faig.seeds import derive_seed
from faig.targets import CLEAN
from faig.training import TrainingParams, fit, mean_psnr
from stages.cli import checkpoint_folder, delete_afterwards, path_option, relaunched, stage
from stages.outputs import write_csv, write_json


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
    seed = derive_seed(load_params("seed", Seed), "train_baseline")
    spec = NetworkSpec(params=load_params("network", NetworkParams), scale=load_params("scale", Scale))
    compute = resolve(wishes)
    train, test = split_pairs(list_pairs(hr, lr, [CLEAN]), hr, lr)
    network = build_network(spec, seed)
    with process_group(compute.device) as group:
        weights, points, checkpoint = fit(
            network,
            train,
            test,
            {CLEAN: 1.0},
            params,
            compute,
            seed=seed,
            checkpoints=checkpoint_folder("train_baseline"),
            description="train_baseline",
            group=group,
        )
        if not group.is_writer:
            return
    delete_afterwards(checkpoint)
    network.load_state_dict(weights)
    quality = mean_psnr(network, batches(test, CLEAN), compute)
    save_network(output, spec, weights)
    write_json(metrics, {"train_baseline": {"psnr": quality, **compute.describe()}})
    write_csv(curve, pd.DataFrame(points))


if __name__ == "__main__":
    main()
