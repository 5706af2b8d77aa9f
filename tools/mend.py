"""Mend what DVC does not: ``python -m tools.mend``, which `make repro` calls when DVC fails, and ``--cache``.

* DVC writes dvc.lock in place after every stage. Killed meanwhile, it leaves a part of it that it then refuses to read.
  The stages that are whole in it stay, the others come from the last commit's; those that neither has run again, or
  come from DVC's run-cache. A lock that DVC refuses for other reasons, a merge conflict say, is left alone.
* DVC trusts the objects in its cache without reading them. ``--cache`` reads them all: those whose MD5 is not their
  name are removed, and so are the results in the workspace that may have come from them; the next run makes them anew.

Exit status 1 where there was nothing to mend.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError

from faig.base.files import replacing

HEAD = "schema: '2.0'\nstages:\n"


def is_damaged(repo: Repo, lock: Path) -> bool:
    """Whether the file begins as DVC begins it, but DVC refuses to read it."""
    if not lock.is_file():
        return False
    text = lock.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(HEAD) or re.search("^<<<<<<< ", text, re.MULTILINE):
        return False
    try:
        Lockfile(repo, str(lock)).load()
    except (YAMLSyntaxError, YAMLValidationError):
        return True
    return False


def stages_of(text: str) -> dict[str, str]:
    """The lines of each stage of a lock, by its name."""
    parts = re.split(r"^(?=  [^ ])", text.removeprefix(HEAD), flags=re.MULTILINE)
    return {part.split(":\n")[0].strip(): part for part in parts if part.strip()}


def damaged_objects(cache: Path) -> tuple[dict[str, Path], int]:
    """Objects of DVC's cache, by name, whose content is not what they are named for; and how many were read."""
    found, number = {}, 0
    for path in sorted(cache.glob("??/*")):
        name = path.parent.name + path.name
        if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", name):
            number += 1
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
            if name.removesuffix(".dir") != digest:
                found[name] = path
    return found, number


def results_of(objects: set[str], repo: Repo, lock: Path, cache: Path) -> list[Path]:
    """Results that dvc.lock says to hold one of the objects, or to be a folder that holds one."""
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


def mend_lock(repo: Repo, lock: Path) -> bool:
    """Complete the lock if a kill left a part of it; whether it did."""
    if not is_damaged(repo, lock):
        return False
    kept = stages_of(lock.read_text(encoding="utf-8", errors="replace"))
    kept.pop(list(kept)[-1], None)  # cut off
    command = ["git", "show", f"HEAD:./{lock.name}"]
    committed = subprocess.run(command, cwd=lock.parent, capture_output=True, text=True, check=False).stdout
    others = {name: part for name, part in stages_of(committed).items() if committed.startswith(HEAD)}
    with replacing(lock) as partial:
        partial.write_text(HEAD + "".join((others | kept).values()), encoding="utf-8")
    if is_damaged(repo, lock):
        raise click.ClickException(f"{lock} is damaged; `git checkout {lock.name}` brings the last commit's back")
    added = len(others.keys() - kept.keys())
    click.echo(f"{lock.name} was half-written: {len(kept)} stages of it are kept, {added} are the last commit's")
    return True


def mend_cache(repo: Repo, lock: Path, cache: Path) -> bool:
    """Remove damaged objects and what may have come from them; whether there were any."""
    objects, number = damaged_objects(cache)
    click.echo(f"{number} objects read, {len(objects)} damaged")
    for path in results_of(set(objects), repo, lock, cache) if objects else ():
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
    try:
        with Repo() as repo, lock_repo(repo):  # no run writes either of them meanwhile
            lock = Path(repo.root_dir, LOCK_FILE)
            mended = mend_lock(repo, lock)
            if checks_cache:
                mended |= mend_cache(repo, lock, Path(repo.cache.local.path))
    except DvcException as error:
        raise click.ClickException(str(error)) from error
    sys.exit(not mended)


if __name__ == "__main__":
    main()
