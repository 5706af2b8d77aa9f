"""What scoring a target will cost, told before the work starts; refused where memory will not do."""

import math
from dataclasses import dataclass

from torch import Tensor

from faig.attribution.cost import FORWARD, Cost, free_memory, measure_cost
from faig.attribution.learning import Inputs
from faig.attribution.path import PathModel
from faig.attribution.tiling import scale_of
from faig.base.errors import InputError
from faig.base.processes import Group
from faig.data.targets import CLEAN, TargetParams
from faig.experiments.scoring import Images, ScoreParams


@dataclass(frozen=True)
class Forecast:
    """``seconds`` that scoring will take, and ``memory`` in bytes beside what is in use, of all processes together."""

    seconds: float
    memory: float

    def __str__(self) -> str:
        memory, seconds = self.memory / 2**20, self.seconds
        space = f"{memory:.0f} MiB" if memory < 1024 else f"{memory / 1024:.1f} GiB"
        units = (("s", 90, 1), ("min", 5400, 60), ("h", math.inf, 3600))
        time = next(f"{seconds / unit:.2g} {name}" for name, limit, unit in units if seconds < limit)
        return f"about {time} on this machine, {space} of memory"


def forecast(
    model: PathModel, images: Images, learnt_from: Inputs, target: TargetParams, params: ScoreParams, group: Group
) -> Forecast:
    """Tell time and memory of :func:`~faig.experiments.scoring.score_filters`, whose arguments these are.

    One small crop is run a few times, which takes about as long as a thousandth of the work; see
    :mod:`faig.attribution.cost`.

    Raises:
        InputError: more memory is needed than is free; names the keys to lower, and how far.
    """
    shown = [lr for lr, _ in images[CLEAN]]
    learned = learnt_from[CLEAN]
    cost = measure_cost(model, max([*shown, *learned], key=_pixels))
    # Processes share a CPU's memory, and have a device each.
    sharing = group.size if model.compute.device.type == "cpu" else 1
    _require_memory(cost, free_memory(model.compute.device) / sharing, scale_of(*images[CLEAN][0]), len(shown), params)
    each, step, both = passes(target, params)
    pixels = each * sum(map(_pixels, shown)) + (step / len(learned) + both) * sum(map(_pixels, learned))
    return Forecast(cost.seconds * pixels / cost.pixels / group.size, cost.memory * sharing)


def passes(target: TargetParams, params: ScoreParams) -> tuple[float, float, float]:
    """How many gradient passes the methods take; a forward pass alone counts as :data:`FORWARD`.

    Returns:
        For each crop that scores are averaged over, in all its degradations; for all steps of learning; and for each
        crop that masks are learned from.
    """
    num, nodes = len(target.attribute), params.quadrature.num_nodes
    integral = 3 * nodes if params.quadrature.rule == "auto" else nodes  # auto: doubled once, or more often
    # FAIG and Taylor's one gradient take the loss at both ends, too.
    faig = len(target.contrasted) * (integral + 1 + 4 * FORWARD)
    barrier = 0 if CLEAN in target.contrasted else (nodes + 2) * FORWARD
    # Two nodes, the baseline's output, and one forward pass with two backward.
    second_order = (num + 1) * (2 + FORWARD + FORWARD + 2 * (1 - FORWARD))
    input_gradients = num * nodes
    steps = num * (num + 1) * params.learned.steps * params.learned.batch_size
    return faig + barrier + second_order + input_gradients, steps, (num + 1) * 2 * FORWARD


def _require_memory(cost: Cost, free: float, scale: int, num_images: int, params: ScoreParams) -> None:
    if cost.memory <= free:
        return
    sizes = {"score.images.size": params.images.size, "score.learned.images.size": params.learned.images.size}
    if num_images > params.images.num:
        sizes["score.dead_leaves.size"] = params.dead_leaves.size
    largest = int(math.sqrt(cost.largest(free))) * scale  # HR pixels
    keys = " and ".join(f"{key} = {size}" for key, size in sizes.items() if size > largest)
    advice = f"lower {keys} to {largest}" if largest else "no size would do: free memory, or use another machine"
    gib = f"{cost.memory / 2**30:.2g} GiB of memory, but {free / 2**30:.2g} GiB are free"
    raise InputError(f"scoring needs about {gib}: {advice}")


def _pixels(image: Tensor) -> int:
    return image.shape[-2] * image.shape[-1]
