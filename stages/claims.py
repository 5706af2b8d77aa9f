"""Set what was measured against the paper's claims."""

import json
from pathlib import Path
from typing import Any

import click
import pandas as pd

from faig.base.params import Name, load_params
from faig.experiments.claims import ClaimParams, judge
from stages.shared.cli import PATH, path_option, stage
from stages.shared.outputs import write_csv, write_json


@stage
@click.option("--input", "inputs", multiple=True, type=PATH, required=True, help="metrics, JSON, or a folder of such")
@path_option("ratios", "folder of what masking removes over the ratio, a CSV per target")
@path_option("metrics", "statistic, interval, threshold and verdict of each claim, JSON")
@path_option("table", "the same as a table, with the claims in words, CSV")
def main(inputs: tuple[Path, ...], ratios: Path, metrics: Path, table: Path) -> None:
    """Judge every claim of params.yaml."""
    claims = load_params("claims", dict[Name, ClaimParams])
    for place in (*inputs, ratios):
        if not place.exists():
            raise ValueError(f"{place} does not exist: run the stage that writes it first (`dvc repro`)")
    known: dict[str, Any] = {
        "ratios": {path.stem: by_ratio(pd.read_csv(path)) for path in sorted(ratios.glob("*.csv"))}
    }
    for path in (path for place in inputs for path in (sorted(place.glob("*.json")) if place.is_dir() else [place])):
        for section, values in json.loads(path.read_text(encoding="utf-8")).items():
            known.setdefault(section, {}).update(values)
    verdicts = {name: judge(claim, known) for name, claim in claims.items()}
    rows = [{"claim": name, "says": claims[name].says, **values} for name, values in verdicts.items()]
    columns = ["claim", "says", "value", "low", "high", "threshold", "verdict"]
    write_csv(table, pd.DataFrame(rows).reindex(columns=columns))
    write_json(metrics, {"claims": verdicts})
    for row in rows:
        click.echo(f"{row['verdict']}: {row['says']}")


def by_ratio(table: pd.DataFrame) -> dict[str, Any]:
    """Curves over the ratio -> {method: {degradation: {ratio: values}}}, without what was left out."""
    found: dict[str, Any] = {}
    for row in table.to_dict(orient="records"):
        values = {str(key): value for key, value in row.items() if not pd.isna(value)}
        by_degradation = found.setdefault(values.pop("method"), {})
        by_degradation.setdefault(values.pop("degradation"), {})[f"{values.pop('ratio'):g}"] = values
    return found


if __name__ == "__main__":
    main()
