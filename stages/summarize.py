"""Turn what was measured into numbers, metrics and figures. Runs no network."""

from pathlib import Path
from typing import Any

from faig.base.params import Name, NonNegative, Ratio, Seed, load_params
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import Method, discovered_by, read_layers, read_metadata
from faig.figures.charts import kinship_chart, selectivity_chart
from faig.figures.pictures import masking_picture
from faig.figures.plots import layer_profile, ratio_curves
from faig.report.effects import effects, gains
from faig.report.mission import check_results, curve_table, curves_of, headline, quality_table, stacked, with_depths
from faig.report.numbers import write_numbers
from faig.report.prediction import evaluate_predictors, predictors
from faig.report.yardstick import yardstick
from stages.shared.cli import path_option, stage, writes
from stages.shared.outputs import read_parquet, write_csv, write_json


@stage
@path_option("curves", "training curves, by network")
@path_option("scores", "score tables, by target")
@path_option("masks", "quality of the main target's masked networks at mask_ratio")
@path_option("sweeps", "PSNR of masked networks over the ratio, by target")
@path_option("pictures", "images to be shown of the main target's")
@path_option("predictions", "features of each crop")
@writes(metrics="the headline, JSON", numbers="all numbers with their intervals, Parquet", plots="folder of figures")
def main(curves: Path, scores: Path, predictions: Path, plots: Path, **paths: Path) -> None:
    """Summarize all targets."""
    targets, bootstrap = load_params("targets", dict[Name, TargetParams]), load_params("bootstrap", BootstrapParams)
    main_target, tiles = load_params("main_target", Name), load_params("dataset.test_tiles", dict[str, int] | None)
    seed, min_gain = derive_seed(load_params("seed", Seed), "bootstrap"), load_params("min_gain", NonNegative)
    method, ratio = load_params("method", Method), load_params("mask_ratio", Ratio)
    layers, attributed = read_layers(scores / f"{main_target}.parquet"), targets[main_target].attribute
    found: dict[str, Any] = {}  # by target and degradation, the discovered filters (n,)
    results: dict[str, Any] = {"finetune": {}, "score": {}, "ratios": {}, "yardstick": {}, "mask": {}}
    for name, target in targets.items():
        file = f"{name}.parquet"
        results["finetune"][name] = gains(sweep := read_parquet(paths["sweeps"] / file), bootstrap, seed)
        results["ratios"][name] = curves_of(sweep, target.attribute, min_gain, bootstrap, seed)
        results["yardstick"][name] = yardstick(sweep, target.attribute, min_gain, bootstrap, seed, tiled=bool(tiles))
        results["score"][name] = check_results(read_metadata(scores / file))
        kinship_chart(results["score"][name], layers.names, plots / f"kinship/{name}.png")
        found[name] = discovered_by(scores / file, ratio, len(layers.numbers), method)
        counts = {of: layers.count(filters) for of, filters in found[name].items()}
        layer_profile(counts, layers.sizes, layers.names, plots / f"layers/{name}.png")
        ratio_curves(curve_table(results["ratios"][name]), plots / f"ratios/{name}.png")
    results["finetune"][main_target] = gains(measured := read_parquet(paths["masks"]), bootstrap, seed)
    results["mask"][main_target] = masked = effects(measured, attributed, min_gain, bootstrap, seed)
    masked[method] = with_depths(masked[method], layers, found[main_target])
    selectivity_chart(masked[method], plots / f"selectivity/{main_target}.png")
    masking_picture(read_parquet(paths["pictures"]), plots / f"masks/{main_target}.png")
    removed = {name: curve_table(values) for name, values in results["ratios"].items()}
    write_csv(plots / "removed.csv", stacked(removed, "network"))
    write_csv(plots / "quality.csv", quality_table(measured, method))
    trained = {name: read_parquet(curves / f"{name}.parquet") for name in ("baseline", *targets)}
    write_csv(plots / "training.csv", stacked(trained, "network"))
    features, classes = read_parquet(predictions), load_params("predict.classes", list[Name])
    named, results["predict"] = evaluate_predictors(features, attributed, classes, bootstrap)
    told = named.melt("class", predictors(features), "predictor", "predicted").rename(columns={"class": "actual"})
    write_csv(plots / "confusion.csv", told)
    write_numbers(paths["numbers"], results)
    write_json(paths["metrics"], headline(results, main_target, method))


if __name__ == "__main__":
    main()
