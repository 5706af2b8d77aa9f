"""Faults tried and counted: ``python -m benchmarks.robustness.faults``.

In a fresh clone on the smoke preset, after one undisturbed ``dvc repro``: stages are killed at random moments, the disk
fills up, files cannot be read, results are damaged, files change while a stage runs, two runs start at once. After each
fault, what lies under a result's name must be that result, whole, or nothing; and the next ``dvc repro`` must end with
the undisturbed bytes. Writes benchmarks/robustness/results/faults.json.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import write

ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Root without its right to read and write whatever the permissions say."""
INSTANT = ("list_imports", "check", "photographs")
"""Stages too short to be hit."""
CODE = ("faig/experiments/masking.py", "return 2 + len(", "return 3 + len(")
PARAMS = ("params.yaml", "mask_ratio: 0.03", "mask_ratio: 0.3")
"""File, and what is changed in it while a stage runs that uses it."""


@dataclass
class Project:
    """A clone whose commands run in their own process group; ``seconds``: of each stage, undisturbed.

    ``launcher``: words in front of every command; ``torn``: how often a fault had left dvc.lock half-written.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    reference: dict[str, str] = field(default_factory=dict)
    launcher: tuple[str, ...] = ()
    torn: int = 0

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "FAIG_"))}
        environment |= {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
            "HOME": str(self.folder.parent),
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
            "MPLCONFIGDIR": str(self.folder.parent / "matplotlib"),
        }
        return subprocess.Popen(
            [*self.launcher, *words],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status and what was printed."""
        process = self.start(*words)
        output, _ = process.communicate()
        return process.returncode, output

    def first(self) -> None:
        """Run everything undisturbed; keep how long each stage took and the digests of all results."""
        process = self.start(sys.executable, "-m", "dvc", "repro")
        assert process.stdout is not None
        stage, began = "", time.monotonic()
        for line in process.stdout:
            if found := re.match(r"Running stage '([^']+)'", line):
                self.seconds[stage], stage, began = time.monotonic() - began, found[1], time.monotonic()
        if process.wait():
            raise click.ClickException("the undisturbed run failed")
        self.seconds[stage] = time.monotonic() - began
        del self.seconds[""]
        self.reference = self.digests()

    def digests(self) -> dict[str, str]:
        """SHA-256 of every result by path."""
        paths = [path for name in ("data", "metrics", "plots") for path in (self.folder / name).rglob("*")]
        files = [path for path in paths if path.is_file() and path.name != ".gitignore"]
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def half_written(self) -> list[str]:
        """Results that are there and are not the undisturbed ones."""
        return [name for name, digest in self.digests().items() if self.reference.get(name, digest) != digest]

    def recovers(self) -> bool:
        """Whether ``dvc repro`` succeeds with the undisturbed results, and none added.

        Where DVC cannot read dvc.lock, the last commit's is taken first, as docs/pipeline.md says.
        """
        status, output = self.run(sys.executable, "-m", "dvc", "repro")
        if status and re.search(r"dvc\.lock' (validation failed|is invalid)", output):
            self.torn += 1
            self.run("git", "checkout", "HEAD", "dvc.lock")
            status, output = self.run(sys.executable, "-m", "dvc", "repro")
        found = self.digests()
        if status or found != self.reference:
            click.echo(output[-2000:] if status else f"differs: {set(found.items()) ^ set(self.reference.items())}")
            return False
        return True

    def force(self, stage: str) -> subprocess.Popen[str]:
        """Start one stage anew, whatever is cached."""
        return self.start(sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage)


@dataclass(frozen=True)
class Outcome:
    """What a fault did: whether an error said so (None: none is due), results half-written, whether all came back."""

    said: bool | None
    half_written: int
    recovered: bool


def kill(project: Project, stage: str, share: float) -> Outcome:
    """Kill DVC and the stage at a share of the stage's time."""
    process = project.force(stage)
    time.sleep(share * (project.seconds[stage] + 1))  # DVC itself starts within a second
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return Outcome(None, len(project.half_written()), project.recovers())


def fail(project: Project, stage: str, expected: str, restore: Callable[[], object]) -> Outcome:
    """A stage that must fail with a message; ``restore`` takes the cause away."""
    output, _ = (process := project.force(stage)).communicate()
    left = len(project.half_written())
    restore()
    said = process.returncode != 0 and bool(re.search(expected, output)) and "Traceback" not in output
    if not said:
        click.echo(output[-2000:])
    return Outcome(said, left, project.recovers())


def fill_disk(project: Project, stage: str, *outputs: str) -> Outcome | None:
    """Leave 64 KiB on a small file system that holds the results, but the stage's; None where none can be mounted."""
    data, kept = project.folder / "data", project.folder / "kept"
    size = 2 * sum(path.stat().st_size for path in data.rglob("*")) + 2**22
    data.rename(kept)
    data.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(data)], check=True)
    except (OSError, subprocess.CalledProcessError):
        data.rmdir()
        kept.rename(data)
        return None
    try:
        shutil.copytree(kept, data, dirs_exist_ok=True)
        for output in outputs:  # DVC deletes them first, which would make room
            shutil.rmtree(data / output)
        filler = data / "filler"
        with filler.open("wb") as file:
            file.write(bytes(max(shutil.disk_usage(data).free - 2**16, 0)))
        return fail(project, stage, "[Nn]o space left", filler.unlink)
    finally:
        shutil.rmtree(kept)
        shutil.copytree(data, kept)
        subprocess.run(["umount", str(data)], check=True)
        data.rmdir()
        kept.rename(data)


