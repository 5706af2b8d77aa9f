import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
[INCLUDED] = (needed for needed in EXTRAS["dev"] if needed.name == PROJECT["name"])  # this project's other extras
EXTRAS["dev"].remove(INCLUDED)
DEVELOPMENT = [needed for name in ("dev", *sorted(INCLUDED.extras)) for needed in EXTRAS[name]]
PACKAGE_OF_IMPORT = {
    "cv2": "opencv-python",
    "PIL": "pillow",
    "ruamel": "ruamel-yaml",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_constraints_are_exact_sorted_and_without_repeats():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in LINES)
    assert len(PINS) == len(LINES)
    assert sorted(LINES, key=str.upper) == LINES


@pytest.mark.parametrize("requirement", RUNTIME + DEVELOPMENT, ids=str)
def test_constraints_pin_each_dependency_within_its_range(requirement: Requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_constraints_pin_what_the_dependencies_need_in_turn():
    queue = RUNTIME + DEVELOPMENT
    seen = set()
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # not of this platform, or replaced (OpenCV without libGL)
            continue
        for extra in requirement.extras or {""}:
            for need in map(Requirement, needs):
                if (need.marker is None or need.marker.evaluate({"extra": extra})) and str(need) not in seen:
                    seen.add(str(need))
                    queue.append(need)
                    by_torch = name == "torch" and re.match("nvidia|cuda|triton", need.name)  # it pins these itself
                    assert canonicalize_name(need.name) in PINS or by_torch, f"{name} needs {need}"


def imports_of(path: Path) -> set[str]:
    """Top-level names of the absolute imports in one file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("folder", ["faig", "stages"])
def test_every_package_that_is_imported_is_declared(folder: str):
    declared = {canonicalize_name(requirement.name) for requirement in RUNTIME}
    imported = set().union(*map(imports_of, (ROOT / folder).glob("**/*.py")))
    foreign = imported - sys.stdlib_module_names - {"faig", "stages"}
    assert {PACKAGE_OF_IMPORT.get(name, canonicalize_name(name)) for name in foreign} <= declared


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder to be the whole PATH: the tools of set-up, and no Python yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "find", "git", "make", "mkdir", "sed", "sh"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/setup.sh"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def make(project: Path, bin_folder: Path) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(bin_folder), "HOME": str(project), "GIT_CEILING_DIRECTORIES": str(project.parent)}
        return subprocess.run(
            ["make", *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    return run


def add_python(bin_folder: Path, name: str, version: str, *, suits: bool) -> None:
    """A stand-in that answers what set-up asks a Python, and fails to make a virtual environment."""
    script = f"""#!/bin/sh
    case "$*" in
        --version) echo "Python {version}" ;;
        *version_info*) exit {0 if suits else 1} ;;
        *_base_executable*) echo "$0" ;;
        *ensurepip*) exit 0 ;;
        *) echo "asked: $*"; exit 1 ;;
    esac
    """
    (bin_folder / name).write_text(script)
    (bin_folder / name).chmod(0o755)


def complete(project: Path) -> None:
    """A .venv that looks as after a complete set-up."""
    (project / ".venv" / "bin").mkdir(parents=True)
    add_python(project / ".venv" / "bin", "python", "3.11.0", suits=True)
    (project / ".venv" / "bin" / "python").write_text("#!/bin/sh\n")
    (project / ".venv" / ".setup-state").write_text(f"{project.resolve()}\n")


def test_old_python_gets_a_clear_word_and_nothing_is_made(make: Run, project: Path, bin_folder: Path):
    add_python(bin_folder, "python3", "3.10.9", suits=False)
    result = make("setup")
    assert result.returncode != 0
    assert "Python 3.11 or newer is needed; python3 is Python 3.10.9" in result.stderr
    assert not (project / ".venv").exists()


def test_a_named_python_is_not_replaced_by_another(make: Run, bin_folder: Path):
    add_python(bin_folder, "python3", "3.11.4", suits=True)
    result = make("setup", "PYTHON=python9")
    assert "python9 is not one that runs" in result.stderr


def test_newer_python_is_found_behind_an_old_one_and_a_broken_shim(make: Run, project: Path, bin_folder: Path):
    add_python(bin_folder, "python3", "3.9.2", suits=False)
    add_python(bin_folder, "python3.12", "", suits=False)
    add_python(bin_folder, "python3.11", "3.11.4", suits=True)
    result = make("setup")
    assert "Making .venv with Python 3.11.4\nasked: -m venv .venv" in result.stdout
    assert result.returncode != 0
    assert "Set-up complete" not in result.stdout
    assert (project / ".venv" / ".setup-state").read_text() == "incomplete\n"


def test_missing_git_gets_a_clear_word(make: Run, bin_folder: Path):
    add_python(bin_folder, "python3", "3.11.4", suits=True)
    (bin_folder / "git").unlink()
    assert "git is needed" in make("setup").stderr


def test_a_venv_of_someone_else_is_left_alone(make: Run, project: Path, bin_folder: Path):
    add_python(bin_folder, "python3", "3.11.4", suits=True)
    (project / ".venv").mkdir()
    (project / ".venv" / "mine").touch()
    assert "'make setup' did not make it" in make("setup").stderr
    assert (project / ".venv" / "mine").exists()


def test_complete_set_up_is_not_done_twice(make: Run, project: Path):
    complete(project)
    assert "Nothing to be done" in make("setup").stdout


@pytest.mark.parametrize("state", ["incomplete", "/elsewhere"])
def test_interrupted_or_moved_set_up_is_done_again(make: Run, project: Path, state: str):
    complete(project)
    (project / ".venv" / ".setup-state").write_text(state)
    assert "tools/setup.sh" in make("--dry-run", "setup").stdout


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "tools/setup.sh"])
def test_changed_requirements_are_set_up_again(make: Run, project: Path, name: str):
    complete(project)
    later = (project / ".venv" / ".setup-state").stat().st_mtime + 10
    os.utime(project / name, (later, later))
    assert "tools/setup.sh" in make("--dry-run", "setup").stdout


def test_python_gone_is_set_up_again(make: Run, project: Path):
    complete(project)
    (project / ".venv" / "bin" / "python").unlink()
    assert "tools/setup.sh" in make("--dry-run", "setup").stdout


def test_repro_outside_a_git_repository_gets_a_clear_word(make: Run, project: Path):
    complete(project)
    result = make("repro")
    assert result.returncode != 0
    assert "not a git repository (a downloaded archive?)" in result.stderr
