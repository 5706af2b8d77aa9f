"""Compare the blind target's discovered filters with its specialists', and how deep each degradation's filters lie."""

from pathlib import Path

import click
import numpy as np

from faig.attribution.filters import FilterIndex
from faig.base.params import Name, Seed, load_params
from faig.base.seeds import derive_seed
from faig.data.targets import TargetParams
from faig.experiments.agreement import AgreementParams, agreement, depth_profile, specialists
from faig.experiments.score_table import read_discovered
from faig.networks.models import load_network
from stages.shared.cli import path_option, stage
from stages.shared.outputs import write_json


@stage
@path_option("baseline", "the baseline's weights: names the filters")
@path_option("scores", "folder of score tables, one per target")
@path_option("metrics", "agreement and depths, JSON")
def main(baseline: Path, scores: Path, metrics: Path) -> None:
    """Compare the filters of all targets."""
    params = load_params("compare_targets", AgreementParams)
    targets = load_params("targets", dict[Name, TargetParams])
    generator = np.random.default_rng(derive_seed(load_params("seed", Seed), "agreement"))
    network, _ = load_network(baseline)
    index = FilterIndex.of(network)
    found = {name: discovered_by(scores / f"{name}.parquet", params.ratio, index.num_filters) for name in targets}
    experts = specialists(targets, params.target)
    for name in set(targets[params.target].attribute) - set(experts):
        click.echo(f"no target is trained on {name} alone: its filters are compared with nobody's")
    others = {name: found[expert][name] for name, expert in experts.items()}
    results = {
        "agreement": agreement(index, found[params.target], others, params, generator),
        "depth": {name: depth_profile(index, filters, params, generator) for name, filters in found.items()},
    }
    write_json(metrics, {"compare_targets": results})


def discovered_by(path: Path, ratio: float, num_filters: int) -> dict[str, np.ndarray]:
    """FAIG's filters (n,) by degradation, of a network with ``num_filters``."""
    return {key.degradation: filters for key, filters in read_discovered(path, ratio, num_filters, ["faig"]).items()}


if __name__ == "__main__":
    main()
