"""Laws of the settings: whatever does not fit is an error that names the key and the value; the committed file fits."""

import copy
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from faig.base.params import (
    Count,
    Name,
    ParamsError,
    Positive,
    Ratio,
    Scale,
    Seed,
    load_params,
    read_params,
    settings,
    unchanged_params,
    validate,
)
from faig.networks.models import NetworkParams
from faig.networks.training import TrainingParams
from faig.pipeline import PipelineParams

ROOT = Path(__file__).parents[1]
COMMITTED = read_params(ROOT / "params.yaml")


@settings
class Inner:
    """Settings inside settings."""

    num: Count
    shares: tuple[Ratio, ...]


@settings
class Outer:
    """Settings with every kind of constraint."""

    scale: Scale
    inner: Inner
    weights: dict[Name, Positive]

    def __post_init__(self) -> None:
        if self.scale > self.inner.num:
            raise ValueError(f"scale = {self.scale} is above inner.num = {self.inner.num}")


def outer(**changes: Any) -> dict[str, Any]:
    return {"scale": 2, "inner": {"num": 5, "shares": [0.5, 1]}, "weights": {"blur": 1}} | changes


def changed(path: str, value: Any) -> dict[str, Any]:
    """The committed params with one value replaced."""
    params = copy.deepcopy(COMMITTED)
    *parents, last = path.split(".")
    section = params
    for part in parents:
        section = section[part]
    section[last] = value
    return params


def error_of(value: object, kind: type = PipelineParams, key: str = "") -> str:
    with pytest.raises(ParamsError) as caught:
        validate(key, value, kind, source="params.yaml")
    return str(caught.value)


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_committed_params_fit():
    params = validate("", COMMITTED, PipelineParams, source="params.yaml")
    assert params.mask_ratio == 0.03


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", "zero"),
        ("mask_ratio", 0),
        ("mask_ratio", float("nan")),
        ("scale", 5),
        ("dataset.source", "internet"),
        ("network.width", 31),
        ("train_baseline.iterations", 2.5),
        ("train_baseline.iterations", True),
        ("score.images", 16),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_key(path: str, value: Any):
    assert error_of(changed(path, value)).startswith(f"params.yaml: {path} = {value!r}: ")


def paths_of(section: dict[str, Any], parent: str = "") -> Iterator[str]:
    """Dotted keys of all values, sections included."""
    for key, value in section.items():
        yield parent + key
        if isinstance(value, dict):
            yield from paths_of(value, f"{parent}{key}.")


ODD = (-1, 0, 10**12, 0.5, 1e308, float("nan"), True, None, "", "../x", [], [None], {}, {"": 1}, [[0]], "${seed}")


@pytest.mark.parametrize("section", sorted(COMMITTED.keys() - {"claims"}))
def test_any_value_anywhere_is_taken_or_refused_by_its_key(section: str):
    """No other exception; the message names the key, or where it contradicts another, its section."""
    for path in paths_of({section: COMMITTED[section]}):
        messages = []
        for value in ODD:
            try:
                validate("", changed(path, value), PipelineParams, source="params.yaml")
            except ParamsError as error:
                messages.append(str(error))
        names = (path.rsplit(".", 1)[-1], section)
        assert [message for message in messages if not any(name in message for name in names)] == [], path
        assert messages, path


def test_a_misfit_inside_a_list_is_named_with_its_place():
    message = error_of(changed("train_baseline.adam_betas", [0.9, 2.0]))
    assert message.startswith("params.yaml: train_baseline.adam_betas.1 = 2.0: ")


def test_an_operation_that_does_not_fit_is_named_with_its_degradation():
    operation = {"gaussian_noise": {"sigma": -0.1}}
    message = error_of(changed("degradations.noise", ["downsample", operation]))
    assert message.startswith("params.yaml: degradations.noise")
    assert "gaussian_noise.sigma = -0.1" in message
    assert message.count("params.yaml") == 1


@pytest.mark.parametrize("path", ["sed", "targets.blind.mask_ratio"])
def test_an_unknown_key_is_named(path: str):
    assert error_of(changed(path, 1)) == f"params.yaml: {path} is not a known key"


@pytest.mark.parametrize("path", ["network", "predict.calibration.num"])
def test_a_missing_key_is_named(path: str):
    params = copy.deepcopy(COMMITTED)
    *parents, last = path.split(".")
    section = params
    for part in parents:
        section = section[part]
    del section[last]
    assert error_of(params) == f"params.yaml: {path} is missing"


def test_every_misfit_is_listed():
    message = error_of(outer(scale=9, inner={"num": 0, "shares": [0.5]}), Outer)
    assert [line.split(" = ")[0] for line in message.splitlines()] == ["params.yaml: scale", "params.yaml: inner.num"]


