"""The table of numbers: all results of a pipeline, one row each, as Parquet.

Columns: name (parts joined by ``/``, from the general to the particular: ``mask/blind/faig/blur/removed``), value, and
low and high, the ends of its interval, empty where there is none. Results in code are nested mappings in which the
interval of ``removed`` stands under ``removed_low`` and ``removed_high``.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from faig.base.errors import InputError
from faig.base.files import replacing

COLUMNS = ("name", "value", "low", "high")
ENDS = ("low", "high")
DIGITS = 6
"""After the point, so that the last bits of a sum change nothing."""


def to_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Nested results -> rows sorted by name; what is no number has no row.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    found = dict(_flat(results))
    rows = []
    for name, value in found.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} = {value}: a result must be a finite number")
        base, _, end = name.rpartition("_")
        if end in ENDS and base in found:
            continue
        ends = (found.get(f"{name}_{end}") for end in ENDS)
        rows.append((name, value, *ends))
    rounded = [[part if isinstance(part, str) else _round(part) for part in row] for row in sorted(rows)]
    table = pd.DataFrame(rounded, columns=list(COLUMNS))
    return table.astype(dict.fromkeys(COLUMNS[1:], "float64"))


def to_results(table: pd.DataFrame) -> dict[str, Any]:
    """The inverse of :func:`to_table`, but for what is no number."""
    results: dict[str, Any] = {}
    for name, *values in table[list(COLUMNS)].itertuples(index=False):
        *parents, last = name.split("/")
        section = results
        for part in parents:
            section = section.setdefault(part, {})
        for key, value in zip((last, f"{last}_low", f"{last}_high"), values, strict=True):
            if not pd.isna(value):
                section[key] = value
    return results


def write_numbers(path: Path, results: Mapping[str, Any]) -> None:
    """Write nested results as a table of numbers, atomically; equal bytes for equal results.

    Raises:
        ValueError: as :func:`to_table`.
    """
    table = to_table(results)
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)


def read_numbers(path: Path) -> dict[str, Any]:
    """Read what :func:`write_numbers` wrote, as nested results.

    Raises:
        InputError: the file is missing.
        ValueError: it is no table of numbers.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    return to_results(pd.read_parquet(path, columns=list(COLUMNS)))


def _flat(results: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in results.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0  # no negative zero
