"""Laws of what the stages share: results whole or absent, errors as one line, paths as options."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from faig.base.files import complete_folder
from stages import check as check_stage
from stages import list_imports as list_imports_stage
from stages.shared.cli import checkpoint_folder, delete_afterwards, path_option, stage
from stages.shared.imports import list_imports
from stages.shared.outputs import read_parquet, write_csv, write_json, write_parquet
from tools import clean_stale

ROOT = Path(__file__).parents[1]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[!_]*.py"))
TABLE = pd.DataFrame({"image": ["b", "a"], "psnr": [30.123456789, 1e-7]})


def run(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


# Results


def test_metrics_are_read_as_they_were_written_rounded_to_6_digits(tmp_path: Path):
    path = tmp_path / "metrics" / "mask.json"
    write_json(path, {"mask": {"blind": {"removed": 1 / 3, "num": 2, "name": "faig", "limit": None}}})
    assert json.loads(path.read_text()) == {
        "mask": {"blind": {"removed": 0.333333, "num": 2, "name": "faig", "limit": None}}
    }


def test_numpy_s_floats_are_written_as_floats(tmp_path: Path):
    write_json(tmp_path / "a.json", {"psnr": np.float64(30.5)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"psnr": 30.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_metric_that_is_no_number_is_refused_and_the_old_file_stays(tmp_path: Path, value: float):
    path = tmp_path / "a.json"
    write_json(path, {"gain": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"blind": {"gain": value}})
    assert json.loads(path.read_text()) == {"gain": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_csv_has_6_significant_digits(tmp_path: Path):
    write_csv(tmp_path / "a" / "table.csv", TABLE)
    assert (tmp_path / "a" / "table.csv").read_text() == "image,psnr\nb,30.1235\na,1e-07\n"


def test_parquet_is_read_as_it_was_written(tmp_path: Path):
    table = TABLE.assign(scores=[np.array([1.0, 2.0], dtype=np.float32), np.array([3.0], dtype=np.float32)])
    write_parquet(tmp_path / "a" / "table.parquet", table)
    found = read_parquet(tmp_path / "a" / "table.parquet")
    pd.testing.assert_frame_equal(found, table)


@pytest.mark.parametrize(
    ("write", "value"), [(write_json, {"a": {"b": 0.1}, "c": 1}), (write_csv, TABLE), (write_parquet, TABLE)]
)
def test_equal_values_give_equal_bytes_and_nothing_beside(tmp_path: Path, write: Any, value: Any):
    for name in ("one", "two"):
        write(tmp_path / name, value)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def fill(folder: Path, content: str, *, fail: bool = False) -> None:
    with complete_folder(folder) as partial:
        (partial / content).write_text(content)
        if fail:
            raise ValueError("half-way")


def test_a_folder_is_complete_or_as_it_was(tmp_path: Path):
    folder = tmp_path / "deep" / "lr"
    with pytest.raises(ValueError, match="half-way"):
        fill(folder, "first", fail=True)
    assert list(tmp_path.glob("deep/*")) == []
    fill(folder, "first")
    with pytest.raises(ValueError, match="half-way"):
        fill(folder, "second", fail=True)
    assert [path.name for path in folder.iterdir()] == ["first"]
    fill(folder, "third")
    assert [path.name for path in folder.iterdir()] == ["third"]
    assert list(folder.parent.iterdir()) == [folder]


def test_what_a_killed_run_left_is_not_taken_up(tmp_path: Path):
    (tmp_path / "lr.part").mkdir()
    (tmp_path / "lr.part" / "old").write_text("")
    fill(tmp_path / "lr", "new")
    assert [path.name for path in (tmp_path / "lr").iterdir()] == ["new"]


# Commands


def test_a_path_option_is_required_and_gives_a_path(tmp_path: Path):
    given: list[Path] = []

    @stage
    @path_option("crop-scores", "what it is")
    def main(crop_scores: Path) -> None:
        given.append(crop_scores)

    assert run(main).exit_code == 2
    assert run(main, "--crop-scores", tmp_path).exit_code == 0
    assert given == [tmp_path]


def test_checkpoints_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("FAIG_CHECKPOINTS", raising=False)
    assert checkpoint_folder("finetune", "blind").parent == Path(".ckpt/finetune/blind")
    monkeypatch.setenv("FAIG_CHECKPOINTS", str(tmp_path))
    assert checkpoint_folder("finetune", "blind").parent == tmp_path / "finetune" / "blind"


def test_other_code_takes_up_no_checkpoint(code: Path):
    before = checkpoint_folder("finetune", "blind")
    assert checkpoint_folder("finetune", "blind") == before
    with (code / "faig/data/patches.py").open("a", encoding="utf-8") as module:
        module.write("# a remark\n")
    assert checkpoint_folder("finetune", "blind") != before


@pytest.mark.parametrize("error", [None, OSError("disk full")])
def test_a_checkpoint_goes_when_all_is_well(tmp_path: Path, error: Exception | None):
    folder = tmp_path / "checkpoint"
    folder.mkdir()

    @stage
    def main() -> None:
        delete_afterwards(folder)
        if error:
            raise error

    assert run(main).exit_code == (1 if error else 0)
    assert folder.exists() == bool(error)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "meanwhile", "never", "by hand"])
def test_code_that_changes_while_dvc_runs_it_is_an_error(code: Path, monkeypatch: pytest.MonkeyPatch, when: str):
    list_imports(Path("data/imports"))
    if when != "by hand":
        monkeypatch.setenv("DVC_STAGE", "mask@blind")

    def change() -> None:
        with (code / "faig/experiments/masking.py").open("a", encoding="utf-8") as module:
            module.write("# a remark\n")

    def main() -> None:
        if when == "meanwhile":
            change()

    main.__module__ = "stages.mask"
    if when in ("before", "by hand"):
        change()
    result = run(stage(main))
    assert result.exit_code == (1 if when in ("before", "meanwhile") else 0)
    assert ("code that stages/mask.py imports was changed" in result.output) == (result.exit_code == 1)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_explains_its_options(name: str):
    command = importlib.import_module(f"stages.{name}").main
    assert run(command, "--help").exit_code == 0
    assert command.help
    assert all(parameter.help for parameter in command.params)


@pytest.mark.parametrize("name", sorted(set(STAGES) - {"list_imports", "check", "photographs", "report"}))
def test_a_stage_run_before_its_inputs_exist_says_what_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = importlib.import_module(f"stages.{name}").main
    values = {"target": "blind", "degradation": "blur"}
    arguments = [word for option in command.params for word in (option.opts[0], values.get(option.name, option.name))]
    result = run(command, *arguments)
    assert result.exit_code == 1, result.output
    assert "does not exist" in result.output
    assert {path.name for path in tmp_path.iterdir()} <= {"params.yaml"}


@pytest.mark.parametrize(("name", "option"), [("finetune", "target"), ("synthesize", "degradation")])
def test_a_name_that_params_yaml_does_not_know_is_refused(
    name: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = importlib.import_module(f"stages.{name}").main
    result = run(command, *(word for parameter in command.params for word in (parameter.opts[0], "unheard")))
    assert result.exit_code == 1
    assert f"{option}s.unheard is missing" in result.output


# Check, and what is stale


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the committed params.yaml and results of degradations and targets that it does not name."""
    monkeypatch.chdir(tmp_path)
    Path("stages").mkdir()
    Path("stages/prepare.py").write_text("")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "published/none", tmp_path / "published/none")
    for folder in ("data/lr/blur", "data/lr/jpeg/train"):
        Path(folder).mkdir(parents=True)
    Path("data/networks").mkdir()
    for name in (
        "data/lr/.gitignore",
        *(f"data/networks/{name}.safetensors" for name in ("baseline", "blind", "jpeg")),
    ):
        Path(name).write_text("")
    return tmp_path


