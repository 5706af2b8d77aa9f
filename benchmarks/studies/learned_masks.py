"""What learned masks remove, how sure that is and how unique, on every published network and on waifu2x's.

``python -m benchmarks.studies.learned_masks path/to/BSDS400 path/to/Set14 --waifu2x path/to/waifu2x.whl``: learns masks
on crops of the first folder's photographs by the settings of params.yaml, with three seeds and on other photographs,
and measures tiles of the second's: at the level that the network was trained on, at others, and with other kinds of
blur and noise. FAIG scores as many crops as the score stage does, with 8 nodes, in the same run. Adds to
benchmarks/studies/results/learned_masks.json; what is there already stays unless its network is named.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.common import ROOT, results_file, write
from benchmarks.studies.attributions import BOOTSTRAP, MIN_GAIN, TILE, batched, inputs_of, networks
from faig.attribution.comparisons import discriminate, taylor
from faig.attribution.engine import attribute_images
from faig.attribution.learning import Restored, learn_scores, restore_both
from faig.attribution.path import PathModel
from faig.attribution.quadrature import QuadratureParams
from faig.base.params import load_params
from faig.base.ranking import discovered
from faig.data.crops import Batch
from faig.data.images import list_images, read_image
from faig.experiments.masking import measure
from faig.experiments.score_table import Key
from faig.experiments.scoring import LearnedParams
from faig.report.agreement import chance, jaccard
from faig.report.effects import by_ratio, effects, gains
from tools.tables import Json

CLEAN = "clean"
PAIR = "waifu2x UpConv7"
SEEDS = (1, 2)
"""Beside the seed 0, whose mask is reported."""
FAR = {"steps": 100, "damping": 0.003}
"""For waifu2x's, whose weights moved so far that the filters' effects do not add up: chosen on eight
photographs of BSDS400. By the settings of params.yaml its learning does not settle."""
SCORED = 20
"""Crops that FAIG and Taylor score, as the default run does."""
QUADRATURE = QuadratureParams(rule="gausslegendre", num_nodes=8, max_nodes=8, tolerance=0.01)
RATIOS = (0.003, 0.01, 0.03)
BLUR, NOISE = "gaussian_blur", "gaussian_noise"
UNSEEN: Json = {
    "blur": {
        "sigma 1": [{BLUR: {"kernel_size": 21, "sigma": 1.0}}, "downsample"],
        "sigma 3": [{BLUR: {"kernel_size": 21, "sigma": 3.0}}, "downsample"],
        "motion": [{"motion_blur": {"kernel_size": 21, "length": 12.0, "angle": 30.0}}, "downsample"],
    },
    "noise": {
        "sigma 0.05": ["downsample", {NOISE: {"sigma": 0.05}}],
        "sigma 0.2": ["downsample", {NOISE: {"sigma": 0.2}}],
        "Poisson": ["downsample", {"poisson_noise": {"peak": 50.0}}],
    },
    "jpeg": {
        "quality 20": ["downsample", {"jpeg": {"quality": 20}}],
        "quality 70": ["downsample", {"jpeg": {"quality": 70}}],
    },
}
"""By degradation, levels and kinds that no mask was learned on."""
Sets = dict[str, dict[str, np.ndarray]]
"""By method and degradation, scores (F,)."""


def pixels(folder: Path, count: int, size: int, half: int) -> list[np.ndarray]:
    """The middle of ``count`` photographs, spread evenly over every second name: of two halves of the folder."""
    found = list_images(folder)[half::2]
    chosen = [found[number * len(found) // count] for number in range(min(count, len(found)))]
    images = [read_image(path) for path in chosen]
    return [
        np.ascontiguousarray(image[(image.shape[0] - size) // 2 :, (image.shape[1] - size) // 2 :][:size, :size])
        for image in images
    ]


def tiles(folder: Path) -> list[np.ndarray]:
    """Two tiles of each photograph, from the middle of its longer side's halves."""
    found = []
    for path in list_images(folder):
        image = read_image(path)
        parts = np.array_split(image, 2, axis=int(image.shape[1] > image.shape[0]))
        for part in parts:
            top, left = ((side - TILE) // 2 for side in part.shape[:2])
            found.append(np.ascontiguousarray(part[top : top + TILE, left : left + TILE]))
    return found


def scored(
    model: PathModel, params: Json, attributed: tuple[str, ...], settings: LearnedParams, training: Path
) -> tuple[Sets, dict[str, float]]:
    """Scores of every method, and seconds of CPU time that FAIG and one learning take for all degradations."""
    names, crop = (*attributed, CLEAN), settings.images.size
    seeds = {"learned": (0, 0), **{f"seed {seed}": (seed, 0) for seed in SEEDS}, "other photographs": (0, 1)}
    restored: dict[int, dict[str, list[Restored]]] = {}
    start = 0.0
    for half in (1, 0):
        images = inputs_of(pixels(training, settings.images.num, crop, half), names, params)
        start = time.process_time()
        restored[half] = restore_both(model, {name: [pair[0] for pair in pairs] for name, pairs in images.items()})
    found: Sets = {}
    seconds: dict[str, float] = {}
    for method, (seed, half) in seeds.items():
        found[method] = {name: learn_scores(model, restored[half], name, settings, seed).scores for name in attributed}
        seconds.setdefault(method, time.process_time() - start)
    examples = inputs_of(pixels(training, SCORED, crop, 0), names, params)
    contrasted = attributed if len(attributed) > 1 else names
    start = time.process_time()
    integrated = {name: attribute_images(model, examples[name], QUADRATURE).scores.mean(axis=0) for name in contrasted}
    found["FAIG"] = {name: discriminate(integrated, name, "share") for name in attributed}
    seconds["FAIG"] = time.process_time() - start
    expanded = {name: np.mean([taylor(model, *pair) for pair in examples[name]], axis=0) for name in contrasted}
    found["Taylor"] = {name: discriminate(expanded, name, "share") for name in attributed}
    return found, {name: round(seconds[name], 1) for name in ("learned", "FAIG")}


def common(model: PathModel, sets: Mapping[str, np.ndarray], chance_of: np.random.Generator) -> Json:
    """J of the learned set (n,) with each other, and of equally many random filters in each layer."""
    sizes, found = np.array(model.index.sizes), {}
    for name, other in sets.items():
        if name != "learned":
            own, theirs = (model.index.count_by_layer(each) for each in (sets["learned"], other))
            drawn = chance(own, theirs, sizes, num_draws=1000, generator=chance_of)
            found[name] = {
                "jaccard": round(jaccard(sets["learned"], other), 3),
                "chance": round(float(drawn.mean()), 3),
                "chance_high": round(float(np.quantile(drawn, 0.975)), 3),
            }
    return found


def costs(values: Json) -> Json:
    """Removed, collateral with their intervals, and what clean inputs lose in dB."""
    keys = [f"{name}{end}" for name in ("removed", "collateral") for end in ("", "_low", "_high")]
    shares = {key: round(values[key], 3) for key in keys if key in values}
    return {**shares, "clean_lost_db": round(values["lost_db"][CLEAN], 2)}


def transferred(
    model: PathModel, params: Json, sets: Mapping[str, Mapping[str, np.ndarray]], images: list[np.ndarray]
) -> Json:
    """What masking removes of the gain on levels and kinds that no mask was learned on."""
    result: Json = {}
    for name in sets["learned"]:
        unseen = {**params, "degradations": UNSEEN[name]}
        inputs = {kind: batch(inputs_of(images, [kind], unseen)) for kind in UNSEEN[name]}
        chosen = {Key(method, name): sets[method][name] for method in ("learned", "FAIG")}
        table = measure(model, inputs, chosen)
        lost = effects(table, list(inputs), MIN_GAIN, BOOTSTRAP, 0)
        gained = gains(table, BOOTSTRAP, 0)
        result[name] = {
            kind: {
                "gain": round(gained[kind]["gain"], 2),
                **{
                    method: round(lost[method][name]["lost_share"][kind], 3)
                    for method in ("learned", "FAIG")
                    if kind in lost[method][name]["lost_share"]
                },
            }
            for kind in inputs
        }
    return result


def batch(images: dict[str, list[tuple[Tensor, Tensor]]]) -> list[Batch]:
    """The images of the one kind of input, in batches."""
    [batches] = batched(images).values()
    return batches


def studied(name: str, params: Json, model: PathModel, training: Path, test: Path) -> Json:
    """All that is measured of one network."""
    attributed = ("jpeg",) if name == PAIR else ("blur", "noise")
    ratio, count = 0.03 if name == PAIR else 0.01, model.index.num_filters
    settings = load_params("score.learned", LearnedParams, ROOT / "params.yaml")
    settings = replace(settings, **FAR) if name == PAIR else settings
    scores, seconds = scored(model, params, attributed, settings, training)
    sets = {method: {of: discovered(values, ratio) for of, values in own.items()} for method, own in scores.items()}
    every = ("learned", *(f"seed {seed}" for seed in SEEDS))
    sets["intersection"] = {of: reduce(np.intersect1d, [sets[m][of] for m in every]) for of in attributed}
    chosen = {Key(method, of, 0, ratio): own for method, by in sets.items() for of, own in by.items() if len(own)}
    chosen |= {
        Key("learned", of, 0, share): discovered(scores["learned"][of], share) for of in attributed for share in RATIOS
    }
    images = tiles(test)
    tested = batched(inputs_of(images, (CLEAN, *attributed), params))
    table = measure(model, tested, chosen)
    removed: Json = {}
    for share, rows in by_ratio(table).items():
        for method, by in effects(rows, attributed, MIN_GAIN, BOOTSTRAP, 0).items():
            for of, values in by.items():
                removed.setdefault(method, {}).setdefault(of, {})[f"{share:g}"] = costs(values)
    generator = np.random.default_rng(0)
    return {
        "filters": count,
        "ratio": ratio,
        "images": len(images),
        "gain": {of: round(values["gain"], 2) for of, values in gains(table, BOOTSTRAP, 0).items()},
        "seconds": seconds,
        "removed": removed,
        "agreement": {
            of: common(model, {method: by[of] for method, by in sets.items() if method != "intersection"}, generator)
            for of in attributed
        },
        "intersection": {of: len(sets["intersection"][of]) / len(sets["learned"][of]) for of in attributed},
        "depth": {
            method: {of: round(float(model.index.depths(sets[method][of]).mean()), 3) for of in attributed}
            for method in ("learned", "FAIG")
        },
        "unseen": transferred(model, params, sets, images[::2]),
    }


@click.command()
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("test", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
@click.option("--waifu2x", "wheel", type=click.Path(exists=True, path_type=Path), help="the wheel, or a folder of npz")
def main(training: Path, test: Path, names: tuple[str, ...], wheel: Path | None) -> None:
    """Learn on photographs of TRAINING, test on TEST: the networks NAMES, or those that the results lack."""
    path = results_file("studies/learned_masks")
    known: Json = json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else {}
    torch.set_num_threads(1)
    for name, params, model in networks(wheel):
        if name in names or (not names and name not in known and (name == PAIR or not name.startswith("waifu2x"))):
            click.echo(name, err=True)
            known[name] = studied(name, params, model, training, test)
            write("studies/learned_masks", {"training": training.name, "test": test.name, "networks": known})


if __name__ == "__main__":
    main()
