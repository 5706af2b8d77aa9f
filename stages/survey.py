"""See to what DVC does not: which modules each script imports, photographs, published weights, results that are stale.

DVC does not follow Python imports: each stage depends on its script's list, so it runs again when a module of the list
changes, and only then. The photographs lie outside of DVC: ``prepare`` depends on their list; published weights lie
where ``network.pretrained`` says: the training stages depend on their list. What belonged to a
degradation or target that params.yaml no longer names is removed, so that no stage takes it up, and so is what a killed
run left half-written.
"""

import csv
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from faig.base.files import replacing
from faig.base.params import Name, load_params
from faig.data.photographs import DatasetParams, digests_of_photographs
from faig.networks.pretrained import find_weights, published_digests
from stages.shared.cli import PATH, path_option, stage
from stages.shared.imports import list_imports


@stage
@path_option("imports", "folder of lists, one per module in stages/: each module's digest and path")
@path_option("photographs", "split, file name and SHA-256 of each photograph, CSV")
@path_option("pretrained", "file name and SHA-256 of each of the published weights to take, CSV")
@click.option("--results", multiple=True, type=PATH, help="folder in which nothing half-written is to stay")
@click.option("--by-degradation", multiple=True, type=PATH, help="folder with one entry per degradation")
@click.option("--by-target", multiple=True, type=PATH, help="folder with one entry per target, and the baseline's")
def main(imports: Path, photographs: Path, pretrained: Path, **folders: tuple[Path, ...]) -> None:
    """List modules, photographs and published weights, and remove stale results."""
    list_imports(imports)
    digests = digests_of_photographs(load_params("dataset", DatasetParams))
    write_rows(photographs, ("split", "file", "sha256"), digests)
    folder = load_params("network.pretrained", Path | None)
    weights = published_digests(folder) if folder else {}
    for name in weights:
        find_weights(folder, Path(name).stem)  # a missing or damaged one is seen before any work
    write_rows(pretrained, ("file", "sha256"), weights.items())
    for path in (path for folder in folders["results"] for path in sorted(folder.rglob("*.part"))):
        click.echo(f"removing {path}: a run was killed while it wrote this")
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder in folders["by_degradation"]:
        remove_stale(folder, set(load_params("degradations", dict[Name, Any])))
    for folder in folders["by_target"]:
        remove_stale(folder, {*load_params("targets", dict[Name, Any]), "baseline"})


def write_rows(output: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a table as CSV: pandas would take a second to import."""
    with replacing(output) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def remove_stale(folder: Path, names: set[str]) -> None:
    """Delete the entries of ``folder`` whose stem is not among ``names``."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.stem not in names and path.name != ".gitignore":
            click.echo(f"removing {path}: params.yaml no longer names it")
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
