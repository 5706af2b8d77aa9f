"""Attribute single crops without ground truth: the raw material of the overlap predictor."""

from pathlib import Path

import click
import numpy as np
import pandas as pd

from faig.attribution.engine import rough, total_error
from faig.attribution.losses import LOSSES, LossName
from faig.attribution.quadrature import quadrature
from faig.base.compute import ComputeParams, resolve
from faig.base.params import load_params
from faig.base.progress import track
from faig.experiments.prediction import PredictParams, attribute_alone
from stages.shared.cli import reads, stage, writes
from stages.shared.network import read_path
from stages.shared.outputs import write_parquet
from stages.shared.prediction_crops import read_prediction_crops


@stage
@reads("hr", "lr", "baseline", "network")
@writes(output="scores of each crop, Parquet")
def main(hr: Path, lr: Path, baseline: Path, network: Path, output: Path) -> None:
    """Attribute the calibration and test crops of all classes."""
    params = load_params("predict", PredictParams)
    model = read_path(baseline, network, resolve(load_params("compute", ComputeParams)).for_gradients())
    nodes = quadrature("gausslegendre", params.num_nodes)
    crops = read_prediction_crops(hr, lr, params)
    loss = LOSSES[load_params("score.loss", LossName)]
    found = [attribute_alone(model, [crop.lr], nodes, loss) for crop in track(crops, "attribute_crops")]
    by_class = {
        name: [a for a, crop in zip(found, crops, strict=True) if crop.label == name] for name in params.classes
    }
    worst = max(by_class, key=lambda name: total_error(by_class[name]))
    more = f"predict.num_nodes above {params.num_nodes}"
    click.echo(rough(total_error(by_class[worst]), f"{worst} crops without ground truth", more), err=True, nl=False)
    columns = {"set": [crop.set for crop in crops], "class": [crop.label for crop in crops]}
    columns |= {"image": [crop.name for crop in crops], "scores": [each.scores[0].astype(np.float32) for each in found]}
    write_parquet(output, pd.DataFrame(columns))


if __name__ == "__main__":
    main()
