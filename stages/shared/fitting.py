"""A network's weights: trained here, or those that ``network.pretrained`` and ``network.files`` name."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click
import pandas as pd
from torch import Tensor, nn

from faig.base.compute import Compute
from faig.base.params import Scale, Seed, load_params
from faig.base.processes import Group
from faig.base.seeds import derive_seed
from faig.data.pairs import Pair
from faig.networks.pretrained import given_network
from faig.networks.training import CURVE, TrainingParams, fit, validation
from faig.networks.weights import NetworkChoice, Spec
from stages.shared.cli import checkpoint_folder, delete_afterwards
from stages.shared.outputs import write_csv

LIVE = Path("live")
"""Where the curves of trainings that have not ended lie, which ``dvc plots show`` draws; not in git, unknown to DVC."""


def fit_or_load(
    name: str,
    run: tuple[str, ...],
    start: Callable[[NetworkChoice, int], tuple[nn.Module, Spec]],
    pairs: tuple[Sequence[Pair], Sequence[Pair]],
    mixture: Mapping[str, float],
    params: TrainingParams,
    compute: Compute,
    group: Group,
) -> tuple[dict[str, Tensor], Spec, pd.DataFrame]:
    """Weights, what rebuilds the network, and the training curve, with what it was computed with in ``attrs``.

    The curve of weights that are given has one point, their quality.

    Args:
        name: of the network, among given weights.
        run: names the run, for its seed and its checkpoints.
        start: makes the network to be trained, of what params.yaml says of it and the scale.
        pairs: to train on, and to watch meanwhile.
    """
    choice, scale = load_params("network", NetworkChoice), load_params("scale", Scale)
    if given := given_network(choice, name, scale):
        network, spec, path = given
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        quality = validation(pairs[1], mixture, params, compute)(compute.network_to_device(network))
        click.echo(f"{name}: {path} is taken, nothing is trained; {quality:.2f} dB on {', '.join(sorted(mixture))}")
        return weights, spec, pd.DataFrame([(0, 0.0, float("nan"), quality)], columns=CURVE)
    network, spec = start(choice, scale)
    weights, points, checkpoint = fit(
        network,
        *pairs,
        mixture,
        params,
        compute,
        seed=derive_seed(load_params("seed", Seed), *run),
        checkpoints=checkpoint_folder(*run),
        description=" ".join(run),
        group=group,
        watch=lambda curve: show_live(name, curve),
    )
    if group.is_writer:
        delete_afterwards(checkpoint)
        delete_afterwards(LIVE / name)
    curve = pd.DataFrame(points, columns=CURVE)
    curve.attrs.update(compute.describe())
    return weights, spec, curve


def show_live(name: str, curve: Sequence[Mapping[str, float]]) -> None:
    """Write what there is of a network's curve, in place of all that an earlier run left of it.

    A folder that cannot be written to is no error: nobody's training ends for want of a figure.
    """
    with suppress(OSError):
        if curve:
            table = pd.DataFrame(curve, columns=CURVE)
            table.insert(0, "network", name)
            write_csv(LIVE / name / "training.csv", table)
        else:
            (LIVE / name / "training.csv").unlink(missing_ok=True)
