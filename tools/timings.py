"""Run the pipeline and note what each stage takes: ``python -m tools.timings``, with stages to run only those.

Like ``dvc repro``, whose output it passes on. For each stage that ran, a file in .timings, one for each params.yaml,
gains a row: seconds, the peak memory of its processes together, DVC included in both, and whether the stage ended. One
that was interrupted and went on has several rows, the last of which ended.
"""

import csv
import hashlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd
import psutil

FOLDER = Path(".timings")
COLUMNS = ("stage", "seconds", "peak_memory_mib", "ended")
INTERVAL = 0.2
"""Seconds between looks at the memory."""


def timings_file() -> Path:
    """Of params.yaml as it stands."""
    return FOLDER / f"{hashlib.sha256(Path('params.yaml').read_bytes()).hexdigest()[:12]}.csv"


def read_timings() -> pd.DataFrame:
    """``seconds`` and ``peak_memory_mib`` of each ``stage`` that ended, its last run with the interruptions before."""
    rows: dict[str, dict[str, float]] = {}
    path = timings_file()
    noted = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    open_runs: dict[str, list[dict[str, float]]] = {}
    for row in noted.to_dict("records"):
        open_runs.setdefault(row["stage"], []).append(row)
        if row["ended"]:
            parts = open_runs.pop(row["stage"])
            seconds = round(sum(part["seconds"] for part in parts), 1)
            peak = max(part["peak_memory_mib"] for part in parts)
            rows.pop(row["stage"], None)  # in the order of the last runs
            rows[row["stage"]] = {"seconds": seconds, "peak_memory_mib": peak}
    table = [{"stage": stage, **values} for stage, values in rows.items()]
    return pd.DataFrame(table, columns=COLUMNS[:-1])


@dataclass
class Peak:
    """The largest memory of a process and its children since the last look, in bytes."""

    process: int
    value: int = 0

    def look(self) -> None:
        """Compare with what they use now."""
        used = 0
        try:
            root = psutil.Process(self.process)
            for process in (root, *root.children(recursive=True)):
                used += process.memory_info().rss
        except psutil.NoSuchProcess:  # ended meanwhile
            pass
        self.value = max(self.value, used)

    def take(self) -> int:
        """The peak, which then starts anew."""
        value, self.value = self.value, 0
        return value


@contextmanager
def watching(peak: Peak) -> Iterator[None]:
    """Look again and again until the end."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def timed(command: list[str], output: Path) -> int:
    """Run DVC, append a row per stage that it says to run; its exit status."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        peak, stage, began, ended = Peak(process.pid), "", time.monotonic(), False
        try:
            with watching(peak):
                for line in process.stdout:
                    click.echo(line, nl=False)
                    if found := re.match(r"(Running stage|Stage) '([^']+)'", line):
                        append(output, stage, began, peak, ended=True)
                        stage, began = found[2] if found[1] == "Running stage" else "", time.monotonic()
            ended = process.wait() == 0
        finally:
            append(output, stage, began, peak, ended=ended)
    return process.returncode


def append(output: Path, stage: str, began: float, peak: Peak, *, ended: bool) -> None:
    """Add a row for a stage that ends now; none between stages."""
    memory = peak.take()
    if not stage:
        return
    output.parent.mkdir(exist_ok=True)
    is_new = not output.exists()
    with output.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow((stage, f"{time.monotonic() - began:.1f}", round(memory / 2**20), ended))


@click.command()
@click.argument("targets", nargs=-1)
def main(targets: tuple[str, ...]) -> None:
    """Run the pipeline, or the stages TARGETS and what they need."""
    sys.exit(timed([sys.executable, "-m", "dvc", "repro", *targets], timings_file()))


if __name__ == "__main__":
    main()
