"""Features of every crop from which its degradation can be told: overlap with the discovered filters, and response."""

from pathlib import Path

import numpy as np

from faig.base.params import load_params
from faig.experiments.prediction import PredictParams, overlap, response, table_of
from stages.shared.cli import path_option, reads, stage, writes
from stages.shared.model import read_found, read_model
from stages.shared.outputs import read_parquet, write_parquet
from stages.shared.prediction_crops import read_prediction_crops


@stage
@reads("hr", "lr", "baseline", "network", "scores")
@path_option("crop-scores", "scores of each crop, Parquet")
@writes(output="features of each crop, Parquet")
def main(hr: Path, lr: Path, baseline: Path, network: Path, scores: Path, crop_scores: Path, output: Path) -> None:
    """Find the features of calibration and test crops."""
    model = read_model(baseline, network)
    found = read_found(scores, model)
    crops = read_prediction_crops(hr, lr, load_params("predict", PredictParams))
    own = np.stack(read_parquet(crop_scores)["scores"].to_list())
    masked = {name: model.masked(filters) for name, filters in found.items()}
    features = {"overlap": overlap(own, found), "response": response(model, masked, [crop.lr for crop in crops])}
    write_parquet(output, table_of(crops, features))


if __name__ == "__main__":
    main()
