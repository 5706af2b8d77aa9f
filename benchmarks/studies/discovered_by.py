"""The rest of the argument with other methods' filters as the discovered ones.

``python -m benchmarks.studies.discovered_by path/to/run path/to/other/run``: each a project's folder in which
``dvc repro -P`` ran to its end, with another ``method`` in params.yaml. Keeps what the runs' tables of numbers say of
the discovered filters, in benchmarks/studies/results/discovered_by.json.
"""

from pathlib import Path

import click

from benchmarks.common import write
from tools.tables import Json, read_results, read_yaml

VARIANTS = ("discovered", "same_count", "rewired", "random", "grafted", "shuffled")


def numbers(results: Json, method: str) -> Json:
    """What a run says of its discovered filters, by degradation."""
    found: Json = {}
    for name, retrained in results["retrain"].items():
        masked, dial = results["mask"]["blind"][method][name], results["modulate"][name]
        found[name] = {
            "removed": masked["removed"],
            "collateral": masked["collateral"],
            "mean_depth": masked["mean_depth"],
            "recovered": {variant: retrained[variant]["recovered"] for variant in VARIANTS},
            "behind": {variant: retrained[variant]["behind"] for variant in ("same_count", "rewired", "random")},
            "monotonicity": dial["monotonicity"],
            "other_db": max(dial["other_db"].values()),
            "severity": results["severity"][name]["rank_correlation"],
        }
    return found


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(runs: tuple[Path, ...]) -> None:
    """Compare finished runs of both pipelines."""
    methods: Json = {}
    for run in runs:
        params, results = read_yaml(run / "params.yaml"), read_results(run)
        methods[params["method"]] = {
            "ratio": params["mask_ratio"],
            "filters": numbers(results, params["method"]),
            "response": results["predict"]["response"],
            "overlap": results["predict"]["overlap"],
        }
    write("studies/discovered_by", {"methods": methods})


if __name__ == "__main__":
    main()
