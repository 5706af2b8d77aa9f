"""A network's weights: trained here, or published ones that ``network.pretrained`` names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pandas as pd
from torch import Tensor, nn

from faig.base.compute import Compute
from faig.base.params import Seed, load_params
from faig.base.processes import Group
from faig.base.seeds import derive_seed
from faig.data.pairs import Pair
from faig.networks.models import NetworkSpec, load_pretrained
from faig.networks.pretrained import find_weights
from faig.networks.training import CURVE, TrainingParams, fit
from stages.shared.cli import checkpoint_folder, delete_afterwards


def fit_or_load(
    name: str,
    run: tuple[str, ...],
    network: nn.Module,
    spec: NetworkSpec,
    pairs: tuple[Sequence[Pair], Sequence[Pair]],
    mixture: Mapping[str, float],
    params: TrainingParams,
    compute: Compute,
    group: Group,
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Weights and training curve, with what it was computed with in ``attrs``; of published weights: no points.

    Args:
        name: of the network, among published weights.
        run: names the run, for its seed and its checkpoints.
        pairs: to train on, and to watch meanwhile.
    """
    if given := find_weights(load_params("network.pretrained", Path), name):
        weights = load_pretrained(given, spec)
        click.echo(f"{name}: {given} is taken, nothing is trained")
        return weights, pd.DataFrame(columns=CURVE)
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
    )
    if group.is_writer:
        delete_afterwards(checkpoint)
    curve = pd.DataFrame(points, columns=CURVE)
    curve.attrs.update(compute.describe())
    return weights, curve
