"""Which filters to mask: candidates beside FAIG, on every published network, on waifu2x's and on one fine-tuned here.

``python -m benchmarks.studies.attributions path/to/BSDS400 path/to/Set14 --waifu2x path/to/waifu2x.whl``: scores the
filters on crops of the first folder's photographs by each of :data:`CANDIDATES`, masks the best of each ranking, and
measures tiles of the second's. Adds to benchmarks/studies/results/attributions.json; what is there already stays unless
its network is named.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import ROOT, compute, degraded, middle, published, results_file, write
from benchmarks.studies import waifu2x
from benchmarks.studies.candidates import CANDIDATES, CLEAN, NEEDS_CHECKPOINTS, Case
from faig.attribution.path import PathModel
from faig.base.ranking import discovered, num_discovered
from faig.base.statistics import BootstrapParams
from faig.data.crops import Batch
from faig.data.degradation import degrade, image_generator, parse_operations
from faig.data.images import list_images, read_image
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.experiments.masking import measure
from faig.experiments.score_table import Key
from faig.networks.training import TrainingParams, start, step
from faig.networks.weights import load_network
from faig.report.effects import effects, gains
from tools.tables import Json, read_yaml

TILE, CROP = 128, 64
TRAINED = "srresnet_32x8, fine-tuned here"
WAIFU2X = {"waifu2x UpConv7": 0.03, "waifu2x UpConv7, fewer filters": 0.003}
"""Shares of the filters that are masked; of all other networks it is :data:`RATIO`."""
RATIO = 0.01
FOUNDATION = "srresnet_32x8_bicubic"
"""Whose baseline is fine-tuned here."""
CHECKPOINTS, NUM_PATCH_SOURCES = 10, 60
TRAINING = TrainingParams(
    iterations=1500,
    batch_size=4,
    patch_size=48,
    learning_rate=1e-3,
    warmup=0.1,
    adam_betas=(0.9, 0.99),
    ema_decay=0.99,
    log_every=150,
    checkpoint_every=1500,
    validation_images=1,
)
BOOTSTRAP, MIN_GAIN = BootstrapParams(num_resamples=1000, confidence=0.95), 0.5
Images = dict[str, list[tuple[Tensor, Tensor]]]


def photographs(folder: Path, count: int, size: int) -> list[np.ndarray]:
    """The middle of ``count`` photographs, spread evenly over their names."""
    found = list_images(folder)
    return [middle(read_image(path), size) for path in found[:: max(len(found) // count, 1)][:count]]


def inputs_of(pixels: Sequence[np.ndarray], names: Sequence[str], params: Json) -> Images:
    """By kind of input, LR and HR of each photograph."""
    return {name: degraded(pixels, name, params) for name in names}


def batched(images: Images, size: int = 2) -> dict[str, list[Batch]]:
    """By kind of input, the images in batches, named by their numbers."""
    found: dict[str, list[Batch]] = {}
    for name, pairs in images.items():
        for first in range(0, len(pairs), size):
            lr, hr = (torch.cat(part) for part in zip(*pairs[first : first + size], strict=True))
            names = tuple(f"{number:03}" for number in range(first, first + len(lr)))
            found.setdefault(name, []).append(Batch(names, lr, hr))
    return found


def networks(wheel: Path | None) -> Iterator[tuple[str, Json, PathModel]]:
    """The published networks but for second trainings of the same, then waifu2x's; narrow ones first."""
    yield from sorted(
        ((name, params, model) for name, params, model in published() if "seed" not in name),
        key=lambda each: (each[1]["network"]["width"], each[0]),
    )
    if wheel is not None:
        yield from ((name, waifu2x.PARAMS, waifu2x.pair(wheel)) for name in WAIFU2X)


def fine_tuned(training: Path) -> tuple[Json, PathModel, list[dict[str, Tensor]]]:
    """A target fine-tuned from a published baseline, with the weights at equal intervals on the way."""
    folder = ROOT / "published" / FOUNDATION
    params = read_yaml(folder / "runs/Set14/params.yaml")
    network, _ = load_network(folder / "weights/baseline.safetensors")
    kept = trained(network, patch_sources(training, params), params["targets"]["blind"]["mixture"], TRAINING)
    return params, PathModel(network, kept[0], kept[-1], compute("fp32")), kept


