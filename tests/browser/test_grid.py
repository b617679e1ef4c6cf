"""A grid of ranks in a real JupyterLab: four workers, one connection, and one that dies."""

from __future__ import annotations

import re
import signal
import subprocess
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import NotebookPage
from tests.browser.remote_run import open_run, worker
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

# The stripe moves, so each frame differs from the one before.
WORK = """
import sys, time, torch, gpuview

red, green, blue = map(int, sys.argv[1:])
n = 0
with gpuview.publish("run1") as view:
    view.slider("lr", 0.0, 1.0)
    while True:
        n += 1
        frame = torch.tensor([red, green, blue], dtype=torch.uint8).expand(180, 320, 3).clone()
        frame[:, n * 4 % 320 :][:, :8] = 255
        view.push(frame)
        time.sleep(1 / 15)
"""
COLOURS = ((200, 60, 60), (60, 160, 60), (70, 90, 210), (200, 160, 40))
OTHER = (150, 60, 190)
MIDDLE_OF_TILE = """
([column, row]) => {
  const screen = document.querySelector("canvas.gpuview-video");
  if (screen === null) return null;
  const [x, y] = [(column + 0.5) * screen.width / 2, (row + 0.8) * screen.height / 2];
  return [...screen.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
}
"""


def rank_worker(
    join: Path, rank: int, colour: tuple[int, int, int]
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return worker(WORK, *colour, join=join, RANK=str(rank), WORLD_SIZE="4")


def shows(notebook: NotebookPage, rank: int, colour: tuple[int, int, int]) -> bool:
    """Tell whether the tile of a rank has its colour, but for the stripe."""
    seen = notebook.page.evaluate(MIDDLE_OF_TILE, [rank % 2, rank // 2])
    return seen is not None and max(abs(a - b) for a, b in zip(seen, colour, strict=True)) < 8


def wait_for_colour(notebook: NotebookPage, rank: int, colour: tuple[int, int, int]) -> None:
    wait_until(partial(shows, notebook, rank, colour), f"rank {rank} shows {colour}", 60.0)


def wait_until_it_plays_on(notebook: NotebookPage) -> None:
    """Wait until the page has acknowledged more packets: it is sent no more than that."""
    sent = "sum(each.frames_sent for each in stream.stats().viewers)"
    before = notebook.python(sent)
    wait_until(lambda: notebook.python(sent) > before + 100, "100 more packets are shown")


def test_four_ranks_play_in_one_grid_and_one_that_is_killed_says_so_and_returns(
    open_notebook: OpenNotebook, tmp_path: Path
) -> None:
    join = tmp_path / "run1.json"
    notebook = open_run(open_notebook, join, "ranks='all'")
    view = notebook.page.locator(".gpuview")
    expect(view).to_contain_text("waiting for workers of run1: start the job")
    tiles = notebook.page.locator(".gpuview-tile")
    with (
        rank_worker(join, 0, COLOURS[0]),
        rank_worker(join, 1, COLOURS[1]),
        rank_worker(join, 3, COLOURS[3]),
    ):
        with rank_worker(join, 2, COLOURS[2]) as victim:
            expect(tiles).to_have_count(4, timeout=120_000)
            wait_for_states(notebook, "playing")
            for rank, colour in enumerate(COLOURS):
                wait_for_colour(notebook, rank, colour)
            assert notebook.python("len(stream.stats().viewers)") == 1  # one connection for all
            expect(tiles.nth(2)).to_have_text(re.compile(r"rank 2 on \S+$"))
            notebook.page.screenshot(path=tmp_path / "grid.png")
            victim.send_signal(signal.SIGKILL)
            note = tiles.nth(2).get_by_text(re.compile(r"silent since \d\d:\d\d:\d\d"))
            expect(note).to_be_visible(timeout=60_000)
        notebook.page.screenshot(path=tmp_path / "silent.png")
        assert shows(notebook, 2, COLOURS[2])  # its last picture
        wait_until_it_plays_on(notebook)
        with rank_worker(join, 2, OTHER):
            wait_for_colour(notebook, 2, OTHER)
            expect(note).to_have_count(0)
            wait_until_it_plays_on(notebook)
            expect(view.get_by_label("lr")).to_be_visible()
    expect(view).to_contain_text("waiting for all ranks of run1", timeout=60_000)
