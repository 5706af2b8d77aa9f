"""Markdown tables from result files: cells, and documents in which tables stand between two comments.

``<!-- name -->`` and ``<!-- end -->``: no number in such a table is written by hand.
"""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from faig.report.numbers import read_numbers

Json = dict[str, Any]
Row = tuple[str, ...]
Tables = Mapping[str, Callable[[Path], str]]
"""By name, what makes a table from the results under a folder."""


def read_json(path: Path) -> Json:
    """A JSON file's mapping."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_results(folder: Path) -> Json:
    """All results of a run, nested, from the tables of numbers in its folder ``metrics``."""
    results: Json = {}
    for path in sorted((folder / "metrics").glob("*.parquet")):
        results |= read_numbers(path)
    return results


def read_claims(folder: Path) -> list[Json]:
    """The claims of a run with their verdicts, as its table has them; none where they were not judged."""
    path = folder / "plots/argument/claims.csv"
    return pd.read_csv(path).to_dict("records") if path.is_file() else []


def read_yaml(path: Path) -> Json:
    """A YAML file's mapping."""
    return deepcopy(_parse(path.read_text(encoding="utf-8")))


@lru_cache(maxsize=32)  # a run's params are read for each of a document's tables
def _parse(text: str) -> Json:
    return YAML(typ="safe", pure=True).load(text)


def table(heads: Row, rows: list[Row]) -> str:
    """A Markdown table; where there is no row, a word that says so."""
    if not rows:
        return "*Not measured in a published run.*"
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rows))


def share(values: Mapping[str, Any], key: str, *, low: bool = False) -> str:
    """``96 % (94 to 97)``; ``low``: with the interval; empty where nothing was measured."""
    if values.get(key) is None or pd.isna(values[key]):
        return ""
    low = low and f"{key}_low" in values
    numbers = [f"{100 * values[name]:z.0f}" for name in (key, f"{key}_low", f"{key}_high") if name == key or low]
    return f"{numbers[0]} %" + (f" ({numbers[1]} to {numbers[2]})" if low else "")


def judged(claim: Json) -> tuple[str, str, str]:
    """A claim's value with its interval, its threshold, and the verdict: ``0.96 (0.94 to 0.97)``, ``at least 0.75``."""
    numbers = {key: f"{claim[key]:z.2f}" for key in ("value", "low", "high", "threshold") if not pd.isna(claim[key])}
    interval = f" ({numbers['low']} to {numbers['high']})" if "low" in numbers else ""
    bound = f"{claim['asked']} {numbers['threshold']}" if "threshold" in numbers else ""
    return numbers.get("value", "") + interval, bound, claim["verdict"]


def times(values: Mapping[str, float], digits: int) -> str:
    """``24 times (23 to 25)``: median, smallest and largest."""
    low, middle, high = (f"{values[key]:.{digits}f}" for key in ("min", "median", "max"))
    return f"{middle} times ({low} to {high})"


def render(text: str, tables: Tables, root: Path) -> str:
    """A document's text with all its tables made anew from the results under ``root``.

    Raises:
        ValueError: the text holds a table twice, or one that nothing makes.
    """
    pattern = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)
    names = pattern.findall(text)
    if len(set(names)) < len(names) or not set(names) <= set(tables):
        raise ValueError(f"the document holds the tables {sorted(names)}; there are {sorted(tables)}, for once each")
    return pattern.sub(lambda match: f"<!-- {match[1]} -->\n{tables[match[1]](root)}\n<!-- end -->", text)
