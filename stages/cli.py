"""What all stages share at the command line: paths as options, errors as one line."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec

import click

P = ParamSpec("P")
PATH = click.Path(path_type=Path)


def stage(function: Callable[P, None]) -> click.Command:
    """Make a command of a stage; a ValueError or OSError ends it with its message alone and exit status 1."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return click.command()(guarded)


def path_option(name: str, description: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A required option that takes a path: ``path_option("hr", "...")`` gives ``--hr PATH``."""
    return click.option(f"--{name}", type=PATH, required=True, help=description)


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` to write to; it becomes ``path`` on success and is deleted on an error."""
    partial = path.with_name(path.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def checkpoint_folder(*names: str) -> Path:
    """Where a stage keeps its checkpoints: under .ckpt, or under the folder that FAIG_CHECKPOINTS names.

    Outside DVC, which deletes outputs before a stage runs. ``dvc exp run --temp`` needs a folder outside the copy.
    """
    return Path(os.environ.get("FAIG_CHECKPOINTS", ".ckpt")).joinpath(*names)
