"""Candidates for the default, judged on photographs that it is never reported on.

``python -m benchmarks.studies.default path/to/BSD100`` after ``dvc repro prepare``: trains each of :data:`CANDIDATES`
on the training images of data/hr, with params.yaml for all else, and measures gains and what the best 1 % of the
filters remove on a 128 x 128 tile from the middle of every fifth photograph. Adds to
benchmarks/studies/results/default.json; candidates that are there already stay unless named.
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import middle, results_file, write
from faig.attribution.comparisons import discriminate
from faig.attribution.engine import attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.base.compute import ComputeParams, resolve
from faig.base.params import validate
from faig.base.ranking import discovered
from faig.base.seeds import derive_seed
from faig.base.statistics import BootstrapParams
from faig.data.crops import CropParams, batches, choose_crops, cut
from faig.data.degradation import degrade, image_generator, parse_operations
from faig.data.images import list_images, read_image
from faig.data.pairs import Pair
from faig.experiments.masking import measure
from faig.experiments.score_table import Key
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.training import TrainingParams, fit
from faig.report.effects import effects, gains
from tools.tables import Json, read_yaml

SIZE, STEP, RATIO = 128, 5, 0.01
NARROW: Json = {
    "network": {"width": 24, "depth": 6},
    "train_baseline": {"iterations": 1000},
    "finetune": {"iterations": 1500, "learning_rate": 1.0e-3},
}
CANDIDATES: dict[str, Json] = {
    "32 x 4": {},
    "32 x 4, scored on crops of 128": {"score": {"images": {"size": 128}, "dead_leaves": {"size": 128}}},
    "24 x 6": NARROW,
    "24 x 6, fine-tuned at 2e-3": {**NARROW, "finetune": {"iterations": 1500, "learning_rate": 2.0e-3}},
    "24 x 6, fine-tuned for 2500 of 8": {
        **NARROW,
        "finetune": {"iterations": 2500, "batch_size": 8, "learning_rate": 1.0e-3},
    },
    "24 x 6, fine-tuned for 1000": {**NARROW, "finetune": {"iterations": 1000, "learning_rate": 1.0e-3}},
    "24 x 6, baseline of 1600": {**NARROW, "train_baseline": {"iterations": 1600}},
    "24 x 8": {**NARROW, "network": {"width": 24, "depth": 8}},
}
"""What differs from params.yaml."""


def merged(params: Json, changes: Json) -> Json:
    """``params`` with the values of ``changes``, key by key at every depth."""
    both = {key: merged(params[key], value) if isinstance(value, dict) else value for key, value in changes.items()}
    return {**params, **both}


def pairs(photographs: dict[str, np.ndarray], params: Json) -> list[Pair]:
    """Every photograph (H, W, 3) under every degradation of params."""
    found = []
    for degradation, operations in sorted(params["degradations"].items()):
        parsed = parse_operations(degradation, operations, scale=params["scale"])
        options = {"scale": params["scale"], "downsampling": params["downsampling"]}
        for name, hr in sorted(photographs.items()):
            generator = image_generator(params["seed"], degradation, name)
            found.append(Pair(name, degradation, hr, degrade(hr, parsed, **options, generator=generator)))
    return found


def trained(params: Json, train: list[Pair], test: list[Pair]) -> PathModel:
    """The path from the baseline to the main target, both trained as the stages do."""
    compute = resolve(validate("compute", params["compute"], ComputeParams, source="params.yaml"))
    chosen = {key: params["network"][key] for key in ("name", "width", "depth")}
    spec = NetworkSpec(params=NetworkParams(**chosen), scale=params["scale"])
    target, seed = params["main_target"], params["seed"]
    network = build_network(spec, derive_seed(seed, "train_baseline"))
    runs = {
        "train_baseline": ({"clean": 1.0}, ("train_baseline",)),
        "finetune": (params["targets"][target]["mixture"], ("finetune", target)),
    }
    weights: dict[str, Any] = {}
    for section, (mixture, names) in runs.items():
        settings = validate(section, params[section], TrainingParams, source="params.yaml")
        options = {"seed": derive_seed(seed, *names), "checkpoints": Path(".ckpt/study"), "description": section}
        # The checkpoint stays: candidates that differ in later settings alone are trained once.
        weights[section], _, _ = fit(network, train, test, mixture, settings, compute, **options)
        network.load_state_dict(weights[section])
    return PathModel(build_network(spec), weights["train_baseline"], weights["finetune"], compute.for_gradients())


def judged(params: Json, train: list[Pair], test: list[Pair]) -> Json:
    """Gains in dB of one candidate, and what its best 1 % by FAIG remove."""
    model, seed = trained(params, train, test), params["seed"]
    target = params["targets"][params["main_target"]]
    nodes = quadrature("gausslegendre", params["score"]["quadrature"]["num_nodes"])
    kinds = {"images": False, "dead_leaves": True}
    crops = {key: CropParams(**params["score"][key]) for key in kinds if params["score"][key]["num"]}
    places = {key: choose_crops(train, crops[key], derive_seed(seed, "score"), dead_leaves=kinds[key]) for key in crops}
    means = {}
    for name in target["attribute"]:
        images = [image for key in crops for image in cut(train, name, places[key], crops[key].size)]
        means[name] = attribute_images(model, images, nodes).scores.mean(axis=0)
    contrast = params["score"]["contrast"]
    found = {Key("faig", name): discovered(discriminate(means, name, contrast), RATIO) for name in means}
    inputs = {name: batches(test, name) for name in sorted(params["degradations"])}
    table = measure(model, inputs, found)
    drawn = BootstrapParams(**params["bootstrap"]), derive_seed(seed, "bootstrap")
    masked = effects(table, target["attribute"], params["min_gain"], *drawn)["faig"]
    keys = [f"{name}{end}" for name in ("removed", "collateral") for end in ("", "_low", "_high")]
    shares = {name: {key: round(values[key], 3) for key in keys if key in values} for name, values in masked.items()}
    return {"gain": {name: round(values["gain"], 2) for name, values in gains(table, *drawn).items()}, "masked": shares}


@click.command()
@click.argument("photographs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("names", nargs=-1, type=click.Choice(list(CANDIDATES)))
def main(photographs: Path, names: tuple[str, ...]) -> None:
    """Measure the named candidates, or those that the results lack, on PHOTOGRAPHS."""
    params: Json = read_yaml(Path("params.yaml"))
    train = pairs({path.stem: read_image(path) for path in list_images(Path("data/hr/train"))}, params)
    tested = list_images(photographs)[STEP // 2 :: STEP]
    test = pairs({path.stem: middle(read_image(path), SIZE) for path in tested}, params)
    path = results_file("studies/default")
    known: Json = json.loads(path.read_text(encoding="utf-8"))["candidates"] if path.exists() else {}
    for name in names or [name for name in CANDIDATES if name not in known]:
        known[name] = judged(merged(params, CANDIDATES[name]), train, test)
        click.echo(f"{name}: {known[name]}")
        write("studies/default", {"photographs": photographs.name, "images": len(tested), "candidates": known})


if __name__ == "__main__":
    main()
