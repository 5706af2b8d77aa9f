"""Train the baseline: clean inputs only, so it upscales and removes no degradation."""

from pathlib import Path

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Seed, load_params
from faig.base.processes import process_group
from faig.base.seeds import derive_seed
from faig.data.pairs import list_pairs, split_pairs
from faig.data.targets import CLEAN
from faig.networks.training import TrainingParams
from faig.networks.weights import make_network, save_network
from stages.shared.cli import reads, relaunched, stage, writes
from stages.shared.fitting import fit_or_load
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "lr")
@writes(output="weights, safetensors", curve="training curve, Parquet")
def main(hr: Path, lr: Path, output: Path, curve: Path) -> None:
    """Train the baseline."""
    params, wishes = load_params("train_baseline", TrainingParams), load_params("compute", ComputeParams)
    if relaunched(wishes.launcher):
        return
    run = ("train_baseline",)
    seed = derive_seed(load_params("seed", Seed), *run)
    compute = resolve(wishes)
    pairs = split_pairs(list_pairs(hr, lr, [CLEAN]), hr, lr)
    with process_group(compute.device) as group:
        weights, spec, points = fit_or_load(
            "baseline",
            run,
            lambda choice, scale: make_network(choice, scale, seed),
            pairs,
            {CLEAN: 1.0},
            params,
            compute,
            group,
        )
    if group.is_writer:
        save_network(output, spec, weights)
        write_parquet(curve, points)


if __name__ == "__main__":
    main()
