"""The notebook that a newcomer opens first."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import states, wait_for_frames, wait_for_states

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
PAINTS = 300  # five seconds of a screen that is painted 60 times a second
LEAST_FRAMES = PAINTS * 25 // 60


def test_the_quickstart_plays_cell_by_cell(
    lab: Lab, open_notebook: OpenNotebook, artifacts: Path
) -> None:
    cells = nbformat.read(QUICKSTART, as_version=4).cells
    path = Path(shutil.copy(QUICKSTART, lab.notebooks)).name
    notebook = open_notebook(path=path)

    n_streams = 0
    for index in (index for index, cell in enumerate(cells) if cell.cell_type == "code"):
        notebook.run(index)
        if len(states(notebook)) == n_streams:
            continue
        n_streams += 1
        wait_for_states(notebook, *["playing"] * n_streams)
        wait_for_frames(notebook, 10, views=[n_streams - 1])
        if n_streams == 1:
            assert frames_shown_during(notebook, PAINTS) >= LEAST_FRAMES
            notebook.page.screenshot(path=artifacts / "quickstart.png")
    assert n_streams == 2


def frames_shown_during(notebook: NotebookPage, paints: int) -> int:
    script = "n => probe.framesShownDuring(document.querySelector('video.gpuview-video'), n)"
    shown: int = notebook.page.evaluate(script, paints)
    return shown
