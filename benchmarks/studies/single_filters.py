"""How near each score comes to the truth: on a network so small that every filter can be masked alone.

``python -m benchmarks.studies.single_filters path/to/BSDS400``: trains SRResNet 16 x 2 and a blind target from it,
masks each filter alone, and correlates what that does to the errors with the scores of :data:`CANDIDATES`, all on the
same crops. Then filters are chosen one by one, each time the best of many by trial, and compared with the first of each
ranking. Writes benchmarks/studies/results/single_filters.json.
"""

from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Effect:
    """What masking filters does to one kind of input, in units of the distance of both networks' outputs.

    ``rise``: of the squared error. ``shift``: squared distance to the target's output. ``pull``: by how much the
    squared distance to the baseline's output falls.
    """

    rise: float
    shift: float
    pull: float


Effects = dict[str, Effect]
"""By kind of input."""


class Truth:
    """Effects of masking, by trial, on all crops of each kind of input at once."""

    def __init__(self, case: Case) -> None:
        self.model, self.goals = case.model, {}
        for name, pairs in case.images.items():
            lr, hr = (torch.cat(part) for part in zip(*pairs, strict=True))
            with torch.no_grad():
                baseline, target = (self.model.restore(each, lr) for each in (self.model.baseline, self.model.target))
            self.goals[name] = (lr, hr, baseline, target)

    def effects(self, filters: np.ndarray) -> Effects:
        """Of masking the filters (n,) together."""
        weights, found = self.model.masked(filters), {}
        for name, (lr, hr, baseline, target) in self.goals.items():
            with torch.no_grad():
                output = self.model.restore(weights, lr)
            unit = squares(target - baseline)
            rise, pull = squares(output - hr) - squares(target - hr), unit - squares(output - baseline)
            found[name] = Effect(rise / unit, squares(output - target) / unit, pull / unit)
        return found


def squares(values: Tensor) -> float:
    """The sum of squares."""
    return values.square().sum(dtype=torch.float64).item()


def own_and_selective(effects: Effects, degradation: str) -> tuple[float, float]:
    """The error's rise on one degradation; and minus the largest rise on any other input, clean ones included."""
    others = max(0.0, *(effect.rise for name, effect in effects.items() if name != degradation))
    own = effects[degradation].rise
    return own, own - others


def towards_baseline(effects: Effects, degradation: str) -> float:
    """By how much masking lowers J of :mod:`faig.attribution.second_order`, with c = 1."""
    return effects[degradation].pull - sum(effect.shift for name, effect in effects.items() if name != degradation)


def greedy(truth: Truth, degradation: str, alone: np.ndarray) -> dict[str, list[float]]:
    """By count, both numbers of :func:`own_and_selective` of filters chosen one by one, each the best by trial."""
    tried, chosen, found = np.argsort(-alone, kind="stable")[:TRIED], np.zeros(0, dtype=np.int64), {}
    for count in range(1, max(COUNTS) + 1):
        values = [
            own_and_selective(truth.effects(np.append(chosen, number)), degradation)[1]
            if number not in chosen
            else -np.inf
            for number in tried
        ]
        chosen = np.append(chosen, tried[int(np.argmax(values))])
        if count in COUNTS:
            found[str(count)] = rounded(own_and_selective(truth.effects(chosen), degradation))
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
            "outputs": rank_correlation(own, alone[name][:, 2]),
            "found": round(agreement(own, alone[name][:, 1]), 3),
            "first": {str(count): rounded(own_and_selective(truth.effects(order[:count]), name)) for count in COUNTS},
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
    each = [truth.effects(np.array([number])) for number in numbers]
    alone = {
        name: np.array([(*own_and_selective(effects, name), towards_baseline(effects, name)) for effects in each])
        for name in ATTRIBUTED
    }
    click.echo(f"{len(each)} filters masked alone", err=True)
    methods: Json = {}
    for method, candidate in CANDIDATES.items():
        methods[method] = compared(truth, candidate(case), alone)
        click.echo(f"{method}: {methods[method]}", err=True)
    bound = {name: greedy(truth, name, alone[name][:, 1]) for name in ATTRIBUTED}
    results = {"filters": len(each), "crops": crops, "tried": TRIED, "methods": methods}
    write("studies/single_filters", {**results, "greedy": bound, "notes": case.notes})


if __name__ == "__main__":
    main()