def trained(
    network: nn.Module, pairs: Sequence[Pair], mixture: Mapping[str, float], params: TrainingParams
) -> list[dict[str, Tensor]]:
    """Train a network; returns its averaged weights before and after each of :data:`CHECKPOINTS` equal parts."""
    sampler = PatchSampler(pairs, mixture, patch_size=params.patch_size, batch_size=params.batch_size, seed=0)
    state, kept = start(network.train(), params, compute("fp32")), []
    for number in range(params.iterations + 1):
        if number % (params.iterations // CHECKPOINTS) == 0:
            kept.append({name: value.detach().clone() for name, value in state.average.items()})
        if number < params.iterations:
            step(state, sampler, params)
    return kept


def patch_sources(folder: Path, params: Json) -> list[Pair]:
    """Photographs to train on, under every degradation of the mixture."""
    found = []
    for degradation in params["targets"]["blind"]["mixture"]:
        operations = parse_operations(degradation, params["degradations"][degradation], scale=params["scale"])
        for number, hr in enumerate(photographs(folder, NUM_PATCH_SOURCES, 256)):
            options = {"scale": params["scale"], "downsampling": params["downsampling"]}
            generator = image_generator(0, degradation, str(number))
            found.append(Pair(str(number), degradation, hr, degrade(hr, operations, **options, generator=generator)))
    return found


def compared(case: Case, methods: Sequence[str], tested: Mapping[str, Sequence[Batch]], ratio: float) -> Json:
    """Gains of the target, and by method what masking its best filters removes and costs, and its CPU time."""
    found: dict[Key, np.ndarray] = {}
    taken: dict[str, float] = {}
    for method in methods:
        before = time.process_time()  # other programs on the machine slow down the clock on the wall alone
        scores = CANDIDATES[method](case)
        taken[method] = round(time.process_time() - before, 1)
        found |= {Key(method, name): discovered(scores[name], ratio) for name in case.attributed}
        click.echo(f"  {method}: {taken[method]} s", err=True)
    table = measure(case.model, tested, found)
    results = effects(table, case.attributed, MIN_GAIN, BOOTSTRAP, 0)
    removed = {method: {name: rounded(values) for name, values in results[method].items()} for method in methods}
    return {
        "filters": case.model.index.num_filters,
        "ratio": ratio,
        "images": sum(len(batch.names) for batch in tested[CLEAN]),
        "gain": {name: round(values["gain"], 2) for name, values in gains(table, BOOTSTRAP, 0).items()},
        "methods": {method: {"seconds": taken[method], **removed[method]} for method in methods},
        "notes": case.notes,
    }


def rounded(values: Json) -> Json:
    """What the tables show: shares removed and taken along, and the PSNR that clean inputs lose."""
    keys = [f"{name}{end}" for name in ("removed", "collateral") for end in ("", "_low", "_high")]
    shares = {key: round(values[key], 3) for key in keys if key in values}
    return {**shares, "clean_lost_db": round(values["lost_db"][CLEAN], 2)}


def case_of(name: str, params: Json, model: PathModel, pixels: Sequence[np.ndarray]) -> Case:
    """The crops under every kind of input that the network's filters are sought for."""
    attributed = ("jpeg",) if name in WAIFU2X else ("blur", "noise")
    count = num_discovered(model.index.num_filters, WAIFU2X.get(name, RATIO))
    return Case(model, inputs_of(pixels, (CLEAN, *attributed), params), attributed, count)


@click.command()
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("test", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
@click.option("--waifu2x", "wheel", type=click.Path(exists=True, path_type=Path), help="the wheel, or a folder of npz")
@click.option("--crops", default=8, help="so many crops of 64 x 64 to score on")
@click.option("--tiles", default=14, help="so many tiles of 128 x 128 to test on")
@click.option("--method", "methods", multiple=True, type=click.Choice(list(CANDIDATES)), help="all, if none is named")
def main(
    training: Path,
    test: Path,
    names: tuple[str, ...],
    wheel: Path | None,
    crops: int,
    tiles: int,
    methods: tuple[str, ...],
) -> None:
    """Score on photographs of TRAINING, test on TEST: the networks NAMES, or those that the results lack."""
    path = results_file("studies/attributions")
    known: Json = json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else {}
    pixels, tested = photographs(training, crops, CROP), photographs(test, tiles, TILE)
    for name, params, case in cases(training, wheel, pixels, names, known):
        click.echo(name, err=True)
        chosen = [key for key in methods or CANDIDATES if case.checkpoints or key not in NEEDS_CHECKPOINTS]
        batches = batched(inputs_of(tested, list(case.images), params))
        found = compared(case, chosen, batches, WAIFU2X.get(name, RATIO))
        if methods and name in known:  # some methods anew: the others stay
            if found["images"] != known[name]["images"]:
                raise click.UsageError(f"{name}: the others were tested on {known[name]['images']} tiles")
            both = {**known[name]["methods"], **found["methods"]}
            found["methods"] = {method: both[method] for method in CANDIDATES if method in both}
            found["notes"] = {**known[name]["notes"], **found["notes"]}
        known[name] = found
        write("studies/attributions", {"training": training.name, "test": test.name, "crops": crops, "networks": known})


def cases(
    training: Path, wheel: Path | None, pixels: Sequence[np.ndarray], names: Sequence[str], known: Json
) -> Iterator[tuple[str, Json, Case]]:
    """The networks that are to be measured, one after the other."""

    def wanted(name: str) -> bool:
        return name in names if names else name not in known

    if wanted(TRAINED):
        params, model, checkpoints = fine_tuned(training)
        yield TRAINED, params, replace(case_of(TRAINED, params, model, pixels), checkpoints=checkpoints)
    for name, params, model in networks(wheel):
        if wanted(name):
            yield name, params, case_of(name, params, model, pixels)


if __name__ == "__main__":
    main()
