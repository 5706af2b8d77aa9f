"""Random params through the whole pipeline: ``python -m benchmarks.robustness.fuzz --times 40``.

Each trial changes one to three numbers, words or lists of the smoke preset, most of them to odd but thinkable values.
The first two stages must either refuse the params by the name of a changed key, or every stage must run with them and
leave finite metrics. The stages run in one process, without DVC. Writes benchmarks/robustness/results/fuzz.json;
failures exit with 1.
"""

import importlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import click
import networkx
import numpy as np
from click.testing import CliRunner
from dvc.repo import Repo
from ruamel.yaml import YAML

from benchmarks.common import write

ROOT = Path(__file__).resolve().parents[2]
FIXED = (
    "compute",
    "dataset.train",
    "dataset.test",
    "dataset.div2k",
    "dataset.limit",
    "dataset.source",
    "network.pretrained",
)
"""Keys that stay: of files elsewhere, or of no stage."""
WORDS = {
    "downsampling": ["bicubic", "bilinear", "area"],
    "network.name": ["srresnet", "srcnn"],
    "score.contrast": ["difference", "share", "plain"],
    "score.quadrature.rule": ["gausslegendre", "left", "right", "middle", "trapezoid", "auto"],
}
"""What words may become, by the end of the key."""
CHECKS = ("stages.check", "stages.prepare")
"""Stages that come before any work."""
MOST = 500
"""Larger numbers take time and try nothing else."""


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values that are no mapping."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{key}.{name}" if key else str(name))
    elif not key.startswith(FIXED):
        yield key, value


def varied(key: str, value: Any, generator: np.random.Generator) -> Any:
    """Another value for one key."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(min(generator.choice([0, 1, 2, 3, 5, value - 1, value + 1, 2 * value, value // 2, -value]), MOST))
    if isinstance(value, float):
        return float(generator.choice([0.0, 1e-6, 0.5 * value, 0.9 * value, 2 * value, 1.0, 0.999, -value, 30.0]))
    if isinstance(value, list) and value:
        kept = [value[number] for number in sorted(generator.permutation(len(value))[: generator.integers(len(value))])]
        return kept if generator.random() < 0.7 else value[::-1]
    known = [words for end, words in WORDS.items() if key.endswith(end)]
    return str(generator.choice(known[0])) if known else value


def change(params: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key."""
    *outer, last = key.split(".")
    for name in outer:
        params = params[name]
    params[last] = value


def commands(folder: Path) -> list[list[str]]:
    """Module and arguments of every stage, in an order in which they can run."""
    with Repo(str(folder)) as repo:
        stages = reversed(list(networkx.topological_sort(repo.index.graph)))  # edges lead to what a stage needs
        return [shlex.split(stage.cmd)[2:] for stage in stages]


def run(folder: Path, keys: list[str]) -> str:
    """``refused``, ``ran``, or what went wrong."""
    try:
        planned = commands(folder)
    except Exception as error:
        return "refused" if any(key.split(".")[0] in str(error) for key in keys) else f"DVC: {error}"
    for module, *arguments in planned:
        result = CliRunner().invoke(importlib.import_module(module).main, arguments)
        if result.exit_code == 0:
            continue
        output = result.output.strip()
        if module in CHECKS and any(key.split(".")[-1] in output for key in keys):
            return "refused"
        return f"{module}: {output.splitlines()[-1] if output else ''} {result.exception!r}"
    for path in folder.glob("metrics/**/*.json"):
        numbers = [value for _, value in leaves(json.loads(path.read_text())) if isinstance(value, float)]
        if not all(math.isfinite(number) for number in numbers):
            return f"{path.name} holds a number that is not finite"
    return "ran"


@click.command()
@click.option("--times", default=40)
@click.option("--seed", default=0)
def main(times: int, seed: int) -> None:
    """Try random params and write benchmarks/robustness/results/fuzz.json."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(shutil.copy(ROOT / "params.yaml", name))
        command = [sys.executable, "-m", "tools.preset", "smoke"]
        subprocess.run(command, cwd=name, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
        text = path.read_text(encoding="utf-8")
    sys.path.insert(0, str(ROOT))  # stages run from there, though in other folders
    counts = {"refused": 0, "ran": 0}
    failures = []
    for number in range(times):
        generator = np.random.default_rng([seed, number])
        params = YAML(typ="safe", pure=True).load(text)
        known = [(key, value) for key, value in leaves(params) if isinstance(value, int | float | str | list)]
        keys = []
        wanted = generator.integers(1, 4)
        for place in generator.permutation(len(known)):
            key, value = known[place]
            if len(keys) < wanted and (other := varied(key, value, generator)) != value:
                change(params, key, other)
                keys.append(key)
        changed = ", ".join(f"{key}={dict(leaves(params)).get(key)}" for key in keys)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part in ("faig", "stages", ".dvc/plots", "published/none"):
                shutil.copytree(ROOT / part, folder / part)
            shutil.copy(ROOT / "dvc.yaml", folder)
            (folder / ".dvc/config").write_text("[core]\nno_scm = true\n", encoding="utf-8")
            YAML().dump(params, folder / "params.yaml")
            with chdir(folder):
                outcome = run(folder, keys)
        click.echo(f"{number}: {changed}: {outcome} ({time.monotonic() - began:.0f} s)", err=True)
        if outcome in counts:
            counts[outcome] += 1
        else:
            failures.append(f"{changed}: {outcome}")
    write("robustness/fuzz", {"times": times, **counts, "failures": failures})
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
