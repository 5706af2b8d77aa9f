"""Judge the paper's claims by the numbers of both pipelines, and draw the argument's figures. Runs no network."""

from pathlib import Path

import click
import pandas as pd

from faig.base.params import Name, read_params, validate
from faig.report.claims import ClaimParams, judge
from faig.report.numbers import read_numbers, write_numbers
from stages.shared.cli import path_option, stage, writes
from stages.shared.outputs import write_csv, write_json
from stages.shared.summaries import compare_targets, summaries


@stage
@path_option("claims", "the claims, YAML")
@path_option("mission", "numbers of the mission's pipeline, Parquet")
@path_option("scores", "score tables, by target")
@path_option("measured", "folder of what the argument's stages measured")
@writes(
    metrics="value of each claim's statistic, JSON",
    numbers="the argument's numbers with their intervals, Parquet",
    table="the claims with their verdicts, CSV",
    plots="folder of the argument's figures",
)
def main(claims: Path, mission: Path, scores: Path, measured: Path, plots: Path, **outputs: Path) -> None:
    """Judge every claim."""
    asked = validate("", read_params(claims), dict[Name, ClaimParams], source=str(claims))
    results = {"compare_targets": compare_targets(scores), **summaries(measured, plots)}
    known = {**read_numbers(mission), **results}
    verdicts = {name: judge(claim, known) for name, claim in asked.items()}
    rows = [{"claim": name, **described(asked[name]), **values} for name, values in verdicts.items()]
    columns = ["claim", "says", "value", "low", "high", "asked", "threshold", "set", "verdict"]
    write_csv(outputs["table"], pd.DataFrame(rows).reindex(columns=columns))
    write_numbers(outputs["numbers"], results)
    write_json(outputs["metrics"], {name: row["value"] for name, row in verdicts.items() if "value" in row})
    for row in rows:
        click.echo(f"{row['verdict']}: {row['says']}")


def described(claim: ClaimParams) -> dict[str, str]:
    """What the table says of a claim before it is judged."""
    return {"says": claim.says, "asked": "at most" if claim.at_least is None else "at least", "set": claim.set}


if __name__ == "__main__":
    main()
