"""Laws of the score table: rankings come back as they were, and other files are refused by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faig.attribution.filters import FilterIndex, Layer
from faig.base.ranking import discovered
from faig.experiments.score_table import Key, read_discovered, read_layers, read_metadata, write_scores

INDEX = FilterIndex((Layer("first", "first.weight", 4, 3), Layer("last", "last.weight", 3, 4)))  # 24 filters


@pytest.fixture
def rankings():
    rng = np.random.default_rng(0)
    keys = [Key("faig", "blur"), Key("faig", "noise"), Key("random", "blur", 0), Key("random", "blur", 1)]
    return {key: rng.normal(size=24) for key in keys}


@pytest.fixture
def path(tmp_path, rankings):
    path = tmp_path / "scores" / "blind.parquet"
    write_scores(path, INDEX, rankings, {"target": "blind", "convergence_error": {"blur": 0.01}})
    return path


def test_discovered_filters_come_back_for_every_ranking_and_ratio(path, rankings):
    for ratio in (0.04, 0.25, 1.0):
        found = read_discovered(path, ratio, 24)
        assert list(found) == [replace(key, ratio=ratio) for key in rankings]
        for key, scores in rankings.items():
            assert np.array_equal(found[replace(key, ratio=ratio)], discovered(scores, ratio))


def test_methods_and_degradations_can_be_chosen(path):
    assert {key.method for key in read_discovered(path, 0.1, 24, ["random"])} == {"random"}
    assert list(read_discovered(path, 0.1, 24, degradations=["noise"])) == [Key("faig", "noise", ratio=0.1)]


def test_layers_are_those_of_the_network(path):
    layers, generator = read_layers(path), np.random.default_rng(1)
    assert layers.names == tuple(INDEX.layers)
    np.testing.assert_array_equal(layers.numbers, INDEX.layer_numbers)
    np.testing.assert_array_equal(layers.sizes, INDEX.sizes)
    for filters in (np.array([], dtype=int), np.arange(24), generator.choice(24, 7, replace=False)):
        np.testing.assert_array_equal(layers.count(filters), INDEX.count_by_layer(filters))
        np.testing.assert_array_equal(layers.depths(filters), INDEX.depths(filters))


def test_rows_say_where_each_filter_lies(path, rankings):
    table = pd.read_parquet(path)
    assert len(table) == 24 * len(rankings)
    layers = (table["layer"] == "last").to_numpy().astype(int)
    numbers = INDEX.number(layers, table["out_channel"].to_numpy(), table["in_channel"].to_numpy())
    assert np.array_equal(numbers, table["filter"])
    blur = table.query("method == 'faig' and degradation == 'blur'")
    assert blur["score"].is_monotonic_decreasing
    assert blur["rank"].tolist() == list(range(24))
    np.testing.assert_allclose(blur["score"], rankings[Key("faig", "blur")][blur["filter"]], rtol=1e-6)


def test_metadata_comes_back(path):
    assert read_metadata(path) == {"target": "blind", "convergence_error": {"blur": 0.01}}


def test_equal_scores_give_equal_bytes(path, rankings, tmp_path):
    write_scores(tmp_path / "again.parquet", INDEX, rankings, read_metadata(path))
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_other_files_are_refused_by_name(path, tmp_path):
    other = tmp_path / "other.parquet"
    pd.DataFrame({"method": ["faig"]}).to_parquet(other)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(path.read_bytes()[:100])
    for bad in (other, broken, tmp_path / "missing.parquet"):
        with pytest.raises(ValueError, match=bad.name):
            read_discovered(bad, 0.1, 24)


def test_scores_of_another_network_are_refused(path):
    with pytest.raises(ValueError, match="ranks 24 filters, but the network has 25"):
        read_discovered(path, 0.1, 25)


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="filter numbers"):
        write_scores(tmp_path / "bad.parquet", INDEX, {Key("faig", "blur"): np.zeros(30)}, {})
    assert not list(tmp_path.iterdir())


def rewritten(path, change, **options):
    """The same table with changed columns."""
    table = pq.read_table(path)
    columns = {name: table[name] for name in table.column_names} | change(table)
    pq.write_table(pa.table(columns, schema=table.schema), path, **{"row_group_size": 24, **options})


@pytest.mark.parametrize("bad", [24, -1, 0])
def test_filters_that_are_no_ranking_are_refused(path, bad):
    """Out of range, or one twice."""

    def change(table):
        filters = table["filter"].to_numpy().copy()
        filters[int(np.flatnonzero(filters == 5)[0])] = bad
        return {"filter": pa.array(filters)}

    rewritten(path, change)
    with pytest.raises(ValueError, match="does not rank each filter once"):
        read_discovered(path, 0.1, 24)


@pytest.mark.parametrize("options", [{"row_group_size": 48}, {"write_statistics": False}])
def test_row_groups_of_several_rankings_are_refused(path, options):
    rewritten(path, lambda _: {}, **options)
    with pytest.raises(ValueError, match="is not a score table: a row group"):
        read_discovered(path, 0.1, 24)
