"""A notebook runs from its first cell to its last in a fresh kernel, wherever it is started, and shows what it says."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> list[str]:
    """What each cell prints; the numbers of images differ in their last digits from machine to machine."""
    return ["".join(each.text for each in cell.outputs if each.output_type == "stream") for cell in code_of(notebook)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_was_run_in_order_and_is_small(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(each.output_type != "error" for cell in cells for each in cell.outputs)
    assert path.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_fresh_kernel(path: Path, tmp_path: Path):
    notebook = nbformat.read(path, as_version=4)
    before = printed(notebook)
    for cell in code_of(notebook):
        cell.outputs = []
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    after = printed(notebook)
    assert (
        (after[0], after[-1])
        == (before[0], before[-1])
        == ("21696 filters in 20 layers\n", "restores the same: True\n")
    )
    assert [bool(text) for text in after] == [bool(text) for text in before]
    pictures = [each for cell in code_of(notebook) for each in cell.outputs if "image/jpeg" in each.get("data", {})]
    assert len(pictures) == 5
    assert not list(tmp_path.iterdir())
