"""Mend what DVC does not: ``python -m tools.mend``, which `make repro` calls when DVC fails, and ``--cache``.

* DVC writes dvc.lock in place after every stage. Killed meanwhile, it leaves a part of it that it then refuses to read.
  Such a file is removed: without it, DVC finds each stage's results in its run-cache and runs nothing again.
* DVC trusts the objects in its cache without reading them. ``--cache`` reads them all: those whose MD5 is not their
  name are removed, and so are the results in the workspace that may have come from them; the next run makes them anew.

Exit status 1 where there was nothing to mend.
"""

import hashlib
import json
import shutil
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


def damaged_objects(cache: Path) -> dict[str, Path]:
    """Objects of DVC's cache, by name, whose content is not what they are named for."""
    found = {}
    for path in sorted(cache.glob("??/*")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        name = path.parent.name + path.name
        if name.removesuffix(".dir") != digest:
            found[name] = path
    return found


def results_of(objects: set[str], lock: Path, cache: Path) -> list[Path]:
    """Results that dvc.lock says to hold one of the objects, or to be a folder that holds one."""
    with Repo(str(lock.parent)) as repo:
        stages = Lockfile(repo, str(lock)).load().get("stages", {})
    found = []
    for out in (out for stage in stages.values() for out in stage.get("outs", ())):
        name = out.get("md5", "")
        listing = cache / name[:2] / name[2:]
        held = {name}
        if name.endswith(".dir") and listing.is_file() and name not in objects:
            held |= {entry["md5"] for entry in json.loads(listing.read_bytes())}
        if held & objects:
            found.append(lock.parent / out["path"])
    return found


def mend_lock(lock: Path) -> bool:
    """Remove the lock if DVC cannot read it; whether it did."""
    if not is_damaged(lock):
        return False
    lock.unlink()
    click.echo(f"{LOCK_FILE} was half-written by a killed run and is gone: results come back from DVC's cache")
    return True


def mend_cache(lock: Path, cache: Path) -> bool:
    """Remove damaged objects and what may have come from them; whether there were any."""
    objects = damaged_objects(cache)
    for path in results_of(set(objects), lock, cache) if objects else ():
        click.echo(f"removing {path.relative_to(lock.parent)}: it may have come from a damaged object")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in objects.values():
        click.echo(f"removing {path}: its MD5 is not its name")
        path.unlink()
    return bool(objects)


@click.command()
@click.option("--cache", "checks_cache", is_flag=True, help="read every object of DVC's cache")
def main(checks_cache: bool) -> None:
    """Mend dvc.lock, or the cache."""
    lock = Path(LOCK_FILE).resolve()
    with Repo(str(lock.parent)) as repo:
        cache = Path(repo.cache.local.path)
    mended = mend_lock(lock)
    if checks_cache:
        mended |= mend_cache(lock, cache)
    sys.exit(not mended)


if __name__ == "__main__":
    main()
