"""A baseline and a target from their weights files."""

from pathlib import Path

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.networks.foreign import ForeignSpec
from faig.networks.weights import NetworkChoice, load_network


def load_model(
    baseline: Path,
    target: Path,
    compute: Compute,
    choice: NetworkChoice | None = None,
    granularity: Granularity = "kernel",
) -> PathModel:
    """The path between two weights files.

    Args:
        baseline, target: as :func:`faig.networks.weights.save_network` wrote them.
        compute: device and precision.
        choice: what params.yaml says of the network; a factory is run only if it names it.
        granularity: what a filter is, see :mod:`faig.attribution.filters`.

    Raises:
        InputError: a file is missing or unusable, or they hold different networks.
    """
    (network, spec), (tuned, tuned_spec) = load_network(baseline, choice), load_network(target, choice)
    if spec != tuned_spec:
        raise InputError(f"{baseline} holds {spec}, but {target} holds {tuned_spec}")
    index = FilterIndex.of(network, granularity=granularity)
    training = isinstance(spec, ForeignSpec) and spec.training
    return PathModel(network, network.state_dict(), tuned.state_dict(), compute, index, training=training)
