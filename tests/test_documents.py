"""The tables of the documents say what the result files say."""

import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from faig.data.images import read_image, write_png
from presets.apply import apply_preset
from tools import reference
from tools.documents import DOCUMENTS
from tools.tables import judged, render, share, table

RESULTS = [*DOCUMENTS, "params.yaml", "metrics", "plots", "benchmarks", "published"]


def as_committed(folder: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", "HEAD", *RESULTS], cwd=ROOT, capture_output=True, check=True
    )
    names = listed.stdout.decode().split()
    archive = subprocess.run(
        ["git", "archive", "--format=zip", "HEAD", *names], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
    return folder


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_table_equals_the_files_that_it_comes_from(tmp_path: Path, name: str):
    """As committed; before a commit, as in the working tree. A user's own run may differ from what is committed."""

    def agrees(root: Path) -> bool:
        if not (root / name).is_file():  # it is new
            return False
        text = (root / name).read_text(encoding="utf-8")
        return render(text, DOCUMENTS[name], root) == text

    assert agrees(as_committed(tmp_path)) or agrees(ROOT), "run `python -m tools.documents`"


def test_a_table_that_nothing_makes_and_one_that_is_missing_are_refused():
    text = "<!-- a -->\n<!-- end -->\n"
    assert render(text, {"a": lambda root: "b"}, ROOT) == "<!-- a -->\nb\n<!-- end -->\n"
    for tables in ({}, {"a": str, "b": str}):
        with pytest.raises(ValueError, match="the document holds the tables"):
            render(text, tables, ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["metrics/finetune", "metrics", ""])
def test_a_run_of_some_stages_has_fewer_rows(tmp_path: Path, kept: str):
    """Every table is made of what there is: the trainings alone, all metrics, or all of a run."""
    folder = as_committed(tmp_path / "all") / "published/net/runs/set"
    for name in ("params.yaml", "metrics", "plots"):
        if name in ("params.yaml", kept) or not kept:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / name).rename(folder / name)
    if kept == "metrics/finetune":
        (folder / "metrics").mkdir(parents=True)
        (tmp_path / "all/metrics/finetune").rename(folder / kept)
    (folder / "run.json").write_text('{"cores": 2}')
    (folder / "timings.csv").write_text("stage,seconds,peak_memory_mib\nfinetune@blind,120.0,2048\n")
    rows = {name: make(tmp_path / "all").count("\n| net") for name, make in reference.TABLES.items()}
    assert rows["training"] == 1
    assert "2000 of 16 x 64², 2 min |" in reference.training(tmp_path / "all")
    assert "| finetune@blind | 120 s, 2.0 GiB |" in reference.stages(tmp_path / "all")
    assert rows["gains"] == 4
    assert (rows["retraining"], rows["branches"]) == ((0, 0) if kept == "metrics/finetune" else (7, 1))
    assert rows["summary"] == (0 if kept == "metrics/finetune" else 4)
    assert rows["order"] == (0 if kept else 2)


def test_gains_too_small_for_shares_are_left_out(tmp_path: Path):
    folder = tmp_path / "published/net/runs/set"
    (folder / "plots/ratios").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    head = "method,degradation,ratio,removed,removed_low,removed_high,collateral"
    rows = "faig,blur,0.01,0.5,0.4,0.6,0.1\nfaig,noise,0.01,,,,\nig,blur,0.01,0.25,0.2,0.3,\n"
    (folder / "plots/ratios/blind.csv").write_text(f"{head}\n{rows}")
    assert reference.order(tmp_path).endswith(
        "| net, set | deblurring | FAIG 50 %; IG 25 % | 1 % |\n| net, set | denoising |  | none |"
    )
    assert "| denoising | FAIG |  | - |" in reference.masking(tmp_path)


def test_shares_are_rounded_to_percent_and_what_is_left_out_is_empty():
    values = {"removed": 0.956, "removed_low": -0.001, "removed_high": 0.97}
    assert share(values, "removed") == "96 %"
    assert share(values, "removed", low=True) == "96 % (0 to 97)"
    assert share({}, "removed") == share({"removed": float("nan")}, "removed") == ""
    assert table(("a", "b"), []) == "*Not measured in a published run.*"
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_verdict_comes_with_value_interval_and_threshold():
    claim = {"at_most": 0.25}
    assert judged(claim, {"value": -0.001, "low": -0.4, "high": 0.1, "threshold": 0.25, "verdict": "holds"}) == (
        "-0.00 (-0.40 to 0.10)",
        "at most 0.25",
        "holds",
    )
    assert judged({"at_least": "a/b"}, {"value": 1.0, "threshold": 2.0, "verdict": "fails"})[:2] == (
        "1.00",
        "at least 2.00",
    )
    assert judged(claim, {"verdict": "unknown"}) == ("", "", "unknown")


def test_measured_presets_are_the_presets_as_they_are():
    found = json.loads((ROOT / "benchmarks/studies/results/presets.json").read_text())["presets"]
    text = (ROOT / "params.yaml").read_text()
    for name, values in found.items():
        params = YAML(typ="safe", pure=True).load(apply_preset(name, text))
        assert values["scale"] == params["scale"]
        assert values["network"] == {key: params["network"][key] for key in values["network"]}, name


def test_the_example_with_published_weights_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/reference.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for name in ("published",):
        Path(name).symlink_to(ROOT / name)
    write_png(Path("photograph.png"), np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8))
    exec(example, {})
    restored, masked = (read_image(Path(f"{name}.png")) for name in ("restored", "still_blurred"))
    assert restored.shape == masked.shape == (32, 24, 3)
    assert (restored != masked).any()
