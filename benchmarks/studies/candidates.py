"""Candidates for a better score of filters: each takes a :class:`Case` to scores (F,) by degradation.

To compare another method, add it to :data:`CANDIDATES`. What FAIG and these have in common: baseline, target, and crops
of photographs, clean and degraded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import ROOT
from faig.attribution.comparisons import discriminate, weight_change
from faig.attribution.engine import Example, integrate, loss_at
from faig.attribution.learning import learn_scores, restore_both
from faig.attribution.path import PathModel, Weights
from faig.attribution.quadrature import END_POINT, Nodes, quadrature
from faig.attribution.second_order import LAST_QUARTER, Expansion, contrast_expansions, expand, mean_expansion
from faig.base.params import load_params
from faig.experiments.scoring import LearnedParams
from tools.tables import Json

CLEAN = "clean"
PATH = quadrature("gausslegendre", 8)
BOTH_ENDS = quadrature("trapezoid", 2)
ROUNDS = 10
CURVE_STEPS, CURVE_RATE = 60, 3e-4
TINY = float(np.finfo(np.float32).tiny)  # where nothing changes, shares are 0
Scores = dict[str, np.ndarray]
"""By degradation, one score per filter (F,)."""


@dataclass(frozen=True)
class Case:
    """What a candidate is given.

    ``images``: pairs of LR and HR by kind of input, ``clean`` among them. ``attributed``: whose filters are sought.
    ``count``: so many filters will be masked. ``checkpoints``: the weights on the way from baseline to target, both
    included, if they were kept. ``notes``: where a candidate leaves what it found besides.
    """

    model: PathModel
    images: Mapping[str, Sequence[Example]]
    attributed: tuple[str, ...]
    count: int
    checkpoints: Sequence[Weights] = ()
    notes: Json = field(default_factory=dict)

    @property
    def contrasted(self) -> tuple[str, ...]:
        """Whose scores are compared, as the score stage does: the attributed ones; a single one with clean."""
        return self.attributed if len(self.attributed) > 1 else (*self.attributed, CLEAN)


Candidate = Callable[[Case], Scores]


def share(case: Case, values: Mapping[str, Mapping[str, Tensor]]) -> Scores:
    """FAIG's scores of integrals by degradation and weight: absolute values, contrasted by their shares."""
    index = case.model.index
    sums = {
        name: index.collect({key: value.abs() for key, value in part.items()}).cpu().numpy()
        for name, part in values.items()
    }
    return {name: discriminate(sums, name, "share") for name in case.attributed}


def integrals(case: Case, names: Sequence[str], nodes: Nodes) -> dict[str, dict[str, Tensor]]:
    """By kind of input and weight, the mean over the images of IG, with its sign."""
    found = {}
    for name in names:
        parts = [integrate(case.model, *image, nodes)[0] for image in case.images[name]]
        found[name] = {key: torch.stack([part[key] for part in parts]).mean(0) for key in parts[0]}
    return found


def absolute(nodes: Nodes) -> Candidate:
    """The sum over a filter's weights of |IG|, the mean over images, contrasted by shares: FAIG, Taylor."""

    def score(case: Case) -> Scores:
        values = {}
        for name in case.contrasted:
            parts = [integrate(case.model, *image, nodes)[0] for image in case.images[name]]
            values[name] = {key: torch.stack([part[key].abs() for part in parts]).mean(0) for key in parts[0]}
        return share(case, values)

    return score


def signed(nodes: Nodes) -> Candidate:
    """The sum over a filter's weights of IG with signs, minus what it does to any other input, clean ones included.

    Each kind of input's sums are divided by the sum of their absolute values. Positive: the change to the target's
    weights lowered the error.
    """

    def score(case: Case) -> Scores:
        found = integrals(case, list(case.images), nodes)
        sums = {name: -case.model.index.collect(part).cpu().numpy() for name, part in found.items()}
        parts = {name: part / max(np.abs(part).sum(), TINY) for name, part in sums.items()}
        return {
            name: parts[name] - np.max([np.abs(part) for other, part in parts.items() if other != name], axis=0)
            for name in case.attributed
        }

    return score


def magnitude(case: Case) -> Scores:
    """How much each filter's weights changed: the same for every degradation."""
    return dict.fromkeys(case.attributed, weight_change(case.model, divided=False))


def expansions(case: Case, nodes: Nodes = END_POINT) -> dict[str, Expansion]:
    """Each kind of input's expansion around the target; the signs depend on the photograph alone."""
    return {
        name: mean_expansion(
            expand(case.model, lr, torch.Generator().manual_seed(number), nodes)
            for number, (lr, _) in enumerate(images)
        )
        for name, images in case.images.items()
    }


