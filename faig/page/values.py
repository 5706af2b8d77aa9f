"""Numbers as the page shows them: a text, its interval, and the file that it comes from."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

Kind = Literal["share", "few", "dB", "gain", "plain", "count"]
"""How a number is written: 0.87 as ``87 %``, 0.001 as ``0.1 %``, in dB, with its sign, with two digits, with commas."""
MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Number:
    """A number: its value and interval, how it is written, its name in the file that it comes from, a link to that."""

    value: float
    kind: Kind
    name: str
    href: str
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The value with its unit: ``87 %``."""
        return f"{written(self.value, self.kind)}{unit_of(self.kind)}"

    @property
    def interval(self) -> str:
        """The interval, ``(83 to 91)``; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"({written(self.low, self.kind)} to {written(self.high, self.kind)})"


def written(value: float, kind: Kind) -> str:
    """A value without its unit, rounded; never ``-0``."""
    if kind == "few":
        return f"{100 * value:g}"
    digits, factor = {"share": (0, 100), "dB": (2, 1), "gain": (2, 1), "plain": (2, 1), "count": (0, 1)}[kind]
    rounded = round(factor * value, digits) + 0.0
    text = f"{abs(rounded):,.{digits}f}"
    return f"{MINUS if rounded < 0 else '+' if kind == 'gain' else ''}{text}"


def unit_of(kind: Kind) -> str:
    """The unit that follows a value of this kind, behind a space that does not break."""
    return {"share": f"{SPACE}%", "few": f"{SPACE}%", "dB": f"{SPACE}dB", "gain": f"{SPACE}dB"}.get(kind, "")


@dataclass(frozen=True)
class Numbers:
    """A table of numbers (:mod:`faig.report.numbers`): by name value, low and high; and the link to its file."""

    href: str
    rows: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def __call__(self, name: str, kind: Kind = "share") -> Number | None:
        """The number of that name; None where there is none."""
        if name not in self.rows:
            return None
        value, *ends = self.rows[name]
        low, high = (None if math.isnan(end) else end for end in ends)
        return Number(value, kind, name, self.href, low, high)

    def below(self, *parts: str) -> list[str]:
        """What follows ``parts`` in the names, each once, in the table's order."""
        prefix = "/".join(parts) + "/"
        found = (name.removeprefix(prefix).split("/")[0] for name in self.rows if name.startswith(prefix))
        return list(dict.fromkeys(found))


def numbers_of(table: pd.DataFrame, href: str) -> Numbers:
    """A table of numbers, for look-ups by name."""
    rows = table[["name", "value", "low", "high"]].itertuples(index=False)
    return Numbers(href, {str(name): (float(value), float(low), float(high)) for name, value, low, high in rows})


def link(path: Path, page: Path) -> str:
    """A file's address relative to the page's folder."""
    return Path(os.path.relpath(path, page.parent)).as_posix()


def listed(words: list[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def alternating(parts: list[list[object]], separator: str) -> Iterator[object]:
    """The parts of a sentence one after the other, with a separator between them."""
    for number, part in enumerate(parts):
        yield from [separator] if number else []
        yield from part


def phrase(parts: list[list[object]]) -> list[object]:
    """``a``, ``a and b``, ``a, b and c`` of parts that hold texts and numbers."""
    last = [" and ", *parts[-1]] if parts[1:] else parts[-1]
    return [*alternating(parts[:-1], ", "), *last]
