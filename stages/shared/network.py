"""A baseline and a target, rebuilt as params.yaml says."""

from pathlib import Path

from faig.attribution.filters import Granularity
from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.base.params import load_params
from faig.experiments.loading import load_model
from faig.networks.weights import NetworkChoice


def read_path(baseline: Path, network: Path, compute: Compute) -> PathModel:
    """The path from the baseline to a target, with the filters that params.yaml asks for."""
    choice, granularity = load_params("network", NetworkChoice), load_params("granularity", Granularity)
    return load_model(baseline, network, compute, choice, granularity)
