"""How near each score comes to the truth: on a network so small that every filter can be masked alone.

``python -m benchmarks.studies.single_filters path/to/BSDS400``: trains SRResNet 16 x 2 and a blind target from it,
masks each filter alone, and correlates what that does to the errors with the scores of :data:`CANDIDATES`, all on the
same crops. Then filters are chosen one by one, each time the best of many by trial, and compared with the first of each
ranking. Writes benchmarks/studies/results/single_filters.json.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from benchmarks.common import ROOT, agreement, compute, write
from benchmarks.studies.attributions import CROP, FOUNDATION, TRAINING, inputs_of, patch_sources, photographs, trained
from benchmarks.studies.candidates import CANDIDATES, CLEAN, Case, Scores
from faig.attribution.path import PathModel
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from tools.tables import Json, read_yaml

WIDTH, DEPTH, ITERATIONS = 16, 2, 2500
ATTRIBUTED = ("blur", "noise")
COUNTS, TRIED = (1, 3, 10), 200
"""How many filters are masked together; among how many of the best alone the greedy choice is made."""
Errors = dict[str, float]
"""By kind of input, the squared error, or what masking adds to it; in units of the distance of both outputs."""


class Truth:
    """Errors of masked networks, by trial."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.batches = {
            name: [torch.cat(part) for part in zip(*pairs, strict=True)] for name, pairs in case.images.items()
        }
        model = case.model
        outputs = {
            name: [model.restore(weights, lr) for weights in (model.baseline, model.target)]
            for name, (lr, _) in self.batches.items()
        }
        self.units = {name: (first - second).square().sum().item() for name, (first, second) in outputs.items()}
        self.before = self.errors(model.target)

    def errors(self, weights: Mapping[str, Tensor]) -> Errors:
        """Squared error on each kind of input."""
        with torch.no_grad():
            return {
                name: (self.case.model.restore(weights, lr) - hr).square().sum().item() / self.units[name]
                for name, (lr, hr) in self.batches.items()
            }

    def rises(self, filters: np.ndarray) -> Errors:
        """What masking the filters (n,) adds to the errors."""
        found = self.errors(self.case.model.masked(filters))
        return {name: value - self.before[name] for name, value in found.items()}


def own_and_selective(rises: Errors, degradation: str) -> tuple[float, float]:
    """The rise on one degradation; and minus the largest on any other input, clean ones included, if it is a rise."""
    others = max(0.0, *(value for name, value in rises.items() if name != degradation))
    return rises[degradation], rises[degradation] - others


def greedy(truth: Truth, degradation: str, alone: np.ndarray) -> dict[str, list[float]]:
    """By count, both numbers of :func:`own_and_selective` of filters chosen one by one, each the best by trial."""
    tried, chosen, found = np.argsort(-alone, kind="stable")[:TRIED], np.zeros(0, dtype=np.int64), {}
    for count in range(1, max(COUNTS) + 1):
        values = [
            own_and_selective(truth.rises(np.append(chosen, number)), degradation)[1]
            if number not in chosen
            else -np.inf
            for number in tried
        ]
        chosen = np.append(chosen, tried[int(np.argmax(values))])
        if count in COUNTS:
            found[str(count)] = rounded(own_and_selective(truth.rises(chosen), degradation))
    return found


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, of two vectors (F,)."""
    return round(float(np.corrcoef(rankdata(first), rankdata(second))[0, 1]), 3)


def rounded(values: tuple[float, ...]) -> list[float]:
    """Four digits of each."""
    return [round(value, 4) for value in values]


def compared(truth: Truth, scores: Scores, alone: dict[str, np.ndarray]) -> Json:
    """By degradation, how near a method's scores come to the truth."""
    found: Json = {}
    for name, own in scores.items():
        order = np.argsort(-own, kind="stable")
        found[name] = {
            "own": rank_correlation(own, alone[name][:, 0]),
            "selective": rank_correlation(own, alone[name][:, 1]),
            "found": round(agreement(own, alone[name][:, 1]), 3),
            "first": {str(count): rounded(own_and_selective(truth.rises(order[:count]), name)) for count in COUNTS},
        }
    return found


def small_case(folder: Path, crops: int) -> Case:
    """A baseline and a blind target of it, trained here, and the crops."""
    params = read_yaml(ROOT / "published" / FOUNDATION / "runs/Set14/params.yaml")
    spec = NetworkSpec(params=NetworkParams(name="srresnet", width=WIDTH, depth=DEPTH), scale=params["scale"])
    network, pairs = build_network(spec, 0), patch_sources(folder, params)
    settings = replace(TRAINING, iterations=ITERATIONS)
    network.load_state_dict(trained(network, pairs, {CLEAN: 1.0}, settings)[-1])
    kept = trained(network, pairs, params["targets"]["blind"]["mixture"], settings)
    model = PathModel(network, kept[0], kept[-1], compute("fp32"))
    images = inputs_of(photographs(folder, crops, CROP), (CLEAN, *ATTRIBUTED), params)
    return Case(model, images, ATTRIBUTED, round(0.01 * model.index.num_filters), kept)


@click.command()
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--crops", default=4, help="so many crops of 64 x 64, to score on and to measure on")
def main(training: Path, crops: int) -> None:
    """Train on photographs of TRAINING, mask every filter alone, and compare."""
    case = small_case(training, crops)
    truth, numbers = Truth(case), range(case.model.index.num_filters)
    rises = [truth.rises(np.array([number])) for number in numbers]
    alone = {name: np.array([own_and_selective(rise, name) for rise in rises]) for name in ATTRIBUTED}
    click.echo(f"{len(rises)} filters masked alone", err=True)
    methods: Json = {}
    for method, candidate in CANDIDATES.items():
        methods[method] = compared(truth, candidate(case), alone)
        click.echo(f"{method}: {methods[method]}", err=True)
    bound = {name: greedy(truth, name, alone[name][:, 1]) for name in ATTRIBUTED}
    everything = truth.rises(np.array(numbers))
    results = {"filters": len(rises), "crops": crops, "tried": TRIED, "all masked": everything, "methods": methods}
    write("studies/single_filters", {**results, "greedy": bound, "notes": case.notes})


if __name__ == "__main__":
    main()
