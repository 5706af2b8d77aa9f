import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from faig.base.params import validate
from faig.pipeline import PipelineParams
from presets.apply import DEFAULT, FOLDER, apply_preset, find_removals, main, overlay, preset_names

ROOT = Path(__file__).parents[1]
PRESETS = [name for name in preset_names() if name != DEFAULT]


def load(text: str) -> dict:
    return YAML(typ="safe", pure=True).load(text)


def leaves(values: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        flat |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def working() -> str:
    return (ROOT / "params.yaml").read_bytes().decode()


@pytest.fixture(scope="module")
def default() -> str:
    return apply_preset(DEFAULT, working())


def test_presets_of_the_readme_exist():
    assert {"default", "paper", "smoke"} <= set(preset_names())


def test_params_as_committed_stand_at_the_default():
    # params.yaml may stand at another preset or hold a user's own values for now: then the committed one counts.
    committed = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=ROOT, capture_output=True, check=False)
    texts = [working(), *([committed.stdout.decode()] if committed.returncode == 0 else [])]
    assert any(apply_preset(DEFAULT, text) == text for text in texts), "presets/default.yaml must follow params.yaml"


@pytest.mark.parametrize("name", PRESETS)
def test_going_back_restores_every_byte(default: str, name: str):
    applied = apply_preset(name, default)
    assert applied != default
    assert apply_preset(DEFAULT, applied) == default


@pytest.mark.parametrize("name", preset_names())
def test_pipeline_accepts_the_preset(default: str, name: str):
    validate("", load(apply_preset(name, default)), PipelineParams, source=name)


@pytest.mark.parametrize("name", PRESETS)
def test_exactly_the_values_of_the_preset_change(default: str, name: str):
    before, after = leaves(load(default)), leaves(load(apply_preset(name, default)))
    wanted = leaves(load((FOLDER / f"{name}.yaml").read_text()))
    assert after == before | wanted
    needless = [key for key, value in wanted.items() if key in before and before[key] == value]
    assert not needless, f"{name}.yaml repeats default values"


def test_default_holds_what_presets_change_and_no_more(default: str):
    keys = {name: set(leaves(load((FOLDER / f"{name}.yaml").read_text()))) for name in preset_names()}
    assert keys[DEFAULT] == set().union(*(keys[name] for name in PRESETS)) & set(leaves(load(default)))


@pytest.mark.parametrize("name", PRESETS)
def test_comments_and_other_lines_stay(default: str, name: str):
    def kept(text: str) -> list[tuple[str, str]]:
        return [(line.partition(":")[0], line.partition(" # ")[2]) for line in text.splitlines()]

    old, new = kept(default), kept(apply_preset(name, default))
    rest = iter(new)
    assert all(line in rest for line in old), "lines of params.yaml are lost or in another order"
    has_additions = set(leaves(load((FOLDER / f"{name}.yaml").read_text()))) - set(leaves(load(default)))
    assert len(old) == len(new) or has_additions


def test_no_preset_leaves_traces_in_the_next(default: str):
    assert apply_preset("smoke", apply_preset("paper", default)) == apply_preset("smoke", default)


def test_values_that_no_preset_touches_stay(default: str):
    own = default.replace("seed: 0", "seed: 7")
    assert load(apply_preset("smoke", own))["seed"] == 7


def test_overlay_replaces_scalars_lists_and_mappings_on_one_line():
    params = "a: 1 # one\nb:\n  c: [1, 2] # list\n  d: {e: 1}\n  f: null\n# end\n"
    changes = "b: {c: [3], d: null, f: {g: 2.0e-4}}\na: 'x'\n"
    assert overlay(params, changes, source="s") == (
        "a: 'x' # one\nb:\n  c: [3] # list\n  d: null\n  f: {g: 2.0e-4}\n# end\n"
    )


