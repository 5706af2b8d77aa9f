"""Laws of a stage's time and memory: noted where DVC runs it, and never a reason to fail."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from stages.shared.timings import COLUMNS, FOLDER, read_timings, timed, timings_file

PIPELINE = """
stages:
  a: {cmd: python a.py}
  b:
    foreach: {c: 0, d: 1}
    do: {cmd: "python b.py ${item}"}
"""
STAGE = """
import sys
import click
from stages.shared.cli import stage
@stage
@click.argument("fails", default=0)
def main(fails):
    kept = bytearray(512 * 2**20) if not fails else b""
    assert not fails, "on purpose"
main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, as in a stage that DVC runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "mask@blind")
    monkeypatch.delenv("FAIG_LAUNCHED", raising=False)
    Path("params.yaml").write_text("seed: 0\n")
    return tmp_path


def rows() -> list[dict[str, str]]:
    with timings_file().open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_dvc_names_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    for name, text in (("params.yaml", "seed: 0\n"), ("dvc.yaml", PIPELINE), ("a.py", STAGE), ("b.py", STAGE)):
        Path(name).write_text(text)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=True)
    assert subprocess.run([sys.executable, "-m", "dvc", "repro", "-k"], check=False).returncode != 0
    found = {row["stage"]: row for row in rows()}
    assert {name: row["ended"] for name, row in found.items()} == {"a": "True", "b@c": "True", "b@d": "False"}
    assert int(found["a"]["peak_memory_mib"]) > int(found["b@d"]["peak_memory_mib"]) + 256
    assert all(0 < float(row["seconds"]) < 60 for row in found.values())


def test_a_stage_that_ends_or_fails_gains_a_row(folder: Path):
    with timed():
        pass
    with pytest.raises(ValueError, match="oops"), timed():
        raise ValueError("oops")
    assert [(row["stage"], row["ended"]) for row in rows()] == [("mask@blind", "True"), ("mask@blind", "False")]
    assert all(int(row["peak_memory_mib"]) > 1 for row in rows())


@pytest.mark.parametrize("launched", [True, False])
def test_by_hand_and_in_a_launched_process_nothing_is_noted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, launched: bool
):
    if launched:
        monkeypatch.setenv("FAIG_LAUNCHED", "1")
    else:
        monkeypatch.delenv("DVC_STAGE")
    with timed():
        pass
    assert not FOLDER.exists()


@pytest.mark.parametrize("obstacle", ["a file in its place", "no params.yaml"])
def test_what_cannot_be_noted_harms_nothing(folder: Path, obstacle: str):
    if obstacle == "no params.yaml":
        Path("params.yaml").unlink()
    else:
        FOLDER.write_text("")
    with timed():
        pass
    assert read_timings() == []


def test_of_a_stage_s_runs_the_last_counts_with_its_interruptions(folder: Path):
    assert read_timings() == []
    runs = ["a,1,5,True", "b,2,9,False", "a,3,7,False", "b,4,1,True", "a,5,6,True", "c,8,8,False"]
    FOLDER.mkdir()
    timings_file().write_text("\n".join([",".join(COLUMNS), *runs, ""]))
    assert read_timings() == [
        {"stage": "b", "seconds": 6, "peak_memory_mib": 9},
        {"stage": "a", "seconds": 8, "peak_memory_mib": 7},
    ]
