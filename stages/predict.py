"""Tell each test crop's degradation from the discovered filters, by overlap and by response."""

from pathlib import Path

import numpy as np
import pandas as pd

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Ratio, load_params
from faig.experiments.loading import load_model
from faig.experiments.masking import mask
from faig.experiments.prediction import PredictParams, evaluate, overlap, response
from faig.experiments.score_table import read_discovered
from stages.shared.cli import path_option, stage
from stages.shared.outputs import write_csv, write_json, write_parquet
from stages.shared.prediction_crops import read_prediction_crops


@stage
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("crop-scores", "scores of each crop, Parquet")
@path_option("output", "features and predictions of each crop, Parquet")
@path_option("metrics", "accuracy, JSON")
@path_option("confusion", "folder of true and predicted classes, a CSV per predictor")
def main(
    hr: Path,
    lr: Path,
    baseline: Path,
    network: Path,
    scores: Path,
    crop_scores: Path,
    output: Path,
    metrics: Path,
    confusion: Path,
) -> None:
    """Predict the class of each test crop."""
    params = load_params("predict", PredictParams)
    model = load_model(baseline, network, resolve(load_params("compute", ComputeParams)))
    chosen = read_discovered(scores, load_params("mask_ratio", Ratio), model.index.num_filters)
    found = {key.degradation: filters for key, filters in chosen.items() if key.method == "faig"}
    masked = {name: mask(model.target, model.baseline, model.index, filters) for name, filters in found.items()}
    crops = read_prediction_crops(hr, lr, params)
    own = np.stack(pd.read_parquet(crop_scores)["scores"].to_list())
    features = {"overlap": overlap(own, found), "response": response(model, masked, [crop.lr for crop in crops])}
    table, results = evaluate(crops, features, list(found), params)
    for name in features:
        tests = table[table["set"] == "test"]
        write_csv(confusion / f"{name}.csv", pd.DataFrame({"actual": tests["class"], "predicted": tests[name]}))
    write_parquet(output, table)
    write_json(metrics, {"predict": results})


if __name__ == "__main__":
    main()
