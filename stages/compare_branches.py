"""Train one branch and two branches alike, and compare what they restore."""

from pathlib import Path

import numpy as np
import pandas as pd

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
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
    summarize,
)
from faig.networks.models import load_network
from faig.networks.training import fit, l1
from stages.shared.cli import checkpoint_folder, delete_afterwards, path_option, stage
from stages.shared.outputs import write_json, write_parquet


@stage
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the weights that both start with")
@path_option("output", "quality per network, replicate, degradation and test image, Parquet")
@path_option("metrics", "quality, parameters and operations of both, JSON")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, output: Path, metrics: Path) -> None:
    """Compare one branch with two."""
    params, seed = load_params("compare_branches", BranchesParams), load_params("seed", Seed)
    mixture = load_params(f"targets.{params.target}", TargetParams).mixture
    border, compute = load_params("scale", Scale), resolve(load_params("compute", ComputeParams))
    train, test = split_pairs(read_entries(pairs), hr, lr)
    inputs = {name: batches(test, name) for name in sorted(mixture)}
    tables, sizes = [], {}
    for replicate in range(params.replicates):
        own_seed = derive_seed(seed, "compare_branches", str(replicate))
        one, _ = load_network(baseline)
        networks = {
            ONE: (one, l1),
            TWO: (add_branch(one, len(mixture), params.budget, own_seed), objective(params.weight)),
        }
        for name, (network, loss) in networks.items():
            size = params.flops_size
            sizes[name] = {"parameters": num_parameters(network), "gflops": num_flops(network, size) / 1e9}
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
            table = measure(network, inputs, compute, border=border)
            tables.append(table.assign(network=name, replicate=replicate))
    table = pd.concat(tables, ignore_index=True)
    results = summarize(table, params, np.random.default_rng(derive_seed(seed, "bootstrap")))
    write_parquet(output, table)
    write_json(metrics, {"compare_branches": {**results, **sizes}})


if __name__ == "__main__":
    main()