def second_order(caution: float, nodes: Nodes = END_POINT) -> Candidate:
    """What masking the filter alone does to the outputs (:mod:`faig.attribution.second_order`)."""

    def score(case: Case) -> Scores:
        found = expansions(case, nodes)
        return {name: contrast_expansions(found, name, caution) for name in case.attributed}

    return score


def second_order_of_errors(case: Case) -> Scores:
    """The same of errors against the ground truth: masking should raise one degradation's and no other's."""
    found, nodes = expansions(case), END_POINT
    rises = {}
    for name, part in integrals(case, list(case.images), nodes).items():
        rises[name] = -case.model.index.collect(part).cpu().numpy() / found[name].distance
    costs = {name: np.maximum(rises[name] + found[name].shift / found[name].distance, 0) for name in rises}
    return {
        name: rises[name] - np.sum([cost for other, cost in costs.items() if other != name], axis=0)
        for name in case.attributed
    }


def slopes(case: Case, weights: Weights, name: str, goal: Weights) -> np.ndarray:
    """Mean over images of the slope of ||F(weights, x) - F(goal, x)||^2 as each filter moves to the baseline, (F,)."""
    model = case.model
    moving = {key: weights[key].detach().clone().requires_grad_() for key in model.index.keys}
    total = np.zeros(model.index.num_filters)
    for lr, _ in case.images[name]:
        with torch.no_grad():
            wanted = model.restore(goal, lr)
        error = (model.restore({**weights, **moving}, lr) - wanted).square().sum()
        gradients = dict(zip(moving, torch.autograd.grad(error, list(moving.values())), strict=True))
        total -= model.index.collect({key: value * model.change[key] for key, value in gradients.items()}).cpu().numpy()
    return total / len(case.images[name])


def refined(case: Case) -> Scores:
    """Second order in rounds: a tenth of the filters is masked, and the rest scored again at the masked network."""
    found = expansions(case)
    return {name: _rounds(case, found, name) for name in case.attributed}


def _rounds(case: Case, found: Mapping[str, Expansion], own: str) -> np.ndarray:
    model, chosen = case.model, np.zeros(0, dtype=np.int64)
    scores = np.zeros(model.index.num_filters)
    for number in range(1, ROUNDS + 1):
        weights, values = model.masked(chosen), np.zeros(model.index.num_filters)
        for name, part in found.items():
            values -= slopes(case, weights, name, model.baseline if name == own else model.target) / part.distance
            values -= part.shift / part.distance if name != own else 0
        values[chosen] = -np.inf
        new = np.argsort(-values, kind="stable")[: round(case.count * number / ROUNDS) - len(chosen)]
        # One ranking for all counts: earlier rounds come first, within a round the order is by score.
        scores[new] = ROUNDS + 1 - number - np.arange(len(new)) / max(len(new), 1)
        chosen = np.concatenate([chosen, new])
    return scores


# Integrals along other ways from baseline to target


Step = tuple[Weights, Weights]
"""Weights on a way, and their velocity there times the node's coefficient."""


def along(case: Case, name: str, steps: Sequence[Step]) -> tuple[dict[str, Tensor], float]:
    """Mean over images of the |integrals| by weight, and of the residual as a share of the change (completeness)."""
    model, total, residuals, changes = case.model, {}, 0.0, 0.0
    for lr, hr in case.images[name]:
        own = {key: torch.zeros_like(value) for key, value in model.change.items()}
        for place, velocity in steps:
            weights = {key: value.detach().clone().requires_grad_() for key, value in place.items()}
            error = (model.restore(weights, lr) - hr).square().sum()
            gradients = torch.autograd.grad(error, list(weights.values()))
            for key, gradient in zip(weights, gradients, strict=True):
                own[key] += gradient * velocity[key]
        change = loss_at(model, model.target, lr, hr, None) - loss_at(model, model.baseline, lr, hr, None)
        residuals += abs(sum(value.sum().item() for value in own.values()) - change)
        changes += abs(change)
        for key, value in own.items():
            total[key] = total.get(key, 0) + value.abs() / len(case.images[name])
    return total, residuals / changes


def scored_along(case: Case, steps: Sequence[Step]) -> tuple[Scores, Json]:
    """FAIG's scores along a way, and how well its integrals close."""
    found = {name: along(case, name, steps) for name in case.contrasted}
    errors = {name: round(error, 4) for name, (_, error) in found.items()}
    return share(case, {name: values for name, (values, _) in found.items()}), {"convergence_error": errors}


