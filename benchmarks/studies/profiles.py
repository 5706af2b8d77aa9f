"""Where in a network the discovered filters lie, and how far such profiles agree.

A part's enrichment is its share of the discovered filters divided by its share of all filters: 1 is what chance gives.
Profiles are compared by the rank correlation of their layers' enrichment. How large it is by chance is found by dealing
one profile's values out to the layers anew. Neighbouring layers are alike, which this does not know of: a correlation
has to be well above chance to mean much.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from benchmarks.common import ROOT, published
from benchmarks.studies.widths import ABILITIES, learned
from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel
from faig.base.ranking import discovered, num_discovered
from tools.tables import Json

RATIO = 0.01
LEARNED = {"learned": 0, "learned, another seed": 1}
"""Learned masks, by the seed of learning."""
PARTS = ("first", "early third", "middle third", "late third", "upsample", "high", "last")
"""Of both networks at scale 2; the thirds are of the body's layers."""
DEALS = 2000
"""Random assignments of a profile's values to layers."""
ENOUGH_LAYERS = 12
SAME_SHAPE = (
    ("srresnet_32x8_bicubic", "srresnet_32x8_bicubic_seed1"),
    ("srresnet_32x8_bilinear", "srresnet_32x8_bilinear_seed1"),
    ("srresnet_32x8_bicubic", "srresnet_32x8_bilinear"),
    ("srresnet_64x16", "srresnet_64x16_long"),
    ("srcnn_128x4", "srcnn_128x4_gentle"),
)
"""Other trainings of one network: with another seed, another downsampling, other lengths."""


def faig_found(name: str, num_filters: int) -> dict[str, np.ndarray]:
    """By degradation, the numbers of the best :data:`RATIO` by FAIG, from the published run on Set14."""
    path = ROOT / "published" / name / "runs/Set14/scores/blind.parquet"
    rows = pd.read_parquet(path, filters=[("method", "=", "faig")])
    best = rows[rows["rank"] < num_discovered(num_filters, RATIO)]
    return {each: best.loc[best["degradation"] == each, "filter"].to_numpy() for each in ABILITIES}


def counted(index: FilterIndex, sets: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """By degradation, how many of the filters (n,) lie in each layer."""
    return {name: index.count_by_layer(found).tolist() for name, found in sets.items()}


def learned_sets(params: Json, model: PathModel, training: Path, seed: int) -> dict[str, np.ndarray]:
    """By degradation, the numbers of the best :data:`RATIO` by learned masks."""
    return {name: discovered(values, RATIO) for name, values in learned(model, params, training, seed).items()}


def enriched(counts: ArrayLike, sizes: ArrayLike) -> np.ndarray:
    """Each layer's (or part's) share of the discovered filters divided by its share of all filters."""
    return np.divide(counts, np.sum(counts)) / np.divide(sizes, np.sum(sizes))


def part_numbers(num_layers: int) -> np.ndarray:
    """For each layer the number of its part in :data:`PARTS`: the first, thirds of the body, the last three layers."""
    body = num_layers - 4
    return np.array([0, *(1 + 3 * np.arange(body) // body), 4, 5, 6])


def by_part(found: Json) -> Json:
    """By method and degradation, each part's enrichment; and each part's share of all filters."""
    numbers = part_numbers(len(found["layers"]))
    sizes = np.bincount(numbers, found["sizes"], len(PARTS))
    result: Json = {"filters": dict(zip(PARTS, (sizes / sizes.sum()).round(4).tolist(), strict=True))}
    for method, own in found["counts"].items():
        for name, counts in own.items():
            shares = enriched(np.bincount(numbers, counts, len(PARTS)), sizes)
            result.setdefault(method, {})[name] = dict(zip(PARTS, shares.round(2).tolist(), strict=True))
    return result


def agreement(first: np.ndarray, second: np.ndarray) -> Json:
    """Rank correlation of two profiles (L,), of all layers and of the body's, with the 95 % quantile of chance.

    A body of few layers is left out: chance correlates five values by 0.8.
    """
    result: Json = {}
    body = {"body": slice(1, -3)} if len(first) >= ENOUGH_LAYERS else {}
    for which, layers in {"all layers": slice(None), **body}.items():
        own, other = (standardized(values[layers]) for values in (first, second))
        dealt = np.random.default_rng(0).permuted(np.tile(own, (DEALS, 1)), axis=1) @ other
        result[which] = {
            "correlation": round(float(own @ other), 2),
            "chance_high": round(float(np.quantile(dealt, 0.95)), 2),
        }
    return result


def standardized(values: np.ndarray) -> np.ndarray:
    """Ranks (L,), ties at their mean, of mean 0 and length 1, so that products are Spearman's correlations.

    All 0 where the values are equal.
    """
    ranks = rankdata(values) - (len(values) + 1) / 2
    length = np.linalg.norm(ranks)
    return ranks / length if length > 0 else ranks


def compared_profiles(networks: Mapping[str, Json]) -> list[Json]:
    """How far profiles agree: between methods, seeds of learning, trainings and degradations."""
    profiles = {
        (network, method, name): enriched(counts, found["sizes"])
        for network, found in networks.items()
        for method, own in found["counts"].items()
        for name, counts in own.items()
    }
    return [
        {"kind": kind, "of": ", ".join(first), "and": ", ".join(second), **agreement(profiles[first], profiles[second])}
        for kind, first, second in pairs_of(networks)
        if first in profiles and second in profiles
    ]


def pairs_of(networks: Mapping[str, Json]) -> Iterator[tuple[str, tuple[str, str, str], tuple[str, str, str]]]:
    """What is compared: a word for the kind of pair, and both profiles."""
    for network in networks:
        for name in ABILITIES:
            yield "FAIG and learned", (network, "FAIG", name), (network, "learned", name)
            yield "two seeds of learning", (network, "learned", name), (network, "learned, another seed", name)
        for method in ("FAIG", "learned"):
            first, second = ((network, method, name) for name in ABILITIES)
            yield f"blur and noise: {method}", first, second
    for first, second in SAME_SHAPE:
        for method in ("FAIG", "learned"):
            for name in ABILITIES:
                yield f"two trainings: {method}, {name}", (first, method, name), (second, method, name)


def profiles_part(training: Path, keep: Callable[[Json], None], known: Json) -> None:
    """Part ``profiles`` of the published networks: by FAIG, whose scores are kept; then what ``known`` results lack."""
    networks: Json = known.get("networks", {})
    pairs = sorted(published(), key=lambda each: (each[1]["network"]["width"], each[0]))
    for name, _, model in pairs:
        index = model.index
        found = {"layers": list(index.layers), "sizes": list(index.sizes), "counts": {}}
        networks.setdefault(name, found)["counts"]["FAIG"] = counted(index, faig_found(name, index.num_filters))
    for name, params, model in pairs:
        for method, seed in LEARNED.items():
            if method not in networks[name]["counts"]:
                click.echo(f"{name}, {method}", err=True)
                sets = learned_sets(params, model, training, seed)
                networks[name]["counts"][method] = counted(model.index, sets)
                parts = {each: by_part(found) for each, found in networks.items()}
                keep({"ratio": RATIO, "networks": networks, "parts": parts, "agreement": compared_profiles(networks)})