def change_ratio(value: str) -> None:
    params = Path("params.yaml")
    assert "mask_ratio: 0.03" in params.read_text()
    params.write_text(params.read_text().replace("mask_ratio: 0.03", f"mask_ratio: {value}"))


def run_check() -> Result:
    return run(check_stage.main, "--output", "data/checked.txt")


def run_list_imports() -> Result:
    return run(list_imports_stage.main, "--output", "data/imports")


def run_clean_stale() -> Result:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=True)
    result = run(clean_stale.main)
    assert result.exit_code == 0, result.output
    return result


def test_what_params_yaml_no_longer_names_is_removed_and_nothing_else(project: Path):
    result = run_clean_stale()
    assert {path.name for path in Path("data/lr").iterdir()} == {".gitignore", "blur"}
    assert {path.stem for path in Path("data/networks").iterdir()} == {"baseline", "blind"}
    assert "removing data/lr/jpeg: no stage of dvc.yaml makes this with params.yaml as it stands" in result.output


def test_what_a_killed_run_left_half_written_is_removed(project: Path):
    """But for a broken download, which goes on where it ended."""
    for name in ("data/hr.part/train", "data/lr/blur.part/test"):
        Path(name).mkdir(parents=True)
        Path(name, "a.png").write_text("")
    Path("data/networks/blind.safetensors.part").write_text("")
    Path("downloads").mkdir()
    Path("downloads/a.zip.part").write_text("")
    run_clean_stale()
    assert list(project.rglob("*.part")) == [project / "downloads/a.zip.part"]
    assert Path("data/networks/blind.safetensors").exists()
    assert Path("data/lr/blur").exists()