def hide(project: Project, path: str, stage: str) -> Outcome | None:
    """Take the permission to read an input away. To root nothing is unreadable: it gives that right up, or None."""
    if os.geteuid() == 0:
        if shutil.which(UNPRIVILEGED[0]) is None:
            return None
        project.launcher = UNPRIVILEGED
    file = project.folder / path
    mode = file.stat().st_mode
    file.chmod(0)
    try:
        return fail(project, stage, "is not readable", lambda: file.chmod(mode))
    finally:
        project.launcher = ()


def damage(project: Project, path: str) -> Outcome:
    """Change a byte of a result in the workspace."""
    file = project.folder / path
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return Outcome(None, 0, project.recovers())


def cut_lock(project: Project, stage: str) -> Outcome:
    """Leave of dvc.lock what a kill amid a stage's results leaves."""
    lock = project.folder / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    end = "    outs:\n"
    lock.write_text(text[: text.index(end, text.index(f"  {stage}:\n")) + len(end)], encoding="utf-8")
    return Outcome(None, 0, project.recovers())


def damage_cache(project: Project, path: str) -> Outcome:
    """Change a byte of a result in DVC's cache and remove it from the workspace.

    The object stays writable: DVC reads such objects again, and trusts those that nobody may write to.
    """
    digest = hashlib.md5((project.folder / path).read_bytes()).hexdigest()
    cached = project.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    content = bytearray(cached.read_bytes())
    content[len(content) // 2] ^= 1
    cached.chmod(0o644)
    cached.write_bytes(content)
    (project.folder / path).unlink()
    return Outcome(None, 0, project.recovers())


def change_meanwhile(project: Project, path: str, old: str, new: str, stage: str) -> Outcome:
    """Change a file that a stage has read while it runs, and change it back afterwards."""
    file = project.folder / path
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise click.ClickException(f"{path} does not hold {old!r}")
    process = project.force(stage)
    time.sleep(1 + 0.5 * project.seconds[stage])  # DVC starts it within a second
    file.write_text(text.replace(old, new), encoding="utf-8")
    output, _ = process.communicate()
    file.write_text(text, encoding="utf-8")
    said = process.returncode != 0 and "changed while the stage ran" in output
    return Outcome(said, len(project.half_written()), project.recovers())


def run_twice(project: Project, stage: str) -> Outcome:
    """Start the pipeline while a stage runs."""
    process = project.force(stage)
    time.sleep(0.5 * (project.seconds[stage] + 1))
    status, output = project.run(sys.executable, "-m", "dvc", "repro")
    process.communicate()
    said = status == 0 or bool(re.search("lock|is busy|being used", output))
    return Outcome(said and process.returncode == 0, len(project.half_written()), project.recovers())


def clone(folder: Path) -> Project:
    """A clone of the last commit without results, on the smoke preset."""
    project = Project(folder / "clone")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(project.folder)], check=True)
    for name in ("metrics", "plots"):
        shutil.rmtree(project.folder / name)
    (project.folder / "dvc.lock").unlink()
    subprocess.run([sys.executable, "-m", "tools.preset", "smoke"], cwd=project.folder, check=True, capture_output=True)
    folder.chmod(0o755)
    return project


@click.command()
@click.option("--kills", default=20)
@click.option("--seed", default=0)
def main(kills: int, seed: int) -> None:
    """Try every fault and write benchmarks/robustness/results/faults.json."""
    generator = np.random.default_rng(seed)
    rows: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder))
        project.first()
        stages = [name for name in project.seconds if name not in INSTANT]
        faults: list[tuple[str, Callable[[], Outcome | None]]] = []
        for stage in [*generator.permutation(stages), *generator.choice(stages, max(kills - len(stages), 0))][:kills]:
            share = float(generator.random())
            faults.append(
                ("killed at a random moment", lambda stage=str(stage), share=share: kill(project, stage, share))
            )
        faults += [
            ("disk full", lambda: fill_disk(project, "prepare", "hr")),
            ("disk full", lambda: fill_disk(project, "synthesize@noise", "lr/noise")),
            ("input not readable", lambda: hide(project, "data/networks/blind.safetensors", "mask")),
            ("input not readable", lambda: hide(project, "data/pairs/blur.csv", "score@blur")),
            ("result damaged", lambda: damage(project, "data/scores/blind.parquet")),
            ("result damaged", lambda: damage(project, "data/networks/baseline.safetensors")),
            ("code changed meanwhile", lambda: change_meanwhile(project, *CODE, "mask")),
            ("params changed meanwhile", lambda: change_meanwhile(project, *PARAMS, "mask")),
            ("two runs at once", lambda: run_twice(project, "finetune@blind")),
            ("dvc.lock half-written", lambda: cut_lock(project, "pair@blur")),
            ("dvc.lock half-written", lambda: cut_lock(project, "retrain")),
            ("cached object written to", lambda: damage_cache(project, "data/scores/only_blur.parquet")),
        ]
        for name, fault in faults:
            outcome = fault()
            click.echo(f"{name}: {outcome}", err=True)
            if outcome is not None:
                rows.setdefault(name, []).append(outcome)
    results: dict[str, Any] = {
        name: {
            "times": len(outcomes),
            "clear": None if outcomes[0].said is None else sum(bool(outcome.said) for outcome in outcomes),
            "half_written": sum(outcome.half_written for outcome in outcomes),
            "recovered": sum(outcome.recovered for outcome in outcomes),
        }
        for name, outcomes in rows.items()
    }
    click.echo(f"{'fault':30} times  recovered  half-written")
    for name, row in results.items():
        click.echo(f"{name:30} {row['times']:5}  {row['recovered']:9}  {row['half_written']:12}")
    click.echo(f"dvc.lock half-written, and taken from the last commit: {project.torn}")
    write("robustness/faults", {"faults": results, "lock_torn": project.torn})


if __name__ == "__main__":
    main()
