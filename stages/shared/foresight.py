"""How long scoring takes and how much memory: said before it starts, and its progress from then on."""

from io import StringIO

import click

from faig.attribution.learning import Inputs
from faig.attribution.path import PathModel
from faig.base.processes import Group
from faig.base.progress import Progress
from faig.data.targets import TargetParams
from faig.experiments.forecast import forecast
from faig.experiments.scoring import Images, ScoreParams, num_passes


def foreseen(
    name: str,
    model: PathModel,
    images: Images,
    learnt_from: Inputs,
    target: TargetParams,
    params: ScoreParams,
    group: Group,
) -> Progress:
    """Say on stderr what scoring the target ``name`` will cost; returns its progress, shown by one process.

    Raises:
        InputError: there is not enough memory.
    """
    told = forecast(model, images, learnt_from, target, params, group)
    if group.is_writer:
        click.echo(f"score {name}: {told}", err=True)
    return Progress(num_passes(target), f"score {name}", stream=None if group.is_writer else StringIO())
