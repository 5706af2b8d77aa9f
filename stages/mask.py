"""Mask the discovered filters at ``mask_ratio``: where they lie, what is lost, and how it looks."""

from pathlib import Path

import click
import numpy as np

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Ratio, Scale, Seed, load_params
from faig.base.progress import Progress
from faig.base.seeds import derive_seed
from faig.data.crops import single
from faig.data.targets import TargetParams
from faig.experiments.loading import load_model
from faig.experiments.masking import MaskParams, effects, measure, num_networks
from faig.experiments.score_table import read_discovered
from faig.figures.charts import selectivity_chart
from faig.figures.pictures import masking_picture
from faig.figures.plots import layer_profile
from stages.shared.cli import path_option, stage
from stages.shared.inputs import read_test_inputs
from stages.shared.outputs import write_json, write_parquet


@stage
@click.option("--target", required=True, help="name under `targets` in params.yaml")
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("output", "quality per network, degradation and test image, Parquet")
@path_option("metrics", "removed, collateral, selectivity, JSON")
@path_option("picture", "what masking does, PNG")
@path_option("layers", "where the discovered filters lie, PNG")
@path_option("matrix", "share of the gain on each degradation's inputs lost, PNG")
def main(
    target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, **outputs: Path
) -> None:
    """Mask the discovered filters of one target."""
    params = load_params("mask", MaskParams)
    settings = load_params(f"targets.{target}", TargetParams)
    seed = derive_seed(load_params("seed", Seed), "bootstrap")
    model = load_model(baseline, network, resolve(load_params("compute", ComputeParams)))
    chosen = read_discovered(scores, load_params("mask_ratio", Ratio), model.index.num_filters)
    inputs = read_test_inputs(pairs, hr, lr, settings.degradations)
    with Progress(num_networks(chosen) * len(inputs), f"mask {target}") as progress:
        table = measure(model, inputs, chosen, border=load_params("scale", Scale), advance=progress.advance)
    results = effects(table, settings.attribute, params, lambda: np.random.default_rng(seed))
    found = {key.degradation: filters for key, filters in chosen.items() if key.method == "faig"}
    for name, filters in found.items():
        results["faig"][name]["mean_depth"] = float(model.index.depths(filters).mean())
    pictured = {name: single(inputs[name], params.picture) for name in settings.attribute}
    masking_picture(model, pictured, chosen, outputs["picture"])
    counts = {name: model.index.count_by_layer(filters) for name, filters in found.items()}
    layer_profile(counts, model.index.sizes, model.index.layers, outputs["layers"])
    selectivity_chart(results["faig"], outputs["matrix"])
    write_parquet(outputs["output"], table)
    write_json(outputs["metrics"], {"mask": {target: results}})


if __name__ == "__main__":
    main()
