"""Mask over a range of ratios: what each method's filters remove, and what they cost elsewhere."""

from pathlib import Path

import click
import numpy as np
import pandas as pd

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
from faig.base.progress import Progress
from faig.base.seeds import derive_seed
from faig.data.targets import TargetParams
from faig.experiments.loading import load_model
from faig.experiments.masking import MaskParams, SweepParams, effects, measure, num_networks
from faig.experiments.score_table import read_discovered
from faig.figures.plots import ratio_curves
from stages.shared.cli import path_option, stage
from stages.shared.inputs import read_test_inputs
from stages.shared.outputs import write_csv


@stage
@click.option("--target", required=True, help="name under `targets` in params.yaml")
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("output", "removed, collateral, selectivity over the ratio, CSV")
@path_option("curves", "the same as a picture, PNG")
def main(
    target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, **outputs: Path
) -> None:
    """Mask one target's filters over a range of ratios."""
    params, sweep = load_params("mask", MaskParams), load_params("sweep", SweepParams)
    settings = load_params(f"targets.{target}", TargetParams)
    seed = derive_seed(load_params("seed", Seed), "bootstrap")
    model = load_model(baseline, network, resolve(load_params("compute", ComputeParams)))
    inputs, scale = read_test_inputs(pairs, hr, lr, settings.degradations), load_params("scale", Scale)
    num_filters = model.index.num_filters
    chosen = {ratio: read_discovered(scores, ratio, num_filters, sweep.methods) for ratio in sweep.ratios}
    rows = []
    with Progress(sum(map(num_networks, chosen.values())) * len(inputs), f"sweep {target}") as progress:
        for ratio, filters in chosen.items():
            table = measure(model, inputs, filters, border=scale, advance=progress.advance, full=False)
            results = effects(table, settings.attribute, params, lambda: np.random.default_rng(seed))
            for method, by_degradation in results.items():
                for degradation, values in by_degradation.items():
                    rows.append({"method": method, "degradation": degradation, "ratio": ratio, **flat(values)})
    table = pd.DataFrame(rows)
    ratio_curves(table, outputs["curves"])
    write_csv(outputs["output"], table)


def flat(values: dict[str, object]) -> dict[str, object]:
    """Nested values as columns: ``{"lost_db": {"clean": 0.1}}`` becomes ``{"lost_db_clean": 0.1}``."""
    return pd.json_normalize(values, sep="_").iloc[0].to_dict()


if __name__ == "__main__":
    main()
