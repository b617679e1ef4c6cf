"""The notebook that a newcomer opens first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import wait_for_frames, wait_for_states

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def test_the_quickstart_plays_cell_by_cell(
    lab: Lab, open_notebook: OpenNotebook, artifacts: Path
) -> None:
    path = Path(shutil.copy(QUICKSTART, lab.notebooks)).name
    cells = enumerate(nbformat.read(QUICKSTART, as_version=4).cells)
    notebook = open_notebook(path=path)

    run_through(notebook, cells, "display(GPUStream(")
    wait_for_frames(notebook, 100)
    notebook.page.screenshot(path=artifacts / "quickstart.png")

    run_through(notebook, cells, "display(stream)")
    wait_for_states(notebook, "playing", "waiting")
    notebook.start(next(index for index, cell in cells if "stream.push(" in cell.source))
    wait_for_frames(notebook, 30, views=[1])
    notebook.page.screenshot(path=artifacts / "quickstart-learning.png")
    notebook.interrupt()

    run_through(notebook, cells, "stream.close()")
    wait_for_states(notebook, "playing", timeout_s=90)
    notebook.page.locator(".jp-RenderedImage img").wait_for()  # the last frame of the closed one


def run_through(
    notebook: NotebookPage, cells: Iterator[tuple[int, nbformat.NotebookNode]], text: str
) -> None:
    """Run the next cells, up to the first code cell that contains ``text``."""
    for index, cell in cells:
        if cell.cell_type == "code":
            notebook.run(index)
            if text in cell.source:
                return
    raise LookupError(f"no cell is left that has {text = }")
