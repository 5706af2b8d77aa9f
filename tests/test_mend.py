"""A dvc.lock that DVC cannot read is taken away, any other stays."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from tools.mend import is_damaged, main

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
