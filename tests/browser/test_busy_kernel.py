"""A view that opens in a cell shows its picture while that cell still runs, whatever it does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import gpuview
from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

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


# When each frame was drawn.
RECORDER = """
window.drawn_ms = [];
const { drawImage } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.drawImage = function (source, ...rest) {
  if (source instanceof VideoFrame) window.drawn_ms.push(performance.now());
  return drawImage.call(this, source, ...rest);
};
"""
N_FRAMES = 60
# With a bound, so that a kernel that makes no frames meanwhile is not waited for too long.
BUSY = """
until = time.monotonic() + 60
while is_wanted() and time.monotonic() < until:
    for _ in range(100_000):
        pass
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab with the extension of its server."""
    env = {"PYTHONPATH": str(Path(gpuview.__file__).parents[1])}
    with Lab(tmp_path_factory.mktemp("lab"), env, has_extension=True) as lab:
        yield lab


@pytest.mark.parametrize("stream", [PUSHED, PULLED], ids=["pushed", "pulled"])
def test_picture_comes_while_the_cell_that_displays_it_runs(
    open_notebook: OpenNotebook, stream: str
) -> None:
    notebook = open_notebook(SETUP + stream, *CELLS.values())
    stop = notebook.server.notebooks / "stop"
    notebook.run(0)
    for cell, kind in enumerate(CELLS, start=1):
        notebook.start(cell)
        wait_for_states(notebook, "playing")
        assert notebook.is_running, f"the cell that has to {kind} had ended"
        stop.touch()
        notebook.wait_for_end()
        stop.unlink()
        notebook.clear(cell)
        wait_for_states(notebook)


def test_picture_over_the_websocket_moves_as_well_while_a_cell_runs_python(
    open_notebook: OpenNotebook,
) -> None:
    over_socket = "stream = GPUStream(source, fps=30, settings=Settings(carriers='socket'))"
    setup = f"{SETUP}from gpuview import Settings\n{PULLED}\n{over_socket}"
    notebook = open_notebook(setup, "stream", BUSY, init_script=RECORDER)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")

    def pauses_ms() -> list[float]:
        """Wait for so many frames, and return the pauses between them."""
        notebook.page.evaluate("window.drawn_ms = []")
        wait_until(
            lambda: notebook.page.evaluate("window.drawn_ms.length") > N_FRAMES,
            f"{N_FRAMES} frames",
        )
        drawn_ms = notebook.page.evaluate("window.drawn_ms")
        return sorted(after - before for before, after in pairwise(drawn_ms))

    pauses_ms()  # the first seconds of a page are its busiest
    idle = pauses_ms()
    stop = notebook.server.notebooks / "stop"
    notebook.start(2)
    busy = pauses_ms()
    is_running = notebook.is_running
    stop.touch()
    notebook.wait_for_end()
    stop.unlink()
    assert is_running
    # The longest pause is the machine's as often as the kernel's, but nine of ten are not.
    assert percentile(busy, 90) < 3 * percentile(idle, 90)
    assert sum(busy) / len(busy) < 3 * sum(idle) / len(idle)


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many per cent of these sorted ones do not exceed."""
    return values[len(values) * percent // 100]
