"""Laws of the plan: every stage that computes has an estimate, which follows the numbers in params.yaml."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import ROOT

from faig.base.params import read_params, validate
from faig.pipeline import PipelineParams
from presets.apply import apply_preset
from tools.plan import DIV2K_NUMBERS, DIV2K_SIZE, Estimate, Rates, disk, estimate, main, photographs

INSTANT = {"survey", "check", "pair", "compare_targets", "claims"}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("plan") / "params.yaml"
    path.write_text(apply_preset("smoke", (ROOT / "params.yaml").read_text()))
    return read_params(path)


def params_of(values: dict[str, Any]) -> PipelineParams:
    return validate("", values, PipelineParams, source="params.yaml")


def planned(values: dict[str, Any]) -> dict[str, Estimate]:
    params = params_of(values)
    return estimate(params, Rates(params))


def test_every_stage_that_computes_is_estimated(smoke: dict[str, Any]):
    expected = set()
    for name, body in read_params(ROOT / "dvc.yaml")["stages"].items():
        keys = smoke[body["foreach"][2:-1]] if "foreach" in body else [""]
        expected |= {f"{name}@{key}" if key else name for key in keys if name not in INSTANT}
    found = planned(smoke)
    assert set(found) == expected
    assert all(each.device + each.rest > 0 and each.memory > 0 for each in found.values())


def test_images_are_counted_from_their_headers(smoke: dict[str, Any]):
    train, test = photographs(params_of(smoke))
    assert train.number == 11 + smoke["dataset"]["dead_leaves"]["num_images"]
    assert (test.number, test.pixels) == (4 * 2, 4 * 2 * 64**2)


def test_more_photographs_take_more_memory_and_disk_and_twice_the_iterations_twice_the_time(smoke: dict[str, Any]):
    values = copy.deepcopy(smoke)
    values["dataset"] |= {"source": "div2k", "limit": 10}
    few, least = planned(values), disk(params_of(values))
    values["dataset"]["limit"] = 20
    values["finetune"]["iterations"] *= 100
    many, most = planned(values), disk(params_of(values))
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


def test_operations_are_counted_as_the_convolutions_formula_has_them(smoke: dict[str, Any]):
    """Forward 2 x 9 x inputs x outputs a pixel; backward as many for the weights and, but for the image, the input."""
    values = copy.deepcopy(smoke)
    values["network"] |= {"width": 4, "depth": 1}
    params = params_of(values)
    training = params.finetune
    pixels = training.batch_size * (training.patch_size // 2) ** 2
    at_lr, at_hr = 4 * 4 * 2 + 4 * 16, 4 * 4 + 4 * 3  # inputs x outputs; after the first layer
    assert Rates(params).operations(training) == 2 * 9 * pixels * (2 * 3 * 4 + 3 * at_lr + 4 * 3 * at_hr)


def test_a_larger_batch_needs_more_of_the_device_s_memory(smoke: dict[str, Any]):
    params = params_of(smoke)
    rates = Rates(params)
    needed = [rates.training_memory(replace(params.finetune, batch_size=size)) for size in (8, 16, 32)]
    assert needed[2] - needed[1] == pytest.approx(2 * (needed[1] - needed[0]))
    assert needed[0] > 0


def test_a_named_gpu_has_a_column_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(apply_preset("smoke", (ROOT / "params.yaml").read_text()))
    result = CliRunner().invoke(main, ["--gpu", "a100"])
    assert result.exit_code == 0, result.output
    assert "at 9360 on a100 (assumed)" in result.output
    rows = [line.split() for line in result.output.splitlines() if line.startswith("finetune@blind")]
    assert len(rows[0]) == 5  # name, here, there, memory and its unit
    assert CliRunner().invoke(main, ["--gpu", "a100", "--faster", "2"]).exit_code == 2
