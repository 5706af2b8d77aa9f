"""Train only some filters, and graft and shuffle weights: do weights, locations and connections matter?"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
from faig.base.seeds import derive_seed
from faig.data.crops import batches
from faig.data.pairs import read_entries, split_pairs
from faig.experiments.loading import load_model
from faig.experiments.retraining import RetrainParams, measure, summarize, train_only, trained_variants, untrained
from faig.experiments.score_table import read_discovered
from faig.figures.charts import retraining_chart
from faig.networks.models import load_network
from faig.networks.training import fit
from stages.shared.cli import checkpoint_folder, delete_afterwards, path_option, stage
from stages.shared.outputs import write_json, write_parquet


@stage
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("output", "PSNR per degradation, variant, replicate and test image, Parquet")
@path_option("metrics", "share of the target's gain that each variant recovers, JSON")
@path_option("chart", "the same as a chart, PNG")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, **outputs: Path) -> None:
    """Retrain parts of the baseline on each degradation of one target."""
    params, seed = load_params("retrain", RetrainParams), load_params("seed", Seed)
    border, compute = load_params("scale", Scale), resolve(load_params("compute", ComputeParams))
    model = load_model(baseline, network, compute)
    train, test = split_pairs(read_entries(pairs), hr, lr)
    tables: list[pd.DataFrame] = []
    results: dict[str, Any] = {}
    for key, found in read_discovered(scores, params.ratio, model.index.num_filters, ["faig"]).items():
        name = key.degradation
        generator = np.random.default_rng(derive_seed(seed, "retrain", name))
        networks = untrained(model, found, params.replicates, generator)
        for variant in trained_variants(model.index, found, params.replicates, generator):
            start, _ = load_network(baseline)
            train_only(start, model.index, variant.filters)
            weights, _, checkpoint = fit(
                start,
                train,
                test,
                {name: 1.0},
                params.training,
                compute,
                seed=derive_seed(seed, "retrain", name, str(variant.replicate)),
                checkpoints=checkpoint_folder("retrain", variant.digest()),
                description=f"retrain {variant.name} filters for {name}, replicate {variant.replicate}",
            )
            delete_afterwards(checkpoint)
            networks.append((variant.name, variant.replicate, {part: compute.cast(weights[part]) for part in weights}))
        tables.append(measure(model, networks, batches(test, name), border=border).assign(degradation=name))
        results[name] = summarize(tables[-1], params, np.random.default_rng(derive_seed(seed, "bootstrap")))
    retraining_chart(results, outputs["chart"])
    write_parquet(outputs["output"], pd.concat(tables, ignore_index=True))
    write_json(outputs["metrics"], {"retrain": results})


if __name__ == "__main__":
    main()