def test_an_error_between_keys_is_the_message_of_the_settings_alone():
    assert (
        error_of(outer(scale=3, inner={"num": 2, "shares": [1]}), Outer)
        == "params.yaml: scale = 3 is above inner.num = 2"
    )
    assert error_of(outer(scale=3, inner={"num": 2, "shares": [1]}), Outer, "part").startswith(
        "params.yaml: part: scale"
    )


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden"])
def test_a_name_is_fit_for_a_file_name(name: str):
    assert repr(name) in error_of(outer(weights={name: 1.0}), Outer)


def test_whole_numbers_are_fit_for_floats():
    params = validate("", outer(), Outer, source="params.yaml")
    assert params.inner.shares == (0.5, 1.0)
    assert params.weights == {"blur": 1.0}


def test_settings_are_frozen_keyword_only_and_checked_without_a_file():
    params = Inner(num=1, shares=(0.5,))
    with pytest.raises(AttributeError):
        params.num = 2  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="positional"):
        NetworkParams("srresnet", 32, 8)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="num"):
        Inner(num=0, shares=(0.5,))


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path):
    """YAML 1.2: ``1e-4`` is a number, ``on`` and ``no`` are words, ``010`` is ten."""
    path = write(tmp_path, "a: 1e-4\nb: 2.0e-4\nc: no\nd: on\ne: 010\nf: null\n")
    assert read_params(path) == {"a": 1e-4, "b": 2e-4, "c": "no", "d": "on", "e": 10, "f": None}


@pytest.mark.parametrize(
    "content", [b"a: !!python/object/apply:os.system [echo]\n", b"a: [1, 2\n", b"a: 1\na: 2\n", b"a: \xff\xfe\n"]
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=re.escape(f"{path} is not valid YAML")):
        read_params(path)


@pytest.mark.parametrize(("text", "found"), [("- 1\n- 2\n", "list"), ("", "NoneType")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, found: str):
    with pytest.raises(ParamsError, match=f"must hold a mapping.*{found}"):
        read_params(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ParamsError, match=re.escape(f"{tmp_path / 'none.yaml'} does not exist")):
        load_params("seed", Seed, tmp_path / "none.yaml")


def test_a_dotted_key_leads_to_its_section(tmp_path: Path):
    path = write(tmp_path, "outer: {inner: {num: 3, shares: [0.1]}}\n")
    assert load_params("outer.inner", Inner, path) == Inner(num=3, shares=(0.1,))
    assert load_params("outer.inner.num", Count, path) == 3


@pytest.mark.parametrize(
    ("key", "missing"), [("none", "none"), ("outer.none.num", "outer.none"), ("outer.inner.num.x", "outer.inner.num.x")]
)
def test_a_key_that_leads_nowhere_is_named_as_far_as_it_goes(tmp_path: Path, key: str, missing: str):
    path = write(tmp_path, "outer: {inner: {num: 3, shares: [0.1]}}\n")
    with pytest.raises(ParamsError, match=f"{re.escape(missing)} is missing$"):
        load_params(key, Count, path)


def test_the_checkpoint_interval_is_a_multiple_of_the_log_interval():
    values = COMMITTED["finetune"] | {"log_every": 40, "checkpoint_every": 100}
    assert "checkpoint_every = 100 must be a multiple of log_every = 40" in error_of(values, TrainingParams, "finetune")


@pytest.mark.parametrize("text", ["a:\n  b: [{null: 1}]\n", "? [1, 2]\n: 3\n"])
def test_keys_that_are_no_text_are_refused(tmp_path: Path, text: str):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml.*(must be text|is not valid YAML)"):
        read_params(path)


@pytest.mark.parametrize(("key", "raises"), [("seed", True), ("network.width", True), ("scale", False)])
def test_a_value_that_changes_after_it_was_loaded_is_noticed(tmp_path: Path, key: str, raises: bool):
    path = write(tmp_path, "seed: 0\nnetwork: {width: 8}\nscale: 2\ncompute: {workers: 1}\n")

    def stage() -> None:
        with unchanged_params():
            load_params("seed", Seed, path)
            load_params("network", dict, path)
            load_params("compute", dict, path)
            text = path.read_text().replace("workers: 1", "workers: 2")
            path.write_text(text.replace(f"{key.split('.')[-1]}: ", f"{key.split('.')[-1]}: 1"))

    with pytest.raises(ParamsError, match="was changed while the stage ran") if raises else nullcontext():
        stage()


def test_a_name_may_not_end_as_the_ends_of_intervals_do():
    for name in ("noise_low", "noise_high"):
        with pytest.raises(ParamsError, match="how the ends of intervals are called"):
            validate("degradations", {name: 1}, dict[Name, int], source="params.yaml")
    assert validate("degradations", {"low_noise": 1}, dict[Name, int], source="params.yaml") == {"low_noise": 1}
