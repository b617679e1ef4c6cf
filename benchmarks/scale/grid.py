"""Many ranks in one page of a real JupyterLab: what is drawn of each, and what it costs."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks.processes import cpu_s
from tests.browser.lab import Lab, NotebookPage, launch_chromium
from tests.cluster.jobs import starting_jobs
from tests.waiting import wait_until

__all__ = ["grid"]

_N_RANKS = 16
_SMALL = ("320", "180", "15")
_SETTLE_S = 5.0
_STRETCH_S = 10.0
_CELLS = (
    "from gpuview import GPUStream\n"
    "stream = GPUStream.remote('run1', ranks='all')\n"
    "environment = stream.join()",
    "stream",
)
# Whatever is decoded is drawn once, at the place of its rank.
_COUNT = """() => {
  window.drawn = {};
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...args) {
    const [picture, , , , , x, y] = args;
    if (picture instanceof VideoFrame) drawn[[x, y]] = (drawn[[x, y]] ?? 0) + 1;
    return draw.apply(this, args);
  };
}"""


def grid() -> dict[str, float]:
    """What a page shows of 16 ranks, and what the notebook's media process does for it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-scale-")))
        (folder / "lab").mkdir()
        lab = Lab(folder / "lab", {"HOME": str(folder)}, has_extension=True)
        stack.enter_context(lab)
        chromium = launch_chromium(stack.enter_context(sync_playwright()))
        context = stack.enter_context(closing(chromium.new_context()))
        path = lab.write_notebook("grid", _CELLS)
        notebook = stack.enter_context(closing(NotebookPage(lab, context, path)))
        notebook.page.evaluate(_COUNT)
        notebook.run(0)
        notebook.run(1)
        start = stack.enter_context(starting_jobs(folder))
        environment = notebook.python("environment")
        for rank in range(_N_RANKS):
            ranked = {**environment, "RANK": str(rank), "WORLD_SIZE": str(_N_RANKS)}
            start("-m", "benchmarks.scale.worker", "shows", "run1", *_SMALL, env=ranked)
        wait_until(lambda: len(_drawn(notebook.page)) >= _N_RANKS, "all ranks are drawn")
        time.sleep(_SETTLE_S)
        media = int(notebook.python("stream.stats().media_pid"))
        before, used_s, began_s = _drawn(notebook.page), cpu_s(media), time.monotonic()
        time.sleep(_STRETCH_S)
        after, used_s = _drawn(notebook.page), cpu_s(media) - used_s
        seconds = time.monotonic() - began_s
    rates = [(count - before.get(place, 0)) / seconds for place, count in after.items()]
    shown = sorted(rates)[-_N_RANKS:]  # while ranks joined, they had other places
    title = f"{_N_RANKS} ranks in one page"
    return {
        f"{title}: frames drawn of each, a second": sum(shown) / _N_RANKS,
        f"{title}: frames of the slowest that are not drawn, %": 100 * (1 - shown[0] / 15),
        f"{title}: notebook's media process, % of a core": 100 * used_s / seconds,
    }


def _drawn(page: Page) -> dict[str, int]:
    found: dict[str, int] = page.evaluate("({...drawn})")
    return found
