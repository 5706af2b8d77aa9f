"""List the image pairs that a target is trained and scored on.

A target depends on its own list, not on the folder of all degradations: adding a degradation re-trains only the targets
that use it.
"""

from pathlib import Path

import click

from faig.base.params import load_params
from faig.data.pairs import list_pairs, write_entries
from faig.data.targets import TargetParams
from stages.shared.cli import path_option, stage


@stage
@click.option("--target", required=True, help="name under `targets` in params.yaml")
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("output", "the list, CSV")
def main(target: str, hr: Path, lr: Path, output: Path) -> None:
    """List the pairs of one target."""
    settings = load_params(f"targets.{target}", TargetParams)
    write_entries(output, list_pairs(hr, lr, settings.degradations))


if __name__ == "__main__":
    main()
