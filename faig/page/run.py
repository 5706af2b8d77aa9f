"""What a page is made of: a run's settings and files, any of which may be missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from faig.base.errors import InputError
from faig.base.statistics import BootstrapParams
from faig.page.values import Numbers, link, numbers_of
from faig.report.mission import CONTROL

MAKERS = {
    "mission": "dvc repro summarize",
    "argument": "make argument",
    "measured": "make argument",
    "claims": "git restore argument/claims.yaml",
    "scores": "dvc repro score",
    "networks": "dvc repro finetune",
    "pictures": "dvc repro mask",
    "predictions": "dvc repro predict",
    "lr": "dvc repro synthesize",
    "hr": "dvc repro prepare",
}
"""By input, the command that makes it."""


@dataclass(frozen=True)
class Run:
    """A run's settings, as params.yaml has them.

    ``target``: the main target; ``attributed``: its degradations whose filters are sought; ``method``: whose filters
    are the discovered ones, at ``ratio``; ``min_gain`` in dB; ``classes`` of the predictor; ``picture``: number of the
    test image that is shown; ``shown``: what the page lists, by key; ``seed`` of intervals that the page makes itself.
    """

    target: str
    attributed: Sequence[str]
    method: str
    ratio: float
    scale: int
    min_gain: float
    bootstrap: BootstrapParams
    classes: Sequence[str]
    picture: int
    seed: int
    shown: Mapping[str, Any]


def methods_in(numbers: Numbers, run: Run, section: str) -> list[str]:
    """The methods that a section of the main target's numbers has: the run's own first, the control last."""
    found = numbers.below(section, run.target)
    return sorted(found, key=lambda name: (name != run.method, name == CONTROL, name))


class Missing(Exception):  # noqa: N818  # no mistake: a section that has nothing to show
    """What a section needs is not there; the message is the sentence that the page shows in its place."""


@dataclass(frozen=True)
class Files:
    """Where a run's files lie, by the names of :data:`MAKERS`, and the page that links to them."""

    page: Path
    paths: Mapping[str, Path | None]

    def __getitem__(self, name: str) -> Path:
        """A file or folder that is there.

        Raises:
            Missing: it is not.
        """
        path = self.paths.get(name)
        if path is None:
            raise Missing(f"Not measured in this run. `{MAKERS[name]}` measures it.")
        if not path.exists():
            raise Missing(f"Not measured in this run: there is no `{self.name(path)}`. `{MAKERS[name]}` makes it.")
        return path

    def link(self, path: Path) -> str:
        """A file's address, relative to the page."""
        return link(path, self.page)

    def name(self, path: Path) -> str:
        """A file as a reader names it, from the project's folder, which holds the page's."""
        return self.link(path).removeprefix("../")

    def table(self, name: str, *parts: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """A Parquet file.

        Raises:
            Missing: it is not there.
            InputError: it is no Parquet file, or lacks a column.
        """
        path = self[name].joinpath(*parts)
        if not path.is_file():
            raise Missing(f"Not measured in this run: there is no `{self.name(path)}`. `{MAKERS[name]}` makes it.")
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is not a Parquet file: {error}") from error
        if lacking := [column for column in columns if column not in table]:
            raise InputError(f"{path} lacks the columns {', '.join(lacking)}: `{MAKERS[name]}` makes it anew")
        return table

    def numbers(self, name: str) -> Numbers:
        """A table of numbers.

        Raises:
            Missing: it is not there.
            InputError: it is no such table.
        """
        table = self.table(name, columns=["name", "value", "low", "high"])
        return numbers_of(table, self.link(self[name]))
