"""Take away a dvc.lock that a kill left half-written: ``python -m tools.mend``; `make repro` does it when DVC fails.

DVC writes dvc.lock in place after every stage. Killed meanwhile it leaves a part of it, which it then refuses to read.
No result is lost: without the file, DVC finds each stage's results in its run-cache and runs nothing again.
Exit status 1, and nothing done, where dvc.lock is not the problem.
"""

import sys
from pathlib import Path

import click
from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo


def is_damaged(lock: Path) -> bool:
    """Whether DVC would refuse to read the file, which lies in a DVC project."""
    with Repo(str(lock.parent)) as repo:
        try:
            Lockfile(repo, str(lock)).load()
        except DvcException:
            return True
    return False


@click.command()
def main() -> None:
    """Remove dvc.lock if DVC cannot read it."""
    lock = Path(LOCK_FILE).resolve()
    if not is_damaged(lock):
        sys.exit(1)
    lock.unlink()
    click.echo(f"{LOCK_FILE} was half-written by a killed run and is gone: results come back from DVC's cache")


if __name__ == "__main__":
    main()
