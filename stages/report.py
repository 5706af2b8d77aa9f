"""Turn what was measured into numbers, metrics and figures. Runs no network."""

from pathlib import Path
from typing import Any

import pandas as pd

from faig.base.params import Name, NonNegative, Ratio, Seed, load_params
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import read_discovered, read_layers, read_metadata
from faig.figures.charts import selectivity_chart
from faig.figures.pictures import masking_picture
from faig.figures.plots import layer_profile, ratio_curves
from faig.report.mission import METHOD, check_results, curve_table, depth_results, headline, masking_results
from faig.report.numbers import write_numbers
from faig.report.prediction import evaluate_predictors, predictors
from stages.shared.cli import path_option, stage, writes
from stages.shared.outputs import read_parquet, write_csv, write_json


@stage
@path_option("curves", "training curves, by network")
@path_option("scores", "score tables, by target")
@path_option("masks", "quality of masked networks at mask_ratio, by target")
@path_option("sweeps", "the same over the ratio, by target")
@path_option("pictures", "images to be shown, by target")
@path_option("predictions", "features of each crop")
@writes(metrics="the headline, JSON", numbers="all numbers with their intervals, Parquet", plots="folder of figures")
def main(curves: Path, scores: Path, predictions: Path, plots: Path, **paths: Path) -> None:
    """Report on all targets."""
    targets, bootstrap = load_params("targets", dict[Name, TargetParams]), load_params("bootstrap", BootstrapParams)
    main_target, ratio = load_params("main_target", Name), load_params("mask_ratio", Ratio)
    seed, min_gain = derive_seed(load_params("seed", Seed), "bootstrap"), load_params("min_gain", NonNegative)
    results: dict[str, Any] = {"finetune": {}, "score": {}, "mask": {}, "ratios": {}}
    for name, target in targets.items():
        file = f"{name}.parquet"
        masks, sweep = (read_parquet(paths[folder] / file) for folder in ("masks", "sweeps"))
        masked = masking_results(name, masks, sweep, target.attribute, min_gain, bootstrap, seed)
        for section, values in masked.items():
            results[section] |= values
        results["score"][name] = check_results(read_metadata(scores / file)["checks"])
        layers = read_layers(scores / file)
        rankings = read_discovered(scores / file, ratio, len(layers.numbers), [METHOD])
        found = {key.degradation: filters for key, filters in rankings.items()}
        own = results["mask"][name][METHOD]
        for degradation, depth in depth_results(layers, found).items():
            own[degradation]["mean_depth"] = depth
        counts = {degradation: layers.count(filters) for degradation, filters in found.items()}
        layer_profile(counts, layers.sizes, layers.names, plots / f"layers/{name}.png")
        selectivity_chart(own, plots / f"selectivity/{name}.png")
        masking_picture(read_parquet(paths["pictures"] / file), plots / f"masks/{name}.png")
        curve = curve_table(results["ratios"][name])
        ratio_curves(curve, plots / f"ratios/{name}.png")
        write_csv(plots / f"removed/{name}.csv", curve)
    for name in ("baseline", *targets):
        write_csv(plots / f"training/{name}.csv", read_parquet(curves / f"{name}.parquet"))
    features = read_parquet(predictions)
    classes = load_params("predict.classes", list[Name])
    named, results["predict"] = evaluate_predictors(features, targets[main_target].attribute, classes, bootstrap)
    for predictor in predictors(features):
        confusion = pd.DataFrame({"actual": named["class"], "predicted": named[predictor]})
        write_csv(plots / f"confusion/{predictor}.csv", confusion)
    write_numbers(paths["numbers"], results)
    write_json(paths["metrics"], headline(results, main_target))


if __name__ == "__main__":
    main()
