"""Turn the discovered filters into dials: restoration strength over lambda, one dial alone and two at once."""

from pathlib import Path

import numpy as np

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
from faig.base.progress import Progress
from faig.base.seeds import derive_seed
from faig.data.crops import single
from faig.data.targets import TargetParams
from faig.experiments.loading import load_model
from faig.experiments.modulation import ModulationParams, best_pair, curve_points, grid_points, measure, summarize
from faig.experiments.score_table import read_discovered
from faig.figures.charts import modulation_chart
from faig.figures.pictures import modulation_picture
from stages.shared.cli import path_option, stage
from stages.shared.inputs import read_test_inputs
from stages.shared.outputs import write_json, write_parquet


@stage
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("pairs", "the target's list of pairs, CSV")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("output", "PSNR per dial, lambda, input and test image, Parquet")
@path_option("metrics", "what the dials do, JSON")
@path_option("chart", "curves and grid, PNG")
@path_option("strip", "one photograph over lambda, PNG")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, **outputs: Path) -> None:
    """Modulate the discovered filters of one target."""
    params = load_params("modulate", ModulationParams)
    seed = derive_seed(load_params("seed", Seed), "bootstrap")
    settings, border = load_params(f"targets.{params.target}", TargetParams), load_params("scale", Scale)
    model = load_model(baseline, network, resolve(load_params("compute", ComputeParams)))
    rankings = read_discovered(scores, params.ratio, model.index.num_filters, ["faig"])
    found = {key.degradation: filters for key, filters in rankings.items()}
    inputs = read_test_inputs(pairs, hr, lr, settings.degradations)
    mixed = {params.mixed: inputs[params.mixed]}
    alone_at, both_at = curve_points(found, params), grid_points(found, params)
    with Progress(len(alone_at) + len(both_at), "modulate") as progress:
        alone = measure(model, inputs, alone_at, border=border, advance=progress.advance)
        both = measure(model, mixed, both_at, border=border, advance=progress.advance)
    results = summarize(alone, params, lambda: np.random.default_rng(seed))
    if both_at:
        results[params.mixed] = best_pair(both, list(found))
    modulation_chart(alone, both, list(found), outputs["chart"])
    pictured = {name: single(inputs[name], params.picture) for name in found}
    modulation_picture(model, pictured, found, params.strip, outputs["strip"])
    write_parquet(outputs["output"], alone)
    write_json(outputs["metrics"], {"modulate": results})


if __name__ == "__main__":
    main()
