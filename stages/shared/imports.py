"""The modules of the project that a script imports, directly or not."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from faig.base.errors import InputError
from faig.base.files import complete_folder

LISTS = Path("data/imports")
"""Where the pipeline keeps the lists."""
PACKAGES = ("faig", "stages")
"""Folders of the project's own modules, beside params.yaml."""


def list_imports(output: Path) -> None:
    """Fill a folder with a list per module in stages/: digest and path of each module that it imports.

    Raises:
        InputError: there is no script, or a module is not Python.
    """
    scripts = sorted(Path("stages").glob("[!_]*.py"))
    if not scripts:
        raise InputError("stages/ holds no script: run this in the project's folder")
    with complete_folder(output) as folder:
        for script in scripts:
            (folder / f"{script.stem}.txt").write_text(listed(script), encoding="utf-8")


def listed(script: Path) -> str:
    """A line per module that a script imports, and itself: digest and path."""
    digests = {module: hashlib.sha256(module.read_bytes()).hexdigest() for module in closure(script)}
    return "".join(f"{digests[module]} {module.as_posix()}\n" for module in sorted(digests))


def closure(script: Path) -> set[Path]:
    """A module and all of the project that it imports, directly or not.

    Raises:
        InputError: one of them is not Python.
    """
    found: set[Path] = set()
    todo = [script]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += imports(module)
    return found


def imports(module: Path) -> Iterator[Path]:
    """The project's modules that a module imports itself, anywhere in its text but under ``if TYPE_CHECKING``.

    Raises:
        InputError: the module is not Python.
    """
    try:
        tree = ast.parse(module.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise InputError(f"{module}, line {error.lineno}: {error.msg}") from error
    nodes = list(_run(tree))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    for name in names:
        parts = name.split(".")
        if parts[0] in PACKAGES:
            packages = (Path(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))
            yield from filter(Path.is_file, (*packages, Path(*parts).with_suffix(".py")))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all within it but what only type checkers read."""
    yield node
    if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from _run(child)