@pytest.mark.parametrize(
    ("start", "output"),
    [
        (run_check, "data/checked.txt"),
        (run_list_imports, "data/imports/prepare.txt"),
    ],
)
def test_what_is_written_does_not_depend_on_params_yaml(start: Callable[[], Result], output: str, project: Path):
    start()
    first = Path(output).read_bytes()
    change_ratio("0.01")
    assert start().exit_code == 0
    assert Path(output).read_bytes() == first


def test_check_refuses_a_value_out_of_range_and_writes_nothing(project: Path):
    change_ratio("3")
    result = run_check()
    assert result.exit_code == 1
    assert "params.yaml: mask_ratio = 3: " in result.output
    assert not Path("data/checked.txt").exists()


# Lists of imports


def lists_of(folder: Path) -> dict[str, str]:
    list_imports(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's own modules, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for package in ("faig", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.slow
def test_a_list_names_what_python_imports(code: Path):
    """Importing each script in turn, with no module of the project left from the one before."""
    own = "[name for name in sys.modules if name.split('.')[0] in ('faig', 'stages')]"
    text = f"import importlib, json, sys\nfound = {{}}\nfor stage in {sorted(STAGES)}:\n"
    text += f"    importlib.import_module('stages.' + stage)\n    names = {own}\n"
    text += "    found[stage] = [sys.modules[name].__file__ for name in names]\n"
    text += "    for name in names: del sys.modules[name]\nprint(json.dumps(found))"
    printed = subprocess.run([sys.executable, "-c", text], cwd=code, capture_output=True, text=True, check=True).stdout
    lists = lists_of(code / "lists")
    for script, modules in json.loads(printed).items():
        listed = [line.split()[1] for line in lists[script].splitlines()]
        assert sorted(listed) == sorted(Path(file).relative_to(code).as_posix() for file in modules)


@pytest.mark.slow
def test_a_changed_module_changes_the_lists_of_those_that_import_it_and_no_others(code: Path):
    before = lists_of(code / "lists")
    assert lists_of(code / "lists") == before
    with (code / "faig/experiments/score_table.py").open("a", encoding="utf-8") as module:
        module.write("# a remark\n")
    after = lists_of(code / "lists")
    changed = {name for name in before if after[name] != before[name]}
    readers = {
        "score",
        "mask",
        "sweep",
        "predict",
        "summarize",
        "report",
        "modulate",
        "retrain",
        "plug_in",
        "combine",
        "compare_predictors",
        "severity",
        "claims",
    }
    assert changed & set(STAGES) == {"check", *readers}


@pytest.mark.slow
def test_an_import_inside_a_function_counts(code: Path):
    before = lists_of(code / "lists")["pair"]
    assert "faig/data/quality.py" not in before
    with (code / "faig/data/pairs.py").open("a", encoding="utf-8") as module:
        module.write("\n\ndef late():\n    import faig.data.quality\n")
    assert "faig/data/quality.py" in lists_of(code / "lists")["pair"]


@pytest.mark.slow
def test_an_import_for_type_checkers_alone_does_not_count(code: Path):
    before = lists_of(code / "lists")["pair"]
    with (code / "faig/data/pairs.py").open("a", encoding="utf-8") as module:
        module.write("\n\nif TYPE_CHECKING:\n    import faig.data.quality\n")
    after = lists_of(code / "lists")["pair"]
    assert after != before
    assert "faig/data/quality.py" not in after


def test_a_module_that_is_not_python_is_named_and_the_lists_stay(code: Path):
    before = lists_of(code / "lists")
    (code / "faig/data/pairs.py").write_text("def (:\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"faig/data/pairs\.py, line 1: "):
        list_imports(Path("lists"))
    assert {path.stem: path.read_text(encoding="utf-8") for path in (code / "lists").iterdir()} == before


def test_lists_of_no_project_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="run this in the project's folder"):
        list_imports(Path("lists"))
    assert list(tmp_path.iterdir()) == []
