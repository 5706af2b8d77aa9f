"""Remove the outputs of degradations and targets that params.yaml no longer names, so that no stage takes them up."""

import shutil
from pathlib import Path
from typing import Any

import click

from faig.params import Name, load_params
from stages.cli import PATH, path_option, stage


@stage
@path_option("output", "written when done; its content never changes, so it makes nothing else run again")
@click.option("--by-degradation", multiple=True, type=PATH, help="folder with one entry per degradation")
@click.option("--by-target", multiple=True, type=PATH, help="folder with one entry per target, and the baseline's")
def main(output: Path, by_degradation: tuple[Path, ...], by_target: tuple[Path, ...]) -> None:
    """Remove stale outputs."""
    for folder in by_degradation:
        remove_stale(folder, set(load_params("degradations", dict[Name, Any])))
    for folder in by_target:
        remove_stale(folder, {*load_params("targets", dict[Name, Any]), "baseline"})
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("nothing is stale\n", encoding="utf-8")


def remove_stale(folder: Path, names: set[str]) -> None:
    """Delete the entries of ``folder`` whose stem is not among ``names``."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.stem not in names and path.name != ".gitignore":
            click.echo(f"removing {path}: params.yaml no longer names it")
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
