"""Laws of the table of numbers: results come back, names are sorted, and what is no number is no row."""

from pathlib import Path

import numpy as np
import pytest

from faig.report.numbers import read_numbers, to_results, to_table, write_numbers

RESULTS = {
    "score": {"blind": {"nodes": 12.0, "barrier": {"blur": -0.25}}},
    "mask": {"blind": {"removed": 0.5, "removed_low": 0.4, "removed_high": 0.625, "lost": 0.0}},
    "b": {"a": 1.0},
    "b_c": 2.0,
}


def test_results_come_back_with_their_intervals():
    assert to_results(to_table(RESULTS)) == RESULTS
    assert to_results(to_table({})) == {}


def test_an_interval_lies_beside_its_value_and_names_are_sorted():
    table = to_table(RESULTS)
    assert list(table.columns) == ["name", "value", "low", "high"]
    names = ["b/a", "b_c", "mask/blind/lost", "mask/blind/removed", "score/blind/barrier/blur", "score/blind/nodes"]
    assert table["name"].tolist() == names
    rows = table.set_index("name")
    assert rows.loc["mask/blind/removed"].tolist() == [0.5, 0.4, 0.625]
    assert rows[["low", "high"]].notna().to_numpy().sum() == 2


def test_an_end_without_its_value_is_a_value_of_its_own():
    for name in ("very_low", "high", "same_count_high"):
        assert to_results(to_table({"a": {name: 0.5}})) == {"a": {name: 0.5}}
    only_low = {"gain": 1.0, "gain_low": 0.5}
    assert to_results(to_table(only_low)) == only_low


def test_what_is_no_number_has_no_row():
    found = to_results(to_table({"name": "faig", "none": None, "flag": True, "list": [1.0], "count": 3, "empty": {}}))
    assert found == {"count": 3.0}
    assert to_results(to_table({"psnr": np.float64(30.5)})) == {"psnr": 30.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_and_the_old_file_stays(tmp_path: Path, value: float):
    path = tmp_path / "numbers.parquet"
    write_numbers(path, RESULTS)
    with pytest.raises(ValueError, match=r"blind/gain = .*: a result must be a finite number"):
        write_numbers(path, {"blind": {"gain": value}})
    assert read_numbers(path) == RESULTS
    assert list(tmp_path.iterdir()) == [path]


def test_equal_results_give_equal_bytes_whatever_their_order_and_last_bits(tmp_path: Path):
    write_numbers(tmp_path / "one", {"a": {"x": 0.1 + 0.2, "zero": -0.0}, "b": 1})
    write_numbers(tmp_path / "two", {"b": 1.0, "a": {"zero": 0.0, "x": 0.3}})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
