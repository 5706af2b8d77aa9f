"""Train only some filters, and graft and shuffle weights: do weights, locations and connections matter?"""

from pathlib import Path

import numpy as np
import pandas as pd

from faig.base.params import Seed, load_params
from faig.base.seeds import derive_seed
from faig.data.crops import batches
from faig.data.pairs import read_entries, split_pairs
from faig.experiments.retraining import RetrainParams, measure, train_only, trained_variants, untrained
from faig.networks.training import fit
from faig.networks.weights import NetworkChoice, load_network
from stages.shared.cli import checkpoint_folder, delete_afterwards, reads, stage, writes
from stages.shared.model import read_found, read_model
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "lr", "pairs", "baseline", "network", "scores")
@writes(output="PSNR per degradation, variant, replicate and test image, Parquet")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, output: Path) -> None:
    """Retrain parts of the baseline on each degradation of the main target."""
    params, seed = load_params("retrain", RetrainParams), load_params("seed", Seed)
    model = read_model(baseline, network)
    train, test = split_pairs(read_entries(pairs), hr, lr)
    tables: list[pd.DataFrame] = []
    for name, found in read_found(scores, model).items():
        generator = np.random.default_rng(derive_seed(seed, "retrain", name))
        networks = untrained(model, found, params.replicates, generator)
        for variant in trained_variants(model.index, found, params.replicates, generator):
            start, _ = load_network(baseline, load_params("network", NetworkChoice))
            train_only(start, model.index, variant.filters)
            weights, _, checkpoint = fit(
                start,
                train,
                test,
                {name: 1.0},
                params.training,
                model.compute,
                seed=derive_seed(seed, "retrain", name, str(variant.replicate)),
                checkpoints=checkpoint_folder("retrain", variant.digest()),
                description=f"retrain {variant.name} filters for {name}, replicate {variant.replicate}",
            )
            delete_afterwards(checkpoint)
            moved = {key: model.compute.cast(value) for key, value in weights.items()}
            networks.append((variant.name, variant.replicate, moved))
        tables.append(measure(model, networks, {name: batches(test, name)}))
    write_parquet(output, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    main()
