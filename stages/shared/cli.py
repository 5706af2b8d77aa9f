"""What all stages share at the command line: paths as options, errors as one line."""

import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec

import click

from faig.base.errors import InputError
from stages.shared.guard import unchanged
from stages.shared.imports import listed
from stages.shared.timings import LAUNCHED, timed

P = ParamSpec("P")
PATH = click.Path(path_type=Path)
_afterwards: list[Path] = []


def stage(function: Callable[P, None]) -> click.Command:
    """Make a command of a stage.

    An InputError (the user's mistake) or an OSError ends it with the message alone and exit status 1; any other
    exception is a mistake in this code and keeps its traceback. A change, while the stage runs, of the params that it
    reads or of the code that it imports is an InputError, too: DVC would note the new ones. What
    :func:`delete_afterwards` was told of stays until all is well. Time and memory are noted where DVC runs the stage.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        _afterwards.clear()
        try:
            with timed(), unchanged(function.__module__):
                function(*args, **kwargs)
        except (InputError, OSError) as error:
            raise click.ClickException(str(error)) from error
        for folder in _afterwards:
            shutil.rmtree(folder, ignore_errors=True)

    return click.command()(guarded)


def path_option(name: str, description: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A required option that takes a path: ``path_option("hr", "...")`` gives ``--hr PATH``."""
    return click.option(f"--{name}", type=PATH, required=True, help=description)


def optional_path(name: str, description: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """An option that takes a path and may be left out: the argument is then None."""
    return click.option(f"--{name}", type=PATH, help=description)


INPUTS = {
    "hr": "HR images, by split",
    "lr": "LR images, by degradation and split",
    "pairs": "the target's list of pairs, CSV",
    "baseline": "the baseline's weights, safetensors",
    "network": "the target's weights, safetensors",
    "scores": "the target's score table, Parquet",
}
"""What several stages read, by the name of its option."""


def reads(*names: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Required options of :data:`INPUTS` that take paths: ``reads("hr", "lr")`` gives ``--hr PATH --lr PATH``."""
    return _options({name: INPUTS[name] for name in names})


def writes(**descriptions: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Required options that take paths to write: ``writes(output="scores, Parquet")`` gives ``--output PATH``."""
    return _options(descriptions)


def _options(descriptions: Mapping[str, str]) -> Callable[[Callable[P, None]], Callable[P, None]]:
    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        for name, description in reversed(list(descriptions.items())):
            function = path_option(name.replace("_", "-"), description)(function)
        return function

    return decorate


TARGET = click.option("--target", required=True, help="name under `targets` in params.yaml")
"""Option of the stages that run once per target."""


def relaunched(launcher: str | None) -> bool:
    """Run this stage again under ``compute.launcher`` (``torchrun --standalone --nproc-per-node 2``), and wait for it.

    False, and nothing done, where there is no launcher or it has started this process.

    Raises:
        InputError: the launcher cannot be started, or a process failed; what it printed says why.
    """
    if launcher is None or LAUNCHED in os.environ:
        return False
    module = sys.modules["__main__"].__spec__
    if module is None:
        raise InputError("compute.launcher needs the stage to be run as `python -m stages.<name>`")
    try:
        command = [*shlex.split(launcher), "-m", module.name, *sys.argv[1:]]
        status = subprocess.run(command, check=False, env={**os.environ, LAUNCHED: "1"}).returncode
    except (OSError, ValueError) as error:
        raise InputError(f"compute.launcher = {launcher!r} cannot be started: {error}") from error
    if status:
        raise InputError(f"a process under compute.launcher = {launcher!r} failed (status {status}): see above")
    return True


def checkpoint_folder(*names: str) -> Path:
    """Where a stage, the first of ``names``, keeps its checkpoints: under .ckpt, or where FAIG_CHECKPOINTS says.

    Outside DVC, which deletes outputs before a stage runs. ``dvc exp run --temp`` needs a folder outside the copy.
    Other code or another PyTorch has another folder: what they left is not taken up.
    """
    script = Path("stages", f"{names[0]}.py")
    code = f"{listed(script) if script.is_file() else ''}{version('torch')}"
    root = Path(os.environ.get("FAIG_CHECKPOINTS", ".ckpt"))
    return root.joinpath(*names, hashlib.sha256(code.encode()).hexdigest()[:8])


def delete_afterwards(folder: Path | None) -> None:
    """Delete a checkpoint, where there is one, once the stage has written its results and all is well."""
    if folder is not None:
        _afterwards.append(folder)
