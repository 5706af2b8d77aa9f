"""Which part of the path from baseline to target tells the filters apart? ``python -m benchmarks.studies.subpaths``.

After ``dvc repro mask``, in that folder: scores the filters from parts of the path, by the three rules, and with
signs kept, then masks the best 1 % of each ranking. ``path 0 to 1`` of absolute values is FAIG, ``target`` is Taylor
(``faig.experiments.scoring``). Writes benchmarks/studies/results/subpaths.json.
"""

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
from torch import Tensor

from benchmarks.common import write
from faig.attribution.comparisons import discriminate
from faig.attribution.engine import Example, integrate
from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT, Nodes, quadrature
from faig.base.compute import ComputeParams, resolve
from faig.base.params import NonNegative, Seed, load_params
from faig.base.ranking import discovered
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.data.crops import choose_crops, cut
from faig.data.pairs import read_entries, split_pairs
from faig.data.targets import TargetParams
from faig.experiments.loading import load_model
from faig.experiments.masking import measure
from faig.experiments.score_table import Key
from faig.experiments.scoring import ScoreParams
from faig.report.effects import effects
from stages.shared.model import read_test_inputs

QUARTERS, NODES = 4, 4
WHOLE, AT_TARGET, FIRST = "path 0 to 1", "target", "path 0 to 0.25"
ROWS = [
    *((part, "absolute", "share") for part in (WHOLE, "path 0.25 to 1", "path 0.5 to 1", "path 0.75 to 1")),
    *((part, "absolute", "share") for part in (AT_TARGET, FIRST)),
    *((part, "absolute", rule) for part in (WHOLE, AT_TARGET) for rule in ("difference", "plain")),
    *((part, "signed", "share") for part in (WHOLE, AT_TARGET)),
]
"""Part of the path, whether the products of gradient and change are summed with their signs, rule."""
Scores = dict[tuple[str, str], np.ndarray]


def scores_of(model: PathModel, image: Example) -> Scores:
    """One image's scores (F,) by part of the path and sign; with signs, positive where the change lowers the error."""
    positions, coefficients = quadrature("gausslegendre", NODES)
    quarters = [
        integrate(model, *image, Nodes((number + positions) / QUARTERS, coefficients / QUARTERS))[0]
        for number in range(QUARTERS)
    ]
    parts = {FIRST: quarters[0], AT_TARGET: integrate(model, *image, END_POINT)[0]}
    later: Mapping[str, Tensor] | None = None
    for number in reversed(range(QUARTERS)):
        quarter = quarters[number]
        later = quarter if later is None else {name: value + later[name] for name, value in quarter.items()}
        parts[f"path {number / QUARTERS:g} to 1"] = later
    found: Scores = {}
    for part, values in parts.items():
        absolute = {name: value.abs() for name, value in values.items()}
        found[part, "absolute"] = model.index.collect(absolute).cpu().numpy().astype(np.float64)
        found[part, "signed"] = -model.index.collect(values).cpu().numpy().astype(np.float64)
    return found


@click.command()
@click.option("--ratio", default=0.01, help="share of the filters that are masked")
@click.option("--data", default="data", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(ratio: float, data: Path) -> None:
    """Score, mask and write what is removed."""
    params, settings = load_params("score", ScoreParams), load_params("targets.blind", TargetParams)
    seed, networks = load_params("seed", Seed), data / "networks"
    wishes = load_params("compute", ComputeParams)
    model = load_model(
        networks / "baseline.safetensors", networks / "blind.safetensors", resolve(wishes).for_gradients()
    )
    hr, lr, pairs = data / "hr", data / "lr", data / "pairs/blind.csv"
    train, _ = split_pairs(read_entries(pairs), hr, lr)
    places = choose_crops(train, params.images, derive_seed(seed, "score"))
    means: dict[str, Scores] = {}
    for name in settings.contrasted:
        images = cut(train, name, places, params.images.size)
        rows = [scores_of(model, image) for image in images]
        means[name] = {key: np.mean([row[key] for row in rows], axis=0) for key in rows[0]}
        click.echo(f"{name}: {len(images)} crops scored")
    chosen = {
        Key(" ".join(row), name): discovered(
            discriminate({key: scores[row[0], row[1]] for key, scores in means.items()}, name, row[2]), ratio
        )
        for row in ROWS
        for name in settings.attribute
    }
    inputs = read_test_inputs(pairs, hr, lr, settings.attribute)
    table = measure(model, inputs, chosen)
    bootstrap, min_gain = load_params("bootstrap", BootstrapParams), load_params("min_gain", NonNegative)
    results = effects(table, settings.attribute, min_gain, bootstrap, derive_seed(seed, "bootstrap"))
    rows = [
        {"part": part, "products": products, "rule": rule, **results[" ".join((part, products, rule))]}
        for part, products, rule in ROWS
    ]
    write("studies/subpaths", {"ratio": ratio, "filters": model.index.num_filters, "crops": len(places), "rows": rows})


if __name__ == "__main__":
    main()
