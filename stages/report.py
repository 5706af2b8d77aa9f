"""Write a run's results as one page: report/index.html. Runs no network."""

from pathlib import Path

from faig.base.params import Name, read_params, validate
from faig.page.page import write_page
from faig.page.run import Files
from faig.report.claims import ClaimParams
from stages.shared.cli import optional_path, stage, writes
from stages.shared.shown import run_of_params
from stages.shared.timings import read_timings, timings_file


@stage
@optional_path("mission", "numbers of the mission's pipeline, Parquet")
@optional_path("argument", "numbers of the argument's pipeline, Parquet")
@optional_path("measured", "folder of what the argument's stages measured")
@optional_path("claims", "the claims, YAML")
@optional_path("scores", "score tables, by target")
@optional_path("networks", "weights, by network")
@optional_path("pictures", "images to be shown of the main target's")
@optional_path("predictions", "features of each crop")
@optional_path("hr", "HR images, by split")
@optional_path("lr", "LR images, by degradation and split")
@writes(output="the page, HTML")
def main(output: Path, **paths: Path | None) -> None:
    """Write the page; of what is missing, it says so."""
    claims = paths["claims"]
    if claims is not None and claims.is_file():
        asked = validate("", read_params(claims), dict[Name, ClaimParams], source=str(claims))
    else:
        asked = "There are no claims to judge: `argument/claims.yaml` was not given."
    write_page(Files(output, {**paths, "timings": timings_file()}), run_of_params(), asked, read_timings())


if __name__ == "__main__":
    main()
