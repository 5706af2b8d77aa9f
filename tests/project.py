"""A clone of the project on the smoke preset, to run DVC in."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, project_files
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from networkx import ancestors

IDENTITY = {f"GIT_{role}_{key}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


@dataclass
class Project:
    """A clone, and what happened in it: by chapter, the stages that ran; snapshots of files."""

    folder: Path
    environment: dict[str, str]
    ran: dict[str, set[str]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def run(self, *command: str) -> str:
        """Run a command in the clone; returns what it printed."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, f"{' '.join(command)} failed:\n{result.stdout[-4000:]}"
        return result.stdout

    def dvc(self, chapter: str, *arguments: str) -> None:
        """Run dvc and note the stages whose commands it ran."""
        output = self.run(sys.executable, "-m", "dvc", *arguments)
        self.ran[chapter] = set(re.findall(r"Running stage '([^']+)'", output))

    def results(self) -> dict[str, bytes]:
        """Content of all results by path."""
        paths = [path for name in ("data", "metrics", "plots", "report") for path in (self.folder / name).rglob("*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def edit_params(self, old: str, new: str) -> None:
        path = self.folder / "params.yaml"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), encoding="utf-8")


def clone(folder: Path) -> None:
    """Copy the files that are, or would be, in the repository."""
    for path in project_files():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def smoke_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A fresh clone under git, without results, the smoke preset applied."""
    folder = tmp_path_factory.mktemp("smoke")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "FAIG_"))}
    environment |= IDENTITY | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_SITE_CACHE_DIR": str(tmp_path_factory.mktemp("site")),
    }
    project = Project(folder / "clone", environment)
    clone(project.folder)
    project.run("git", "init", "-q")
    for generated in ("data/hr", "metrics", "plots", "dvc.lock", "argument/dvc.lock"):  # of the user's own runs
        path = project.folder / generated
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    project.run(sys.executable, "-m", "tools.preset", "smoke")
    return project


def commit(project: Project) -> None:
    """Put all that the clone holds under git."""
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "smoke")


def stages(project: Project) -> dict[str, set[str]]:
    """The keys of params.yaml that each stage lists, by the stage's name."""
    with chdir(project.folder), Repo() as repo:
        return {
            stage.addressing: {key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params}
            for stage in repo.index.graph
        }


def dependents(project: Project, *names: str) -> set[str]:
    """The stages that depend on some, directly or not."""
    with chdir(project.folder), Repo() as repo:
        graph = repo.index.graph  # from each stage to those that it depends on
        return {each.addressing for stage in graph if stage.addressing in names for each in ancestors(graph, stage)}


def expand(targets: Iterable[str], *stages: str) -> set[str]:
    """``mask@*`` for every target."""
    return {stage.replace("*", target) for stage in stages for target in targets}
