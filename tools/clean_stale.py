"""Remove results that the pipeline no longer makes: ``python -m tools.clean_stale`` or ``make clean-stale``.

Where dvc.yaml makes a file or folder for each target or degradation, those of one that params.yaml no longer names stay
behind: DVC forgets them. And a run that was killed may leave half-written files, named ``*.part``. Do not call this
while the pipeline runs.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click
from dvc.repo import Repo


def stale_paths() -> Iterator[tuple[Path, str]]:
    """Each path to remove, relative to the project's folder, which must be the current one, and why."""
    stages = Repo().index.stages
    outputs = {Path(out.fs_path).relative_to(Path.cwd()): stage.addressing for stage in stages for out in stage.outs}
    for folder in sorted({path.parts[0] for path in outputs}):
        for path in sorted(Path(folder).rglob("*.part")):
            yield path, "a run was killed while it wrote this"
    for folder in sorted({path.parent for path, stage in outputs.items() if "@" in stage}):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path not in outputs and path.name != ".gitignore" and path.suffix != ".part":
                yield path, "no stage of dvc.yaml makes this with params.yaml as it stands"


@click.command()
def main() -> None:
    """Remove stale and half-written results from data, metrics and plots."""
    for path, reason in list(stale_paths()):
        click.echo(f"removing {path}: {reason}")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
