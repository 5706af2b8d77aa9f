"""Train one branch and two branches alike, and measure what they restore."""

from pathlib import Path

import click
import pandas as pd

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Name, Seed, load_params
from faig.base.seeds import derive_seed
from faig.data.crops import batches
from faig.data.pairs import read_entries, split_pairs
from faig.data.targets import TargetParams
from faig.experiments.branches import (
    ONE,
    TWO,
    BranchesParams,
    add_branch,
    measure,
    num_flops,
    num_parameters,
    objective,
)
from faig.networks.models import Network
from faig.networks.training import fit, l1
from faig.networks.weights import NetworkChoice, load_network
from stages.shared.cli import checkpoint_folder, delete_afterwards, reads, stage, writes
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "lr", "pairs", "baseline")
@writes(output="quality per network, replicate, degradation and test image, Parquet")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, output: Path) -> None:
    """Compare one branch with two."""
    params, seed = load_params("compare_branches", BranchesParams), load_params("seed", Seed)
    mixture = load_params(f"targets.{load_params('main_target', Name)}", TargetParams).mixture
    choice, compute = load_params("network", NetworkChoice), resolve(load_params("compute", ComputeParams))
    train, test = split_pairs(read_entries(pairs), hr, lr)
    inputs, tables = {name: batches(test, name) for name in sorted(mixture)}, []
    for replicate in range(params.replicates):
        own_seed = derive_seed(seed, "compare_branches", str(replicate))
        one, _ = load_network(baseline, choice)
        if not isinstance(one, Network):
            click.echo(f"{choice.name} has no blocks that a second branch could modulate: nothing is compared")
            write_parquet(output, pd.DataFrame())
            return
        two = add_branch(one, len(mixture), params.budget, own_seed)
        for name, network, loss in ((ONE, one, l1), (TWO, two, objective(params.weight))):
            size = {"parameters": num_parameters(network), "gflops": num_flops(network, params.flops_size) / 1e9}
            weights, _, checkpoint = fit(
                network,
                train,
                test,
                mixture,
                params.training,
                compute,
                seed=own_seed,
                checkpoints=checkpoint_folder("compare_branches", name),
                description=f"train {name}, replicate {replicate}",
                objective=loss,
            )
            delete_afterwards(checkpoint)
            network.load_state_dict(weights)
            tables.append(measure(network, inputs, compute).assign(network=name, replicate=replicate, **size))
    write_parquet(output, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    main()
