"""Fine-tune the baseline into a target on the target's mixture of degradations."""

from dataclasses import replace
from pathlib import Path

from faig.base.compute import ComputeParams, resolve
from faig.base.params import load_params
from faig.base.processes import process_group
from faig.data.pairs import read_entries, split_pairs
from faig.data.targets import TargetParams
from faig.networks.training import TrainingParams
from faig.networks.weights import load_network, save_network
from stages.shared.cli import TARGET, reads, relaunched, stage, writes
from stages.shared.fitting import fit_or_load
from stages.shared.outputs import write_parquet


@stage
@TARGET
@reads("hr", "lr", "pairs", "baseline")
@writes(output="weights, safetensors", curve="training curve, Parquet")
def main(target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, output: Path, curve: Path) -> None:
    """Fine-tune one target."""
    settings, wishes = load_params(f"targets.{target}", TargetParams), load_params("compute", ComputeParams)
    if relaunched(wishes.launcher):
        return
    params = load_params("finetune", TrainingParams)
    params = replace(params, iterations=max(1, round(params.iterations * settings.effort)))
    compute = resolve(wishes)
    split = split_pairs(read_entries(pairs), hr, lr)
    with process_group(compute.device) as group:
        weights, spec, points = fit_or_load(
            target,
            ("finetune", target),
            lambda choice, _: load_network(baseline, choice),
            split,
            settings.mixture,
            params,
            compute,
            group,
        )
    if group.is_writer:
        save_network(output, spec, weights)
        write_parquet(curve, points)


if __name__ == "__main__":
    main()
