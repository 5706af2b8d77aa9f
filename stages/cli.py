"""What all stages share at the command line: paths as options, errors as one line."""

import functools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec

import click

from faig.params import unchanged_params

P = ParamSpec("P")
PATH = click.Path(path_type=Path)
LAUNCHED = "FAIG_LAUNCHED"
"""Environment variable of the processes that ``compute.launcher`` starts."""


def stage(function: Callable[P, None]) -> click.Command:
    """Make a command of a stage; a ValueError or OSError ends it with its message alone and exit status 1."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with unchanged_params():
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


def relaunched(launcher: str | None) -> bool:
    """Run this stage again under ``compute.launcher`` (``torchrun --standalone --nproc-per-node 2``), and wait for it.

    False, and nothing done, where there is no launcher or it has started this process.

    Raises:
        ValueError: the launcher cannot be started, or a process failed; what it printed says why.
    """
    if launcher is None or LAUNCHED in os.environ:
        return False
    module = sys.modules["__main__"].__spec__
    if module is None:
        raise ValueError("compute.launcher needs the stage to be run as `python -m stages.<name>`")
    try:
        command = [*shlex.split(launcher), "-m", module.name, *sys.argv[1:]]
        status = subprocess.run(command, check=False, env={**os.environ, LAUNCHED: "1"}).returncode
    except (OSError, ValueError) as error:
        raise ValueError(f"compute.launcher = {launcher!r} cannot be started: {error}") from error
    if status:
        raise ValueError(f"a process under compute.launcher = {launcher!r} failed (status {status}): see above")
    return True


def checkpoint_folder(*names: str) -> Path:
    """Where a stage keeps its checkpoints: under .ckpt, or under the folder that FAIG_CHECKPOINTS names.

    Outside DVC, which deletes outputs before a stage runs. ``dvc exp run --temp`` needs a folder outside the copy.
    """
    return Path(os.environ.get("FAIG_CHECKPOINTS", ".ckpt")).joinpath(*names)
