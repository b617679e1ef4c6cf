"""A view that opens in a cell shows its picture while that cell still runs, whatever it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import gpuview
from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab
from tests.browser.views import wait_for_states

pytestmark = pytest.mark.browser

SETUP = """
import asyncio
import os
import random
import time

import torch
from gpuview import GPUStream
from IPython.display import display

picture = torch.arange(640).remainder(256).to(torch.uint8).expand(360, 640)

def calibrated():
    # As many numbers as `sorted` holds the GIL for some 0.7 s with.
    n = 100_000
    while True:
        numbers = [random.random() for _ in range(n)]
        began = time.perf_counter()
        sorted(numbers)
        took = time.perf_counter() - began
        if took > 0.6:
            return numbers
        n = int(n * min(0.7 / took, 4)) + 1

def sort(numbers):
    sorted(numbers)

def spin(_):
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        pass

def sleep(_):
    time.sleep(0.7)

def is_wanted():
    return not os.path.exists("stop")
"""

PUSHED = """
def shown():
    stream = GPUStream()
    stream.push(picture)
    return stream
"""

PULLED = """
turn = 0

def source():
    global turn
    turn += 1
    return picture.roll(turn, dims=1)

def shown():
    return GPUStream(source, fps=30)
"""

# Ends by itself after some 12 s, so that a picture that waits for its end comes too late.
WORK = """
numbers = calibrated() if "{kind}" == "sort" else None
display(shown())
for _ in range(17):
    if is_wanted():
        {kind}(numbers)
"""

AWAIT = """
display(shown())
for _ in range(17):
    if is_wanted():
        await asyncio.sleep(0.7)
"""

CELLS = {kind: WORK.format(kind=kind) for kind in ("sort", "spin", "sleep")} | {"await": AWAIT}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab with the extension of its server."""
    env = {"PYTHONPATH": str(Path(gpuview.__file__).parents[1])}
    with Lab(tmp_path_factory.mktemp("lab"), env, has_extension=True) as lab:
        yield lab


@pytest.mark.parametrize("stream", [PUSHED, PULLED], ids=["pushed", "pulled"])
@pytest.mark.parametrize("kind", sorted(CELLS))
def test_picture_comes_while_the_cell_that_displays_it_runs(
    open_notebook: OpenNotebook, kind: str, stream: str
) -> None:
    notebook = open_notebook(SETUP + stream, CELLS[kind])
    notebook.run(0)
    notebook.start(1)
    wait_for_states(notebook, "playing")
    assert notebook.is_running
    stop = notebook.server.notebooks / "stop"
    stop.touch()
    notebook.wait_for_end()
    stop.unlink()
