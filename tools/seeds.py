"""Several seeds into a mean and an interval per claim: ``python -m tools.seeds``.

Reads the commit at HEAD and its DVC experiments; takes those whose params.yaml differs from HEAD's in ``seed`` alone:

    dvc exp run --queue -S 'seed=1,2,3,4' && dvc queue start && python -m tools.seeds
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from faig.base.params import Name, check
from faig.experiments.claims import ClaimParams, over_seeds

METRICS, PARAMS = "metrics/claims.json", "params.yaml"


@click.command()
@click.option("--level", default=0.95, show_default=True, help="of the intervals")
@click.option("--output", type=click.Path(path_type=Path), help="also write the table here, CSV")
def main(level: float, output: Path | None) -> None:
    """Gather the claims' statistics over seeds."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise click.ClickException(result.stderr.strip())
    try:
        params, runs = find_runs(json.loads(result.stdout))
        claims = check("claims", params["claims"], dict[Name, ClaimParams], source=PARAMS)
        rows = over_seeds(claims, list(runs.values()), level=level)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    table = pd.DataFrame(rows)
    click.echo(f"seeds {', '.join(map(str, runs))}")
    click.echo(table.drop(columns="says").to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(table.to_csv(index=False, float_format="%.6g"), encoding="utf-8")


def find_runs(shown: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[int, Mapping[str, Any]]]:
    """What ``dvc exp show --json`` shows -> HEAD's params, and by seed the verdicts of each run that differs in nothing
    but the seed; of several with one seed the newest.

    Raises:
        ValueError: HEAD has no results.
    """
    head = shown[1]
    known = _values(head.get("data"), "params", PARAMS)
    if not known or not _values(head.get("data"), "metrics", METRICS):
        raise ValueError(f"the commit at HEAD holds no {METRICS}: run `dvc repro` and commit its results first")
    listed = [head["data"], *(item["revs"][0]["data"] for item in head.get("experiments") or () if item["revs"])]
    runs: dict[int, Mapping[str, Any]] = {}
    for data in listed:
        params, metrics = _values(data, "params", PARAMS), _values(data, "metrics", METRICS)
        if metrics and params | {"seed": None} == known | {"seed": None}:
            runs.setdefault(params["seed"], metrics["claims"])
    return known, dict(sorted(runs.items()))


def _values(data: Mapping[str, Any] | None, kind: str, file: str) -> dict[str, Any]:
    return ((data or {}).get(kind) or {}).get(file, {}).get("data") or {}


if __name__ == "__main__":
    main()
