"""How stages write their results, whole or not at all, equal bytes for equal values; and read what others measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from faig.base.files import replacing


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write nested metrics as JSON; floats are rounded to 6 digits after the point.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    _write(path, json.dumps(_rounded(values), indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, floats with 6 significant digits."""
    _write(path, table.to_csv(index=False, float_format="%.6g"))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet."""
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read what :func:`write_parquet` wrote.

    Raises:
        FileNotFoundError: there is no such file; the message says what to do.
        ValueError: it is not Parquet.
    """
    if not path.is_file():  # pandas would name the file alone
        raise FileNotFoundError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    return pd.read_parquet(path)


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
