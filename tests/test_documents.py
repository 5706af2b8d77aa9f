"""The tables of the documents say what the result files say."""

import io
import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from faig.data.images import read_image, write_png
from faig.report.numbers import write_numbers
from tools import reference
from tools.documents import DOCUMENTS
from tools.tables import judged, read_json, read_yaml, render, share, table

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


@pytest.mark.slow
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
@pytest.mark.parametrize("kept", ["metrics/mission.parquet", "metrics", ""])
def test_a_run_of_some_stages_has_fewer_rows(tmp_path: Path, kept: str):
    """Every table is made of what there is: the mission's numbers alone, all numbers, or all of a run."""
    committed, folder = as_committed(tmp_path / "all"), tmp_path / "all/published/net/runs/set"
    for name in ("params.yaml", kept) if kept else ("params.yaml", "metrics", "plots"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (committed / name).rename(folder / name)
    computed_with = {key: {"device": "cpu", "precision": "fp32"} for key in ("train_baseline", "finetune")}
    (folder / "run.json").write_text(json.dumps({"cores": 2, "computed_with": computed_with}))
    (folder / "timings.csv").write_text("stage,seconds,peak_memory_mib\nfinetune@blind,120.0,2048\n")
    rows = {name: make(committed).count("\n| net") for name, make in reference.TABLES.items()}
    assert rows["training"] == 1
    tuned = reference.params(folder)["finetune"]
    size = f"{tuned['iterations']} of {tuned['batch_size']} x {tuned['patch_size']}²"
    assert f"{size}, 2 min |" in reference.training(committed)
    assert "| 2 cores, fp32 |" in reference.training(committed)
    assert "| finetune@blind | 120 s, 2.0 GiB |" in reference.stages(committed)
    assert rows["gains"] == 4
    assert rows["summary"] >= 2
    assert (rows["retraining"], rows["branches"]) == ((0, 0) if kept == "metrics/mission.parquet" else (7, 1))
    assert rows["order"] == (0 if kept else 2)


def test_gains_too_small_for_shares_are_left_out(tmp_path: Path):
    folder = tmp_path / "published/net/runs/set"
    (folder / "plots/removed").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    head = "method,degradation,ratio,removed,removed_low,removed_high,collateral"
    rows = "faig,blur,0.01,0.5,0.4,0.6,0.1\nfaig,noise,0.01,,,,\nig,blur,0.01,0.25,0.2,0.3,\n"
    (folder / "plots/removed/blind.csv").write_text(f"{head}\n{rows}")
    assert reference.order(tmp_path).endswith(
        "| net, set | deblurring | FAIG 50 %; IG 25 % | 1 % |\n| net, set | denoising |  | none |"
    )
    assert "| denoising | FAIG |  | - |" in reference.masking(tmp_path)


def test_methods_stand_beside_the_best_found_where_it_was_measured(tmp_path: Path):
    """One run with the numbers, of blur alone, and one that was published before there were any."""
    ratios = {"faig": {"removed": 0.9, "collateral": 0.1}, "ig": {"removed": 0.5, "collateral": -0.1}}
    best = {"0.01": {"removed": 1.0, "collateral": 0.0, "net": 1.0, "chosen": {"faig": 0.5}}, "smallest_ratio": 0.03}
    own = {"faig": {"0.01": {"share_of_best_found": 0.8}, "smallest_ratio": 0.03}, "best_found": best}
    for name in ("new", "old"):
        folder = tmp_path / f"published/net/runs/{name}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        results: dict[str, Any] = {"ratios": {"blind": {key: {"blur": {"0.01": ratios[key]}} for key in ratios}}}
        if name == "new":
            results["yardstick"] = {"blind": {"blur": own}}
        write_numbers(folder / "metrics/mission.parquet", results)
    assert reference.yardstick(tmp_path).splitlines() == [
        "| run | filters for | best found | FAIG | IG | 90 % for less than 5 % |",
        "| --- | --- | --- | --- | --- | --- |",
        "| net, new | deblurring | 100 %, 0 % | 90 %, 10 % (80 %) | 50 %, -10 % | FAIG 3 % |",
    ]
    (tmp_path / "published/net/runs/new/run.json").unlink()
    assert reference.yardstick(tmp_path) == "*Not measured in a published run.*"


def test_shares_are_rounded_to_percent_and_what_is_left_out_is_empty():
    values = {"removed": 0.956, "removed_low": -0.001, "removed_high": 0.97}
    assert share(values, "removed") == "96 %"
    assert share(values, "removed", low=True) == "96 % (0 to 97)"
    assert share({}, "removed") == share({"removed": float("nan")}, "removed") == ""
    assert table(("a", "b"), []) == "*Not measured in a published run.*"
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_verdict_comes_with_value_interval_and_threshold():
    """As in the table of claims, where what was not measured is empty."""
    claim = {"asked": "at most", "value": -0.001, "low": -0.4, "high": 0.1, "threshold": 0.25, "verdict": "holds"}
    assert judged(claim) == ("-0.00 (-0.40 to 0.10)", "at most 0.25", "holds")
    empty = dict.fromkeys(("value", "low", "high", "threshold"), float("nan"))
    exact = {**empty, "asked": "at least", "value": 1.0, "threshold": 2.0, "verdict": "fails"}
    assert judged(exact) == ("1.00", "at least 2.00", "fails")
    assert judged({**empty, "asked": "at least", "verdict": "not measured"}) == ("", "", "not measured")


def measured_of(name: str) -> dict[str, Any]:
    """Scale and network that a preset asks for."""
    if name == "default":
        params = read_yaml(ROOT / "params.yaml")
        return {"scale": params["scale"], "network": params["network"]}
    preset = read_yaml(ROOT / f"presets/{name}.yaml")
    base = measured_of(preset.get("extends", "default"))
    return {"scale": preset.get("scale", base["scale"]), "network": base["network"] | preset.get("network", {})}


def test_measured_presets_are_the_presets_as_they_are():
    for name, values in read_json(ROOT / "benchmarks/studies/results/presets.json")["presets"].items():
        asked = measured_of(name)
        assert values["scale"] == asked["scale"], name
        for key in ("name", "width", "depth"):
            assert values["network"][key] == asked["network"][key], name


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
