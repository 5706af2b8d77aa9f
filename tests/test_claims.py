"""Laws of the verdicts: they follow from value, interval and threshold, and nothing is judged that was not measured."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT
from pydantic import TypeAdapter
from scipy import stats

from faig.base.params import Name, read_params
from faig.report.claims import ClaimParams, judge, look_up, over_seeds
from faig.report.numbers import read_numbers, write_numbers
from stages import claims as stage

METRICS = {
    "mask": {"blur": {"removed": 0.9, "removed_low": 0.8, "removed_high": 0.95, "name": "x"}},
    "score": {"limit": 0.85},
}


def claim(**values):
    return ClaimParams(**{"says": "so", "metric": "mask/blur/removed", "set": "before", **values})


@pytest.mark.parametrize(
    ("bound", "verdict"),
    [
        ({"at_least": 0.8}, "holds"),
        ({"at_least": 0.81}, "unsure"),
        ({"at_least": 0.91}, "fails"),
        ({"at_most": 0.95}, "holds"),
        ({"at_most": 0.92}, "unsure"),
        ({"at_most": 0.89}, "fails"),
        ({"at_least": "score/limit"}, "unsure"),
    ],
)
def test_a_claim_holds_where_its_whole_interval_does(bound, verdict):
    result = judge(claim(**bound), METRICS)
    assert result["verdict"] == verdict
    assert (result["value"], result["low"], result["high"]) == (0.9, 0.8, 0.95)
    assert result["threshold"] == (0.85 if isinstance(next(iter(bound.values())), str) else next(iter(bound.values())))


def test_without_an_interval_the_value_decides():
    found = {"mask": {"blur": {"removed": 0.9}}}
    assert judge(claim(at_least=0.9), found) == {"value": 0.9, "threshold": 0.9, "verdict": "holds"}


def test_what_was_left_out_is_not_measured():
    assert judge(claim(at_least=0.5), {"mask": {"blur": {}}}) == {"threshold": 0.5, "verdict": "not measured"}
    assert judge(claim(at_least="score/limit"), {**METRICS, "score": {"limit": None}})["verdict"] == "not measured"


def test_what_this_run_did_not_measure_is_none_and_what_is_no_number_is_named():
    assert look_up(METRICS, "mask/noise/removed") is None
    assert look_up(METRICS, "mask/blur/removed/low") is None
    with pytest.raises(ValueError, match="metric mask/blur/name is not a number"):
        look_up(METRICS, "mask/blur/name")


def test_a_section_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="masks/blur begins with none of finetune, score, mask"):
        claim(metric="masks/blur", at_least=1)
    with pytest.raises(ValueError, match="predicted/x begins with none of"):
        claim(at_least="predicted/x")


@pytest.mark.parametrize("bound", [{}, {"at_least": 1, "at_most": 2}])
def test_a_claim_has_one_threshold(bound):
    with pytest.raises(ValueError, match="give one of at_least and at_most"):
        claim(**bound)


def test_it_is_known_whether_a_threshold_was_set_before_the_first_run():
    for when in ("later", None):
        with pytest.raises(ValueError, match=r"set\n.*'before' or 'after'"):
            claim(at_least=1, set=when)


def test_the_committed_claims_can_be_judged_and_no_two_say_the_same():
    claims = TypeAdapter(dict[Name, ClaimParams]).validate_python(read_params(ROOT / "argument/claims.yaml"))
    assert len({each.says for each in claims.values()}) == len(claims)
    assert {judge(each, {})["verdict"] for each in claims.values()} == {"not measured"}


CLAIMS = """
few: {says: few filters, metric: ratios/blind/faig/blur/0.01/removed, at_least: 0.75, set: before}
many: {says: many, metric: modulate/blur/best, at_most: 0.5, set: after}
none: {says: nothing to divide by, metric: ratios/blind/faig/noise/0.01/removed, at_least: 0.1, set: before}
"""


def test_the_stage_judges_by_the_numbers_of_both_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    own = {"modulate": {"blur": {"best": 0.9}}}
    monkeypatch.setattr(stage, "summaries", lambda *_: own)
    monkeypatch.setattr(stage, "compare_targets", lambda _: {})
    Path("claims.yaml").write_text(CLAIMS)
    removed = {"removed": 0.9, "removed_low": 0.8, "removed_high": 0.95}
    write_numbers(Path("mission"), {"ratios": {"blind": {"faig": {"blur": {"0.01": removed}}}}})
    names = {parameter.name: f"{parameter.name}_written" for parameter in stage.main.params}
    paths = names | {"claims": "claims.yaml", "mission": "mission"}
    result = CliRunner().invoke(stage.main, [word for name, path in paths.items() for word in (f"--{name}", path)])
    assert result.exit_code == 0, result.output
    assert result.output == "holds: few filters\nfails: many\nnot measured: nothing to divide by\n"
    assert json.loads(Path("metrics_written").read_text()) == {"few": 0.9, "many": 0.9}
    assert read_numbers(Path("numbers_written")) == own
    table = pd.read_csv("table_written").set_index("claim")
    assert table["verdict"].tolist() == ["holds", "fails", "not measured"]
    assert table["asked"].tolist() == ["at least", "at most", "at least"]
    assert table["set"].tolist() == ["before", "after", "before"]
    assert table.loc["few", ["value", "low", "high", "threshold"]].tolist() == [0.9, 0.8, 0.95, 0.75]


def runs_of(values, threshold=0.5):
    return [{"few": {"value": value, "threshold": threshold, "verdict": "holds"}} for value in values]


@pytest.mark.parametrize(
    ("values", "bound", "verdict", "num_right"),
    [
        ([0.9, 0.8, 0.85], {"at_least": 0.5}, "holds", 3),
        ([0.9, 0.8, 0.85], {"at_most": 0.5}, "fails", 0),
        ([0.4, 0.3, 0.35], {"at_most": 0.5}, "holds", 3),
        ([0.9, 0.4, 0.6], {"at_least": 0.5}, "unsure", 2),
        ([0.1, 0.6], {"at_least": 0.5}, "fails", 1),
    ],
)
def test_over_seeds_the_interval_of_the_margin_decides(values, bound, verdict, num_right):
    [row] = over_seeds({"few": claim(**bound)}, runs_of(values), level=0.95)
    margins = [value - 0.5 if "at_least" in bound else 0.5 - value for value in values]
    expected = stats.ttest_1samp(margins, 0).confidence_interval(0.95)
    assert (row["margin_low"], row["margin_high"]) == pytest.approx((expected.low, expected.high))
    assert row["margin"] == pytest.approx(sum(margins) / len(margins))
    assert (row["verdict"], row["num_right"], row["num_runs"]) == (verdict, num_right, len(values))


def test_over_seeds_a_claim_measured_once_has_no_interval():
    runs = [*runs_of([0.9]), {"few": {"threshold": 0.5, "verdict": "not measured"}}]
    [row] = over_seeds({"few": claim(at_least=0.5)}, runs, level=0.95)
    assert (row["verdict"], row["num_runs"]) == ("not measured", 1)
    with pytest.raises(ValueError, match="two seeds are needed"):
        over_seeds({"few": claim(at_least=0.5)}, runs[:1], level=0.95)