def curve(case: Case) -> Scores:
    """FAIG along a quadratic Bezier curve of low loss (Garipov et al. 2018), its middle trained on all the inputs."""
    middle = trained_middle(case)
    scores, notes = scored_along(case, bezier(case.model, middle))
    straight = {key: (value + case.model.target[key]) / 2 for key, value in case.model.baseline.items()}
    for when, point in (("before", straight), ("after", middle)):
        notes[f"barrier_{when}"] = barriers(case, [place for place, _ in bezier(case.model, point)])
    case.notes["curve"] = notes
    return scores


def bezier(model: PathModel, middle: Weights) -> list[Step]:
    """Nodes on (1 - a)^2 baseline + 2 a (1 - a) middle + a^2 target; straight if the middle is the mean of both."""
    steps = []
    for a, coefficient in zip(*PATH, strict=True):
        start, end = model.baseline, model.target
        place = {k: (1 - a) ** 2 * start[k] + 2 * a * (1 - a) * middle[k] + a**2 * end[k] for k in start}
        velocity = {k: 2 * ((1 - a) * (middle[k] - start[k]) + a * (end[k] - middle[k])) for k in start}
        steps.append((place, {k: coefficient * value for k, value in velocity.items()}))
    return steps


def trained_middle(case: Case) -> dict[str, Tensor]:
    """The curve's middle, from that of the straight path on, by Adam on relative errors at random places."""
    model, generator = case.model, np.random.default_rng(0)
    middle = {key: ((value + model.target[key]) / 2).requires_grad_() for key, value in model.baseline.items()}
    optimizer = torch.optim.Adam(list(middle.values()), lr=CURVE_RATE)
    ends = {
        key: [max(loss_at(model, w, *image, None) for w in (model.baseline, model.target)) for image in images]
        for key, images in case.images.items()
    }
    for _ in range(CURVE_STEPS):
        optimizer.zero_grad()
        a = generator.random()
        weights = {
            k: (1 - a) ** 2 * model.baseline[k] + 2 * a * (1 - a) * middle[k] + a**2 * model.target[k] for k in middle
        }
        for name, images in case.images.items():
            number = int(generator.integers(len(images)))
            lr, hr = images[number]
            ((model.restore(weights, lr) - hr).square().sum() / ends[name][number]).backward(retain_graph=True)
        optimizer.step()
    return {key: value.detach() for key, value in middle.items()}


def barriers(case: Case, places: Sequence[Weights]) -> Json:
    """By kind of input, how many dB the worst place is worse than the worse end, the mean over images."""
    model, found = case.model, {}
    for name, images in case.images.items():
        heights = []
        for image in images:
            worse = max(loss_at(model, weights, *image, None) for weights in (model.baseline, model.target))
            worst = max(loss_at(model, weights, *image, None) for weights in places)
            heights.append(10 * np.log10(max(worst / worse, 1.0)))
        found[name] = round(float(np.mean(heights)), 2)
    return found


def trajectory(case: Case) -> Scores:
    """FAIG along the fine-tuning, straight between its checkpoints (LCA, Lan et al. 2019, goes along all steps)."""
    steps: list[Step] = []
    positions, coefficients = quadrature("gausslegendre", 2)
    for start, end in pairwise(case.checkpoints):
        velocity = {key: end[key] - start[key] for key in case.model.baseline}
        for a, coefficient in zip(positions, coefficients, strict=True):
            place = {key: start[key] + a * velocity[key] for key in velocity}
            steps.append((place, {key: coefficient * value for key, value in velocity.items()}))
    scores, case.notes["trajectory"] = scored_along(case, steps)
    return scores


def learned(case: Case) -> Scores:
    """Masks learned from the same crops, by the settings of params.yaml (:mod:`faig.attribution.learning`)."""
    settings = load_params("score.learned", LearnedParams, ROOT / "params.yaml")
    restored = restore_both(case.model, {name: [lr for lr, _ in pairs] for name, pairs in case.images.items()})
    return {name: learn_scores(case.model, restored, name, settings, 0).scores for name in case.attributed}


CANDIDATES: dict[str, Candidate] = {
    "FAIG": absolute(PATH),
    "Taylor": absolute(END_POINT),
    "both ends": absolute(BOTH_ENDS),
    "weight change": magnitude,
    "signed path": signed(PATH),
    "signed target": signed(END_POINT),
    "second order": second_order(1.0),
    "second order, caution 4": second_order(4.0),
    "second order, last quarter": second_order(4.0, LAST_QUARTER),
    "second order of errors": second_order_of_errors,
    "second order in ten rounds": refined,
    "learned": learned,
    "FAIG on a curve": curve,
    "FAIG on the trajectory": trajectory,
}
"""By the name in the tables. The last one is for networks whose checkpoints were kept."""
NEEDS_CHECKPOINTS = {"FAIG on the trajectory"}
