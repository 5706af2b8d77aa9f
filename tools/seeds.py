"""Several seeds into a mean and an interval per claim: ``python -m tools.seeds``.

Reads the commit at HEAD and its DVC experiments; takes those whose params.yaml differs from HEAD's in ``seed`` alone:

    dvc exp run -P --queue -S 'seed=1,2,3,4' && dvc queue start && python -m tools.seeds
"""

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from faig.base.params import Name, read_params, validate
from faig.report.claims import ClaimParams, judge, over_seeds
from faig.report.numbers import to_results

METRICS, PARAMS, CLAIMS = "metrics/argument.json", "params.yaml", "argument/claims.yaml"
NUMBERS = ("metrics/mission.parquet", "metrics/argument.parquet")


@click.command()
@click.option("--level", default=0.95, show_default=True, help="of the intervals")
@click.option("--output", type=click.Path(path_type=Path), help="also write the table here, CSV")
def main(level: float, output: Path | None) -> None:
    """Gather the claims' statistics over seeds."""
    try:
        shown = json.loads(run(sys.executable, "-m", "dvc", "exp", "show", "--json"))
        revisions = find_runs(shown)
        claims = validate("", read_params(Path(CLAIMS)), dict[Name, ClaimParams], source=CLAIMS)
        measured = [numbers_of(revision) for revision in revisions.values()]
        runs = [{name: judge(claim, numbers) for name, claim in claims.items()} for numbers in measured]
        rows = over_seeds(claims, runs, level=level)
    except subprocess.CalledProcessError as error:
        raise click.ClickException(error.stderr.decode().strip()) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    table = pd.DataFrame(rows)
    click.echo(f"seeds {', '.join(map(str, revisions))}")
    click.echo(table.drop(columns="says").to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(table.to_csv(index=False, float_format="%.6g"), encoding="utf-8")


def run(*command: str) -> bytes:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, check=True).stdout


def numbers_of(revision: str) -> dict[str, Any]:
    """All numbers of both pipelines as a Git revision holds them."""
    found: dict[str, Any] = {}
    for path in NUMBERS:
        found |= to_results(pd.read_parquet(io.BytesIO(run("git", "show", f"{revision}:{path}"))))
    return found


def find_runs(shown: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """What ``dvc exp show --json`` shows -> by seed the revision of each run whose params differ from HEAD's in nothing
    but the seed; of several with one seed the newest.

    Raises:
        ValueError: HEAD has no results.
    """
    head = shown[1]
    known = _values(head.get("data"), "params", PARAMS)
    if not known or not _values(head.get("data"), "metrics", METRICS):
        raise ValueError(f"the commit at HEAD holds no {METRICS}: run `dvc repro -P` and commit its results first")
    listed = [head, *(item["revs"][0] for item in head.get("experiments") or () if item["revs"])]
    runs: dict[int, str] = {}
    for item in listed:
        params = _values(item["data"], "params", PARAMS)
        if _values(item["data"], "metrics", METRICS) and params | {"seed": None} == known | {"seed": None}:
            runs.setdefault(params["seed"], item["rev"])
    return dict(sorted(runs.items()))


def _values(data: Mapping[str, Any] | None, kind: str, file: str) -> dict[str, Any]:
    return ((data or {}).get(kind) or {}).get(file, {}).get("data") or {}


if __name__ == "__main__":
    main()
