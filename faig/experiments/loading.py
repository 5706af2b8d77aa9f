"""A baseline and a target from their weights files."""

from pathlib import Path

from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.networks.models import load_network


def load_model(baseline: Path, target: Path, compute: Compute) -> PathModel:
    """The path between two weights files.

    Raises:
        InputError: a file is missing or unusable, or they hold different networks.
    """
    (network, spec), (tuned, tuned_spec) = load_network(baseline), load_network(target)
    if spec != tuned_spec:
        raise InputError(f"{baseline} holds {spec}, but {target} holds {tuned_spec}")
    return PathModel(network, network.state_dict(), tuned.state_dict(), compute)
