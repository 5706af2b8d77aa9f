"""Degrade the test photographs at rising levels, and measure how much the discovered filters respond."""

from pathlib import Path
from typing import Any

import pandas as pd

from faig.base.params import Scale, Seed, load_params
from faig.base.progress import track
from faig.data.images import list_images, read_image
from faig.data.tensors import to_tensor
from faig.experiments.prediction import response
from faig.experiments.severity import SeverityParams, at_level, degraded, trained_level
from stages.shared.cli import reads, stage, writes
from stages.shared.model import read_found, read_model
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "baseline", "network", "scores")
@writes(output="response per degradation, level, test image and filters, Parquet")
def main(hr: Path, baseline: Path, network: Path, scores: Path, output: Path) -> None:
    """Measure the response over the severity of each degradation."""
    params, kinds = load_params("severity", SeverityParams), load_params("degradations", dict)
    scale, downsampling = load_params("scale", Scale), load_params("downsampling", str)
    seed = load_params("seed", Seed)
    model = read_model(baseline, network)
    found = read_found(scores, model)
    masked = {name: model.masked(filters) for name, filters in found.items()}
    photographs = {path.stem: read_image(path) for path in list_images(hr / "test")}
    points = [(name, value) for name, levels in params.levels.items() if name in found for value in levels.values]
    rows: list[dict[str, Any]] = []
    for name, value in track(points, "severity"):
        operations = at_level(f"degradations.{name}", kinds[name], params.levels[name], value, scale=scale)
        level = {"degradation": name, "value": value, "trained": trained_level(kinds[name], params.levels[name])}
        for image, pixels in photographs.items():
            lr = degraded(pixels, image, name, operations, scale=scale, downsampling=downsampling, seed=seed)
            values = response(model, masked, [to_tensor(lr)])
            own = {**level, "image": image, "detail": values["detail"][0]}
            rows += [own | {"filters": filters, "response": values[filters][0]} for filters in found]
    columns = ["degradation", "value", "trained", "image", "detail", "filters", "response"]
    write_parquet(output, pd.DataFrame(rows, columns=columns))


if __name__ == "__main__":
    main()
