"""A dvc.lock that DVC cannot read is taken away, and so are damaged objects and their results; all else stays."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from tools.mend import damaged_objects, is_damaged, main

LOCK = """schema: '2.0'
stages:
  prepare:
    cmd: python -m stages.prepare
    outs:
    - path: data/hr
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 1
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lock of an empty DVC project goes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    Repo.init(no_scm=True).close()
    return tmp_path / "dvc.lock"


@pytest.mark.parametrize("end", ["    outs:\n", "    outs:\n    - pa"])
def test_a_lock_cut_within_a_stage_goes(lock: Path, end: str):
    lock.write_text(LOCK[: LOCK.index(end) + len(end)])
    assert is_damaged(lock)
    result = CliRunner().invoke(main)
    assert result.exit_code == 0, result.output
    assert "dvc.lock was half-written" in result.output
    assert not lock.exists()


@pytest.mark.parametrize("text", [LOCK, LOCK[: LOCK.index("  prepare:")] + "  {}\n"])
def test_a_lock_that_dvc_reads_stays(lock: Path, text: str):
    lock.write_text(text)
    assert CliRunner().invoke(main).exit_code == 1
    assert lock.read_text() == text


def test_without_a_lock_there_is_nothing_to_mend(lock: Path):
    assert CliRunner().invoke(main).exit_code == 1


def put(cache: Path, content: bytes, suffix: str = "") -> str:
    """An object of the cache; its name."""
    name = hashlib.md5(content).hexdigest()
    path = cache / name[:2] / (name[2:] + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name + suffix


def test_damaged_objects_and_their_results_go_and_others_stay(lock: Path):
    cache = lock.parent / ".dvc/cache/files/md5"
    whole, rotten, part = (put(cache, content) for content in (b"whole", b"rotten", b"part"))
    listing = [{"md5": part, "relpath": "a"}]
    folder = put(cache, json.dumps(listing).encode(), ".dir")
    for name in (rotten, part):
        (cache / name[:2] / name[2:]).write_bytes(b"other")
    Path("d").mkdir()
    for path in ("w", "r", "d/a"):
        Path(path).write_text("")
    outs = {"w": whole, "r": rotten, "d": folder}
    lines = [f"    - {{path: {path}, hash: md5, md5: {name}, size: 1}}\n" for path, name in outs.items()]
    lock.write_text("schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n" + "".join(lines))
    result = CliRunner().invoke(main, ["--cache"])
    assert result.exit_code == 0, result.output
    assert set(damaged_objects(cache)) == set()
    assert [path for path in ("w", "r", "d") if Path(path).exists()] == ["w"]
    assert {path.parent.name + path.name for path in cache.glob("??/*")} == {whole, folder}
    assert lock.exists()
    assert CliRunner().invoke(main, ["--cache"]).exit_code == 1
