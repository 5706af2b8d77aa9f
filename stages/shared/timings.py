"""Time and memory of each stage: noted when DVC runs it, read when the run is published."""

import csv
import hashlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

FOLDER = Path(".timings")
COLUMNS = ("stage", "seconds", "peak_memory_mib", "ended")
LAUNCHED = "FAIG_LAUNCHED"
"""Environment variable of the processes that ``compute.launcher`` starts."""


def timings_file() -> Path:
    """The file for params.yaml as it stands.

    Raises:
        OSError: there is no params.yaml.
    """
    return FOLDER / f"{hashlib.sha256(Path('params.yaml').read_bytes()).hexdigest()[:12]}.csv"


@contextmanager
def timed() -> Iterator[None]:
    """Append a row to the timings file when the stage ends or fails, where DVC runs it; by hand, nothing is noted.

    Seconds are those since the process started, its imports included. Memory is the largest peak of a single process:
    this one or one that it has waited for. A folder that cannot be written to is no error.
    """
    ended = False
    try:
        yield
        ended = True
    finally:
        stage = os.environ.get("DVC_STAGE")  # its address in dvc.yaml: mask@blind
        if stage and LAUNCHED not in os.environ:
            seconds = time.time() - psutil.Process().create_time()
            kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            peak = max(resource.getrusage(kind).ru_maxrss for kind in kinds)  # KiB; on macOS bytes
            mib = round(peak / (2**20 if sys.platform == "darwin" else 2**10))
            with suppress(OSError):
                _append(timings_file(), (stage, f"{seconds:.1f}", mib, ended))


def _append(path: Path, row: tuple[object, ...]) -> None:
    path.parent.mkdir(exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, row] if is_new else [row])


def read_timings() -> list[dict[str, object]]:
    """``stage``, ``seconds`` and ``peak_memory_mib`` of each stage that ended, in the order of the last runs.

    A stage that was interrupted and went on has several rows, the last of which ended: its seconds are their sum.
    """
    try:
        with timings_file().open(newline="", encoding="utf-8") as file:
            noted = list(csv.DictReader(file))
    except OSError:
        return []
    open_runs: dict[str, list[dict[str, str]]] = {}
    found: dict[str, dict[str, object]] = {}
    for row in noted:
        parts = open_runs.setdefault(row["stage"], [])
        parts.append(row)
        if row["ended"] == "True":
            del open_runs[row["stage"]]
            found.pop(row["stage"], None)
            found[row["stage"]] = {
                "stage": row["stage"],
                "seconds": round(sum(float(part["seconds"]) for part in parts), 1),
                "peak_memory_mib": max(int(part["peak_memory_mib"]) for part in parts),
            }
    return list(found.values())