def test_what_a_preset_adds_goes_into_its_mapping_and_comes_out_again():
    params = "a:\n  # of b\n  b: {c: 1} # one\n# end\nd: 2\n"
    changes = "a:\n  b: {e: [2]}\n  f:\n    - g # two\n"
    added = "a:\n  # of b\n  f:\n    - g # two\n  b: {c: 1, e: [2]} # one\n# end\nd: 2\n"
    assert overlay(params, changes, source="s") == added
    edits = list(find_removals(added, "a: {b: {c: 1}}", changes, source="s"))
    assert [edit.key for edit in edits] == ["a.f", "a.b.e"]
    for edit in reversed(edits):
        added = added[: edit.start] + edit.new + added[edit.end :]
    assert added == params


def test_overlay_replaces_blocks_by_values_in_brackets():
    params = "a:\n  - 1\n  - b: 2 # two\n# end\nc:\n  d: 1\n"
    assert overlay(params, "a: [3]\nc: {e: [4]}", source="s") == "a: [3] # two\n# end\nc:\n  e: [4]\n  d: 1\n"
    assert overlay("a:\n  b: 1\n", "a: null", source="s") == "a: null\n"


@pytest.mark.parametrize("name", preset_names())
def test_presets_apply_to_params_as_dvc_writes_them(tmp_path: Path, default: str, name: str):
    """``dvc exp run -S`` writes lists in brackets as blocks."""
    path = tmp_path / "params.yaml"
    path.write_text(default, encoding="utf-8")
    apply_overrides(path, ["seed=7"])
    written = path.read_text(encoding="utf-8")
    assert written != default.replace("seed: 0", "seed: 7")
    for text in (apply_preset(name, written), apply_preset(name, apply_preset("degradations", written))):
        assert load(text) == load(apply_preset(name, default)) | {"seed": 7}


def test_overlay_keeps_windows_line_ends():
    assert overlay("a: 1 # é\r\nb: 2\r\n", "b: 3", source="s") == "a: 1 # é\r\nb: 3\r\n"


@pytest.mark.parametrize(
    ("params", "changes", "message"),
    [
        ("a: {b: 1}", "c: 2", r"s\.yaml: c is not a key of params\.yaml"),
        ("a:\n  b: 1", "a:\n    c: 1", r"s\.yaml: a\.c must be indented as in params\.yaml"),
        ("a: [1]", "a:\n  - 2", r"s\.yaml: a must be written as"),
        ("a: 1", "a: [", r"s\.yaml is not valid YAML"),
        ("a: [", "a: 1", r"params\.yaml is not valid YAML"),
        ("a: 1", "", r"s\.yaml must hold a mapping"),
        ("- 1", "a: 1", r"params\.yaml must hold a mapping"),
        ("a: 1", "a: &x [1]\nb: *x", r"s\.yaml: b is not a key"),
    ],
)
def test_errors_say_what_is_wrong_and_where(params: str, changes: str, message: str):
    with pytest.raises(ValueError, match=message):
        overlay(params, changes, source="s.yaml")


def test_command_writes_params_and_tells_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default: str):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes(default.encode())
    result = CliRunner().invoke(main, ["smoke"])
    assert result.exit_code == 0, result.output
    assert path.read_bytes().decode() == apply_preset("smoke", default)
    assert "network.width: " in result.output
    assert [entry.name for entry in tmp_path.iterdir()] == ["params.yaml"]
    assert "0 values changed" in CliRunner().invoke(main, ["smoke"]).output


@pytest.mark.parametrize("arguments", [["no_such"], []])
def test_unknown_preset_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert all(name in result.output for name in preset_names())


def test_params_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["smoke"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "params.yaml" in result.output


def test_interrupted_writing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default: str):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes(default.encode())
    monkeypatch.setattr(Path, "replace", interrupted)
    assert CliRunner().invoke(main, ["smoke"]).exit_code == 1
    assert path.read_bytes().decode() == default
    assert [entry.name for entry in tmp_path.iterdir()] == ["params.yaml"]
