"""Laws of the plan: every stage that computes has an estimate, which follows the numbers in params.yaml."""

import copy
from typing import Any

import pytest
from conftest import ROOT

from faig.params import check, read_params
from faig.pipeline import PipelineParams
from presets.apply import apply_preset
from tools.plan import DIV2K_NUMBERS, DIV2K_SIZE, disk, estimate, photographs

INSTANT = {"survey", "check", "pair", "compare_targets", "claims"}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("plan") / "params.yaml"
    path.write_text(apply_preset("smoke", (ROOT / "params.yaml").read_text()))
    return read_params(path)


def params_of(values: dict[str, Any]) -> PipelineParams:
    return check("", values, PipelineParams, source="params.yaml")


def test_every_stage_that_computes_is_estimated(smoke: dict[str, Any]):
    expected = set()
    for name, body in read_params(ROOT / "dvc.yaml")["stages"].items():
        keys = smoke[body["foreach"][2:-1]] if "foreach" in body else [""]
        expected |= {f"{name}@{key}" if key else name for key in keys if name not in INSTANT}
    found = estimate(params_of(smoke))
    assert set(found) == expected
    assert all(each.device + each.rest > 0 and each.memory > 0 for each in found.values())


def test_images_are_counted_from_their_headers(smoke: dict[str, Any]):
    train, test = photographs(params_of(smoke))
    assert train.number == 11 + smoke["dataset"]["dead_leaves"]["num_images"]
    assert (test.number, test.pixels) == (4 * 2, 4 * 2 * 64**2)


def test_more_photographs_take_more_memory_and_disk_and_twice_the_iterations_twice_the_time(smoke: dict[str, Any]):
    values = copy.deepcopy(smoke)
    values["dataset"] |= {"source": "div2k", "limit": 10}
    few, least = estimate(params_of(values)), disk(params_of(values))
    values["dataset"]["limit"] = 20
    values["finetune"]["iterations"] *= 100
    many, most = estimate(params_of(values)), disk(params_of(values))
    for stage in ("finetune@blind", "score@blind", "predict", "retrain"):
        assert many[stage].memory > few[stage].memory + 0.05
    assert 20 < many["finetune@blind"].device / few["finetune@blind"].device < 500  # both measured
    assert most > least > 7  # the archives and what they hold


@pytest.mark.parametrize("limit", [None, 10])
def test_photographs_that_are_yet_to_be_downloaded_are_typical_ones(smoke: dict[str, Any], limit: int | None):
    values = copy.deepcopy(smoke)
    values["dataset"] |= {"source": "div2k", "limit": limit, "test_tiles": None}
    train, test = photographs(params_of(values))
    assert [train.number, test.number] == [min(number, limit or number) for number in DIV2K_NUMBERS]
    assert train.pixels == train.number * DIV2K_SIZE
