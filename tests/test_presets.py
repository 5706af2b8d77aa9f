"""Laws of presets: they change the values that they name and not a byte besides."""

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, overlay
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from faig.base.errors import InputError
from faig.base.params import validate
from faig.pipeline import PipelineParams
from tools import preset
from tools.preset import FOLDER, apply_preset, main, preset_names, read_preset

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


@cache
def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@cache
def applied(name: str) -> tuple[str, list[str]]:
    """Text and changed values of params.yaml with a preset."""
    return apply_preset(name, TEXT)


def merged(params: dict, changes: dict, only: frozenset[str] = frozenset(), prefix: str = "") -> dict:
    """The law of merging, on plain dicts: of the mappings ``only``, nothing stays but what ``changes`` names."""
    kept = {key: value for key, value in params.items() if prefix not in only or key in changes}
    both = {
        key: merged(kept[key], changes[key], only, f"{prefix}.{key}".lstrip("."))
        for key in kept.keys() & changes.keys()
        if has_keys(changes[key])
    }
    return kept | changes | both


def has_keys(value: object) -> bool:
    return isinstance(value, dict)


def expected(name: str) -> dict:
    """The values of a preset and of those that it extends."""
    values = source(name)
    own = {key: value for key, value in values.items() if key not in ("extends", "only")}
    return merged(expected(values["extends"]), own, frozenset(values.get("only", ()))) if "extends" in values else own


def source(name: str) -> dict:
    return load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def only(name: str) -> frozenset[str]:
    """The mappings of which a preset, and those that it extends, let nothing else stay."""
    values = source(name)
    return frozenset(values.get("only", ())) | (only(values["extends"]) if "extends" in values else frozenset())


