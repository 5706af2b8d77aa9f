"""What a stage works with stays what it is while it runs: DVC notes params and code when the stage ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faig.base.errors import InputError
from faig.base.params import unchanged_params
from stages.shared.imports import LISTS, listed

LISTING = "list_imports"
"""The script that writes the lists of imports."""


@contextmanager
def unchanged(module: str) -> Iterator[None]:
    """Check that the params that a stage reads and the code that it imports are the same at its end.

    Args:
        module: the stage's module, ``stages.mask`` or ``__main__``.

    Raises:
        InputError: a value or a module was changed.
        ParamsError: a value in params.yaml was changed.
    """
    with unchanged_params(), unchanged_code(module):
        yield


@contextmanager
def unchanged_code(module: str) -> Iterator[None]:
    """Check, where DVC runs the stage, that its code is the code listed when the run began, and stays so.

    Raises:
        InputError: it is not, or does not.
    """
    name = _script_of(module)
    known = LISTS / f"{name}.txt"
    if "DVC_STAGE" not in os.environ or name == LISTING or not known.is_file():
        yield
        return

    def require_same(when: str) -> None:
        if listed(Path("stages", f"{name}.py")) != known.read_text(encoding="utf-8"):
            raise InputError(f"code that stages/{name}.py imports was changed {when}: run again")

    require_same("since the run began")
    yield
    require_same("while the stage ran")


def _script_of(module: str) -> str:
    """``mask`` of ``stages.mask``, also where that is run as __main__."""
    spec = sys.modules[module].__spec__ if module == "__main__" else None
    return (spec.name if spec else module).rsplit(".", 1)[-1]
