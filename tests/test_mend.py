"""What a kill left of dvc.lock is completed, damaged objects and their results go; all else stays."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.repo import Repo, lock_repo

from tools.mend import HEAD, damaged_objects, main

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


STAGE = LOCK[len(HEAD) :]
OTHER = STAGE.replace("prepare", "synthesize@blur").replace("data/hr", "data/lr/blur")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lock of an empty DVC project goes, the last commit of which has one with two stages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    path = tmp_path / "dvc.lock"
    path.write_text(HEAD + STAGE.replace("size: 1", "size: 9") + OTHER)
    identity = ["-c", "user.name=a", "-c", "user.email=b"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "c"]):
        subprocess.run(["git", *words], check=True)
    Repo.init().close()
    return path


@pytest.mark.parametrize("end", ["    outs:\n", "    outs:\n    - pa"])
def test_of_a_lock_that_was_cut_whole_stages_stay_and_the_others_are_the_last_commit_s(lock: Path, end: str):
    lock.write_text(HEAD + STAGE + OTHER[: OTHER.index(end) + len(end)])
    result = CliRunner().invoke(main)
    assert result.exit_code == 0, result.output
    assert "1 stages of it are kept, 1 are the last commit's" in result.output
    assert lock.read_text() == HEAD + STAGE + OTHER


CONFLICT = f"{HEAD}<<<<<<< HEAD\n{STAGE}=======\n{OTHER}>>>>>>> other\n"


@pytest.mark.parametrize("text", [LOCK, f"{HEAD}  {{}}\n", CONFLICT, LOCK.replace("2.0", "9.0"), "", "schema: ["])
def test_a_lock_that_no_kill_left_stays(lock: Path, text: str):
    lock.write_text(text)
    assert CliRunner().invoke(main).exit_code == 1
    assert lock.read_text() == text


def test_without_a_lock_there_is_nothing_to_mend(lock: Path):
    lock.unlink()
    assert CliRunner().invoke(main).exit_code == 1
    assert not lock.exists()


def test_nothing_is_touched_while_dvc_is_at_work(lock: Path):
    text = HEAD + STAGE[: STAGE.index("    - path")]
    lock.write_text(text)
    with Repo() as repo, lock_repo(repo):
        result = CliRunner().invoke(main, ["--cache"])
    assert result.exit_code == 1
    assert "lock" in result.output
    assert lock.read_text() == text


def test_outside_of_a_project_that_is_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main)
    assert result.exit_code == 1
    assert "not inside of a DVC repository" in result.output


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
    assert damaged_objects(cache) == ({}, 2)
    assert [path for path in ("w", "r", "d") if Path(path).exists()] == ["w"]
    assert {path.parent.name + path.name for path in cache.glob("??/*")} == {whole, folder}
    assert lock.exists()
    assert CliRunner().invoke(main, ["--cache"]).exit_code == 1
