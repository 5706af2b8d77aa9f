"""Train the baseline: clean inputs only, so it upscales and removes no degradation."""

from pathlib import Path

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
from faig.base.processes import process_group
from faig.base.seeds import derive_seed
from faig.data.pairs import list_pairs, split_pairs
from faig.data.targets import CLEAN
from faig.networks.models import NetworkChoice, NetworkSpec, build_network, save_network
from faig.networks.training import TrainingParams
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
    spec = NetworkSpec(params=load_params("network", NetworkChoice).params, scale=load_params("scale", Scale))
    compute = resolve(wishes)
    pairs = split_pairs(list_pairs(hr, lr, [CLEAN]), hr, lr)
    network = build_network(spec, derive_seed(load_params("seed", Seed), *run))
    with process_group(compute.device) as group:
        weights, points = fit_or_load("baseline", run, network, spec, pairs, {CLEAN: 1.0}, params, compute, group)
    if group.is_writer:
        save_network(output, spec, weights)
        write_parquet(curve, points)


if __name__ == "__main__":
    main()
