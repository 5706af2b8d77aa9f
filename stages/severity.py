"""Degrade the test photographs at rising levels, and see whether the discovered filters respond more."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Scale, Seed, load_params
from faig.base.progress import track
from faig.base.seeds import derive_seed
from faig.data.images import list_images, read_image
from faig.data.tensors import to_tensor
from faig.experiments.loading import load_model
from faig.experiments.masking import mask
from faig.experiments.prediction import response
from faig.experiments.score_table import read_discovered
from faig.experiments.severity import SeverityParams, at_level, degraded, summarize, trained_level
from faig.figures.charts import severity_chart
from stages.shared.cli import path_option, stage
from stages.shared.outputs import write_json, write_parquet


@stage
@path_option("hr", "HR images, by split")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("output", "response per degradation, level, test image and filters, Parquet")
@path_option("metrics", "rank correlation of level and response, JSON")
@path_option("chart", "response over level, PNG")
def main(hr: Path, baseline: Path, network: Path, scores: Path, **outputs: Path) -> None:
    """Measure the response over the severity of each degradation."""
    params, seed = load_params("severity", SeverityParams), load_params("seed", Seed)
    kinds, kernel, scale = (
        load_params("degradations", dict),
        load_params("downsampling", str),
        load_params("scale", Scale),
    )
    model = load_model(baseline, network, resolve(load_params("compute", ComputeParams)))
    rankings = read_discovered(scores, params.ratio, model.index.num_filters, ["faig"])
    found = {key.degradation: filters for key, filters in rankings.items()}
    masked = {name: mask(model.target, model.baseline, model.index, filters) for name, filters in found.items()}
    photographs = {path.stem: read_image(path) for path in list_images(hr / "test")}
    points = [(name, value) for name, levels in params.levels.items() if name in found for value in levels.values]
    rows: list[dict[str, Any]] = []
    for name, value in track(points, "severity"):
        operations = at_level(f"degradations.{name}", kinds[name], params.levels[name], value)
        for image, pixels in photographs.items():
            lr = degraded(pixels, image, name, operations, scale=scale, downsampling=kernel, seed=seed)
            values = response(model, masked, [to_tensor(lr)])
            own = {"degradation": name, "value": value, "image": image, "detail": values["detail"][0]}
            rows += [own | {"filters": filters, "response": values[filters][0]} for filters in found]
    table = pd.DataFrame(rows)
    trained = {name: trained_level(kinds[name], levels) for name, levels in params.levels.items() if name in found}
    results = summarize(table, trained, params, np.random.default_rng(derive_seed(seed, "bootstrap")))
    severity_chart(table, outputs["chart"])
    write_parquet(outputs["output"], table)
    write_json(outputs["metrics"], {"severity": results})


if __name__ == "__main__":
    main()