def leaves(values: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= leaves(value, f"{prefix}{key}.") if has_keys(value) else {f"{prefix}{key}": value}
    return flat


def comments(text: str) -> list[str]:
    return re.findall(r"(?:^|(?<= ))#.*", text, re.MULTILINE)


def test_reading_and_writing_gives_the_bytes_back():
    assert overlay(TEXT, "{}") == TEXT


@pytest.mark.parametrize("name", preset_names())
def test_the_pipeline_accepts_the_preset(name: str):
    validate("", load(applied(name)[0]), PipelineParams, source=name)


@pytest.mark.parametrize("name", preset_names())
def test_exactly_the_values_of_the_preset_change(name: str):
    before, wanted = load(TEXT), expected(name)
    text, changed = applied(name)
    assert load(text) == merged(before, wanted, only(name))
    assert len([line for line in changed if not line.endswith(": removed")]) <= len(leaves(wanted))
    assert apply_preset(name, text) == (text, [])


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_repeats_no_value_that_holds_without_it(name: str):
    own = source(name)
    without = load(TEXT)
    if "extends" in own:
        without = merged(without, expected(own["extends"]), only(own["extends"]))
    without = leaves(without)
    needed = tuple(f"{path}." for path in own.get("only", ()))  # what is not named there goes
    repeated = [key for key, value in leaves(own).items() if key in without and without[key] == value]
    assert [key for key in repeated if not key.startswith(needed)] == []


def without_others(name: str) -> str:
    """The text of params.yaml without the entries of those mappings in lines of their own."""
    text = TEXT
    for path in re.findall(r"^(\S+): removed$", "\n".join(applied(name)[1]), re.MULTILINE):
        *parents, key = path.split(".")
        indent = "  " * len(parents)
        text = re.sub(rf"^{indent}{key}:.*\n(?:{indent} .*\n)*", "", text, count=1, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize("name", preset_names())
def test_comments_and_lines_that_hold_no_value_of_the_preset_stay(name: str):
    text = applied(name)[0]
    before = without_others(name)
    rest = iter(comments(text))
    assert all(comment in rest for comment in comments(before)), "comments are lost or in another order"
    keys = {part for key in (*leaves(expected(name)), *only(name)) for part in key.split(".")}
    rest = iter(text.splitlines())
    for line in before.splitlines():
        assert line.split(":")[0].strip() in keys or line in rest, f"{line!r} is lost or in another place"


def test_values_that_the_preset_does_not_name_stay():
    own = TEXT.replace("seed: 0", "seed: 7")
    assert load(apply_preset("smoke", own)[0])["seed"] == 7


@cache
def as_dvc_writes(path: Path) -> str:
    """The text of params.yaml after ``dvc exp run -S seed=7``."""
    path.write_text(TEXT, encoding="utf-8")
    apply_overrides(path, ["seed=7"])
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", preset_names())
def test_presets_apply_to_params_as_dvc_writes_them(tmp_path: Path, name: str):
    """``dvc exp run -S`` writes lists in brackets as blocks."""
    written = as_dvc_writes(tmp_path / "params.yaml")
    assert written != TEXT.replace("seed: 0", "seed: 7")
    text = apply_preset(name, written)[0]
    assert set(comments(written)) <= set(comments(text))
    assert load(text) == load(applied(name)[0]) | {"seed": 7}


def test_scalars_lists_and_mappings_are_replaced_where_they_stand():
    params = "a: 1 # one\nb:\n  c: [1, 2] # list\n  d: {e: 1}\n  f: null\n# end\n"
    changes = "b: {c: [3], d: null, f: {g: 2.0e-4}}\na: 'x'\n"
    wanted = "a: x # one\nb:\n  c: [3]    # list\n  d: null\n  f: {g: 2.0e-4}\n# end\n"
    assert overlay(params, changes) == wanted


@pytest.mark.parametrize("operations", ["\n    - downsample", " [downsample]"])
def test_an_empty_list_takes_the_place_of_another_and_back(operations: str):
    """As clean does at scale 1."""
    params = f"a:\n  clean:{operations}\n  b: 1\n"
    emptied = overlay(params, "a: {clean: []}")
    assert emptied == "a:\n  clean: []\n  b: 1\n"
    assert load(overlay(emptied, "a: {clean: [downsample]}")) == load(params)


def test_what_a_preset_adds_goes_into_its_mapping():
    """First in a mapping in lines of its own, whose last entry carries the comment in front of the next one."""
    params = "a:\n  b: {c: 1} # one\n# end\nd: 2\n"
    changes = "a:\n  b: {e: [2]}\n  f:\n    - g # two\n  h: 3\n"
    assert overlay(params, changes) == "a:\n  f:\n    - g # two\n  h: 3\n  b: {c: 1, e: [2]} # one\n# end\nd: 2\n"


def test_what_a_preset_adds_to_empty_brackets_stays_in_them():
    assert overlay("a: {} # one\n# end\nb: 1\n", "a: {c: 1, d: x}\n") == "a: {c: 1, d: x} # one\n# end\nb: 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of presets."""
    monkeypatch.setattr(preset, "FOLDER", tmp_path)
    return tmp_path


def test_a_preset_holds_what_it_extends_but_for_its_own_values(folder: Path):
    (folder / "a.yaml").write_text("x: {y: 1, z: 2}\nv: [1]\n")
    (folder / "b.yaml").write_text("extends: a\nx: {z: 3}\n")
    (folder / "c.yaml").write_text("extends: b\nv: [2]\n")
    assert read_preset("c") == {"x": {"y": 1, "z": 3}, "v": [2]}


NETWORKS = (ROOT / "docs/networks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(extends: .*?)```", NETWORKS, re.DOTALL))
def test_the_presets_that_the_documents_show_are_short_and_accepted(folder: Path, text: str):
    assert len(text.splitlines()) == 4
    shutil.copy(ROOT / "presets/pair.yaml", folder)
    (folder / "mine.yaml").write_text(text)
    params = validate("", load(apply_preset("mine", TEXT)[0]), PipelineParams, source="docs/networks.md")
    assert list(params.targets) == ["blind"]
    assert params.network.files.keys() == {"baseline", "blind"}


PARAMS = """\
a: # of a
  b: [1] # one
  c:
    - d: 2 # two
      # within c
# of e, and not of c
e:
  f: {g: 1, h: 2} # three
  i: 3
# end
"""


def test_of_some_mappings_nothing_stays_that_the_preset_does_not_name(folder: Path):
    (folder / "a.yaml").write_text("only: [a, e.f]\na: {b: [1]}\ne: {f: {h: 2, k: 4}}\n")
    wanted = "a: # of a\n  b: [1] # one\n# of e, and not of c\ne:\n  f: {h: 2, k: 4}       # three\n  i: 3\n# end\n"
    text, changed = apply_preset("a", PARAMS)
    assert (text, changed) == (wanted, ["e.f.k: added", "a.c: removed", "e.f.g: removed"])
    assert apply_preset("a", text) == (text, [])


def test_an_extending_preset_inherits_such_mappings_and_adds_to_them_or_empties_them_anew(folder: Path):
    (folder / "a.yaml").write_text("only: [a]\na: {b: [1]}\n")
    (folder / "b.yaml").write_text("extends: a\na: {x: 5}\n")
    (folder / "c.yaml").write_text("extends: a\nonly: [a]\na: {x: 5}\n")
    assert load(apply_preset("b", PARAMS)[0])["a"] == {"b": [1], "x": 5}
    assert load(apply_preset("c", PARAMS)[0])["a"] == {"x": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only: [x.y]\nx: {z: 1}\n", r"presets/a\.yaml: only lists x\.y, but the preset holds no such mapping"),
        ("extends: b", "there is no preset b; known are a"),
        ("a: [", r"presets/a\.yaml is not valid YAML"),
        ("", r"presets/a\.yaml must hold a mapping"),
        ("- 1", r"presets/a\.yaml must hold a mapping"),
    ],
)
def test_a_preset_that_cannot_be_used_says_why(folder: Path, text: str, message: str):
    (folder / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_preset("a")


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, text: str | None = TEXT) -> Result:
    """Run the command in a folder with params.yaml, where there is a text for it."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("params.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, arguments)


def test_the_command_writes_params_and_says_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    result = run(tmp_path, monkeypatch, "smoke")
    assert result.exit_code == 0, result.output
    text, changed = applied("smoke")
    assert Path("params.yaml").read_text(encoding="utf-8") == text
    assert result.output.splitlines()[:-1] == changed
    assert "git restore params.yaml" in result.output
    assert [entry.name for entry in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("arguments", [["no_such"], []])
def test_an_unknown_preset_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    result = run(tmp_path, monkeypatch, *arguments)
    assert result.exit_code != 0
    assert all(name in result.output for name in preset_names())


@pytest.mark.parametrize("text", [None, "a: ["])
def test_params_that_cannot_be_read_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None):
    result = run(tmp_path, monkeypatch, "smoke", text=text)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "params.yaml" in result.output


def test_an_interrupted_writing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    assert run(tmp_path, monkeypatch, "smoke").exit_code == 1
    assert Path("params.yaml").read_text(encoding="utf-8") == TEXT
    assert [entry.name for entry in tmp_path.iterdir()] == ["params.yaml"]
