"""The score table: Parquet, one row per method, degradation, replicate and filter, best first.

Columns: method, degradation, replicate (0 but for ``random``), rank (0 is the best), score, layer, out_channel,
in_channel, filter (its number, see :mod:`faig.attribution.filters`). Each ranking is a row group of its own, so that
reading one reads nothing else. Settings, versions and the convergence check are JSON in the file's metadata under
``faig``.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faig.base.errors import InputError
from faig.base.files import replacing
from faig.base.ranking import discovered, num_discovered

if TYPE_CHECKING:  # so that reading a table does not import PyTorch
    from faig.attribution.filters import FilterIndex

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
LAYOUT: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["method", "degradation", "layer", "out_channel", "in_channel"],
    "column_encoding": {"rank": "DELTA_BINARY_PACKED", "filter": "DELTA_BINARY_PACKED", "score": "BYTE_STREAM_SPLIT"},
}
"""Ranks count up, scores come sorted, filters need 18 of 32 bits: half the size of the default."""


@dataclass(frozen=True)
class Key:
    """Which ranking: of which method, for which degradation, and which of several random ones.

    ``ratio``: the share of the filters that is meant, from the best on; 0 where no filters are chosen.
    """

    method: str
    degradation: str
    replicate: int = 0
    ratio: float = 0.0


BASELINE, TARGET = Key("baseline", ""), Key("target", "")
"""What stands for the two unmasked networks in a table of measurements."""
Method = Literal["faig", "learned", "second_order", "ig", "taylor", "weight_change", "weight_change_undivided"]
"""A method whose filters can be the discovered ones: all but the random rankings, which they are compared with."""
METHODS = ("faig", "learned", "second_order", "ig", "taylor", "weight_change", "weight_change_undivided", "random")
"""``faig``, ``taylor``: contrasted between degradations. ``learned``: a mask that removes one of them and leaves the
others; ``second_order``: how far masking each filter alone would. ``ig``: as its authors rank it, of each degradation
alone. ``weight_change``, ``random``: the same ranking for every degradation."""

DELETION, INSERTION = "deletion", "insertion"
"""The two curves over the share of the filters: those filters masked, and all filters but those masked."""


def write_scores(
    path: Path, index: "FilterIndex", rankings: Mapping[Key, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Write scores (F,) per key; atomic, equal bytes for equal scores."""
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, **LAYOUT) as writer:
        for key, scores in rankings.items():
            writer.write_table(_rows(index, key, scores, schema), row_group_size=index.num_filters)


def _rows(index: "FilterIndex", key: Key, scores: np.ndarray, schema: pa.Schema) -> pa.Table:
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


def read_discovered(
    path: Path,
    ratio: float,
    num_filters: int,
    methods: Collection[str] | None = None,
    degradations: Collection[str] | None = None,
) -> dict[Key, np.ndarray]:
    """Numbers of the top ``ratio`` share of filters of each ranking, best first; of some methods or degradations only.

    Raises:
        InputError: the file is missing, is not a score table, or does not rank ``num_filters`` filters.
    """
    found = {}
    with _open(path) as file:
        for number in range(file.num_row_groups):
            key = _key(file.metadata.row_group(number), path)
            if (methods is None or key.method in methods) and (degradations is None or key.degradation in degradations):
                filters = file.read_row_group(number, columns=["filter"])["filter"].to_numpy()
                if len(filters) != num_filters:
                    raise InputError(f"{path} ranks {len(filters)} filters, but the network has {num_filters}")
                if not np.array_equal(np.sort(filters), np.arange(num_filters)):
                    raise InputError(f"{path} does not rank each filter once: delete it and run `dvc repro`")
                found[replace(key, ratio=ratio)] = filters[: num_discovered(len(filters), ratio)]
    return found


def discovered_by(path: Path, ratio: float, num_filters: int, method: Method) -> dict[str, np.ndarray]:
    """Filters (n,) discovered by one method, by degradation; else as :func:`read_discovered`."""
    found = read_discovered(path, ratio, num_filters, [method])
    return {key.degradation: filters for key, filters in found.items()}


def _key(group: pq.RowGroupMetaData, path: Path) -> Key:
    """The one ranking that a row group holds."""
    statistics = [group.column(place).statistics for place in range(3)]
    if any(each is None or not each.has_min_max or each.min != each.max for each in statistics):
        raise InputError(f"{path} is not a score table: a row group holds several rankings, or does not say which")
    return Key(*(each.max for each in statistics))


def read_metadata(path: Path) -> dict[str, Any]:
    """What was written beside the scores: settings, versions, convergence."""
    with _open(path) as file:
        return json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file: {error}") from error
    schema = file.schema_arrow
    if schema.remove_metadata() != SCHEMA or METADATA_KEY not in (schema.metadata or {}):
        raise InputError(f"{path} is not a score table: its columns are {schema.names}, not {SCHEMA.names}")
    return file


@dataclass(frozen=True)
class Layers:
    """Where the F filters of a ranking lie: ``names`` (L,) from input to output, ``numbers`` (F,) their positions."""

    names: tuple[str, ...]
    numbers: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Filters in each layer, (L,)."""
        return self.count(np.arange(len(self.numbers)))

    def count(self, filters: np.ndarray) -> np.ndarray:
        """How many of the filters (n,) lie in each layer, (L,)."""
        return np.bincount(self.numbers[filters], minlength=len(self.names))

    def depths(self, filters: np.ndarray) -> np.ndarray:
        """Relative depth of each filter's layer (n,): 0 for the first layer, 1 for the last."""
        return self.numbers[filters] / max(len(self.names) - 1, 1)


def read_layers(path: Path) -> Layers:
    """The layers of the filters that a score table ranks.

    Raises:
        InputError: as :func:`read_discovered`.
    """
    with _open(path) as file:
        rows = file.read_row_group(0, columns=["layer", "filter"]).to_pandas().sort_values("filter")
    names = tuple(dict.fromkeys(rows["layer"].astype(str)))  # filters are numbered from input to output
    return Layers(names, rows["layer"].astype(str).map({name: n for n, name in enumerate(names)}).to_numpy())
