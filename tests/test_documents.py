"""The tables of the documents say what the result files say."""

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from presets.apply import apply_preset
from tools.documents import DOCUMENTS
from tools.tables import render, share, table

RESULTS = [*DOCUMENTS, "params.yaml", "metrics", "plots", "benchmarks/results", "results"]


def as_committed(folder: Path) -> Path:
    archive = subprocess.run(
        ["git", "archive", "--format=zip", "HEAD", *RESULTS], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
    return folder


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_table_equals_the_files_that_it_comes_from(tmp_path: Path, name: str):
    """As committed; before a commit, as in the working tree. A user's own run may differ from what is committed."""

    def agrees(root: Path) -> bool:
        text = (root / name).read_text(encoding="utf-8")
        return render(text, DOCUMENTS[name], root) == text

    assert agrees(as_committed(tmp_path)) or agrees(ROOT), "run `python -m tools.documents`"


def test_a_table_that_nothing_makes_is_refused():
    with pytest.raises(ValueError, match="other"):
        render("<!-- other -->\n<!-- end -->\n", {}, ROOT)


def test_shares_are_rounded_to_percent_and_what_is_left_out_is_empty():
    values = {"removed": 0.956, "removed_low": -0.001, "removed_high": 0.97}
    assert share(values, "removed") == "96 %"
    assert share(values, "removed", low=True) == "96 % (0 to 97)"
    assert share({}, "removed") == share({"removed": float("nan")}, "removed") == ""
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_measured_presets_are_the_presets_as_they_are():
    found = json.loads((ROOT / "benchmarks/results/presets.json").read_text())["presets"]
    text = (ROOT / "params.yaml").read_text()
    for name, values in found.items():
        params = YAML(typ="safe", pure=True).load(apply_preset(name, text))
        assert values["scale"] == params["scale"]
        assert values["network"] == {key: params["network"][key] for key in values["network"]}, name
