"""The score table: Parquet, one row per method, degradation, replicate and filter, best first.

Columns: method, degradation, replicate (0 but for ``random``), rank (0 is the best), score, layer, out_channel,
in_channel, filter (its number, see :mod:`faig.filters`). Each ranking is a row group of its own, so that reading one
reads nothing else. Settings, versions and the convergence check are JSON in the file's metadata under ``faig``.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faig.files import replacing
from faig.filters import FilterIndex, discovered, num_discovered

NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("method", NAME),
        ("degradation", NAME),
        ("replicate", pa.int8()),
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("layer", NAME),
        ("out_channel", pa.int32()),
        ("in_channel", pa.int32()),
        ("filter", pa.int32()),
    ]
)
METADATA_KEY = b"faig"


@dataclass(frozen=True)
class Key:
    """Which ranking: of which method, for which degradation, and which of several random ones."""

    method: str
    degradation: str
    replicate: int = 0


def write_scores(
    path: Path, index: FilterIndex, rankings: Mapping[Key, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Write scores (F,) per key; atomic, equal bytes for equal scores."""
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for key, scores in rankings.items():
            writer.write_table(_rows(index, key, scores, schema))


def _rows(index: FilterIndex, key: Key, scores: np.ndarray, schema: pa.Schema) -> pa.Table:
    order = discovered(scores, 1.0)
    layer, out_channel, in_channel = index.locate(order)
    columns = {
        "method": _repeat(key.method, len(order)),
        "degradation": _repeat(key.degradation, len(order)),
        "replicate": np.full(len(order), key.replicate, dtype=np.int8),
        "rank": np.arange(len(order), dtype=np.int32),
        "score": scores[order].astype(np.float32),
        "layer": pa.DictionaryArray.from_arrays(layer.astype(np.int32), list(index.layers)),
        "out_channel": out_channel.astype(np.int32),
        "in_channel": in_channel.astype(np.int32),
        "filter": order.astype(np.int32),
    }
    return pa.table(columns, schema=schema)


def _repeat(name: str, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(times, dtype=np.int32), [name])


def read_discovered(path: Path, ratio: float, methods: Collection[str] | None = None) -> dict[Key, np.ndarray]:
    """Numbers of the top ``ratio`` share of filters of each ranking, best first; of some ``methods`` only if given.

    Raises:
        ValueError: the file is missing or is not a score table.
    """
    table = _open(path).to_pandas()
    count = num_discovered(int(table["rank"].max()) + 1, ratio)
    top = table[table["rank"] < count]
    groups = top.groupby(["method", "degradation", "replicate"], observed=True, sort=False)
    found = {Key(str(name), str(of), int(which)): rows["filter"].to_numpy() for (name, of, which), rows in groups}
    return {key: filters for key, filters in found.items() if methods is None or key.method in methods}


def read_metadata(path: Path) -> dict[str, Any]:
    """What was written beside the scores: settings, versions, convergence."""
    return json.loads((_open(path).schema.metadata or {})[METADATA_KEY])


def _open(path: Path) -> pa.Table:
    if not path.is_file():
        raise ValueError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    if table.schema.remove_metadata() != SCHEMA or METADATA_KEY not in (table.schema.metadata or {}):
        raise ValueError(f"{path} is not a score table: its columns are {table.schema.names}, not {SCHEMA.names}")
    return table
