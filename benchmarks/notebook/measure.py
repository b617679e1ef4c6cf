"""One run: some first pictures, then an idle stretch and a busy one."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import psutil
from playwright.sync_api import BrowserContext

from benchmarks.notebook.contenders import SPIN_S, cells
from benchmarks.notebook.touch import (
    N_TOUCHES,
    answered_ms,
    click_now_and_then,
    hover_now_and_then,
)
from tests.browser.lab import Lab, NotebookPage

__all__ = ["Run", "Stretch", "longest_pause_ms", "measure"]

_FIRST_PICTURES = 3  # single ones scatter by 100 ms
_WARM_UP_S = 4.0
_STRETCH_S = 8.0
_AWAY_S = 3.0
_COLLAPSE = """is_collapsed => {
  const picture = document.querySelector(".gpuview-video, .renderview-wrapper img");
  picture.closest(".jp-Cell-outputArea").style.display = is_collapsed ? "none" : "";
  return performance.timeOrigin + performance.now();
}"""
_WRAP_US = 2**40  # the time code's range

Sample = tuple[float, int, int, int]
"""When the page showed a frame (ms, the kernel's clock), the frame's counter, its time code (us),
and how many clicks it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What one stretch of time looked like; a latency is None where no frame was shown."""

    shown_fps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_ms_per_frame: float | None
    """Of the kernel and all processes below it, per frame shown; when busy, without the kernel's
    main thread, which runs the cell."""
    click_p50_ms: float | None
    """From a click to the picture that shows its effect, after the rest of the stretch; clicks
    without an effect count as infinite."""
    value_p50_ms: float | None
    """From the pointer's last move to the value that the inspector shows, after the clicks; None if
    there is no inspector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender at one size, once."""

    contender: str
    width: int
    height: int
    first_pictures_ms: tuple[float, ...]
    """From the first line of the cell, in the kernel, to the first frame shown; each in a fresh
    kernel and on a fresh page, right after the cell that imports."""
    idle: Stretch
    busy: Stretch
    """While a later cell runs pure Python."""
    longest_pause_ms: float | None
    """Between two frames shown, in all the time that this cell runs: 30 s."""
    seen_again_ms: float | None
    """From the moment that a collapsed output is opened to the next new frame."""


def measure(lab: Lab, chromium: BrowserContext, contender: str, width: int, height: int) -> Run:
    """Show the scene in new notebooks and watch the last one; takes about 70 s."""
    path = lab.write_notebook("bench", cells(contender, width, height))
    first_pictures_ms = []
    for _ in range(_FIRST_PICTURES - 1):
        with _showing(lab, chromium, path) as (notebook, offset_ms):
            first_pictures_ms.append(_first_picture_ms(notebook, offset_ms))
    with _showing(lab, chromium, path) as (notebook, offset_ms):
        kernel = lab.kernel_process(notebook.kernel_id)
        notebook.show(1)
        time.sleep(_WARM_UP_S)
        idle = _watch(notebook, lambda: _tree_cpu_s(kernel))
        notebook.start(2)
        time.sleep(1.0)
        busy = _watch(notebook, lambda: _tree_cpu_s(kernel) - _main_thread_cpu_s(kernel))
        notebook.wait_for_end()
        spin_began_s = _check_spin(notebook, busy)
        first_pictures_ms.append(_first_picture_ms(notebook, offset_ms))
        samples = _samples(notebook, offset_ms)
        clicks_ms = _click_latencies_ms(notebook)
        seen_again_ms = _seen_again_ms(notebook)
    return Run(
        contender=contender,
        width=width,
        height=height,
        first_pictures_ms=tuple(first_pictures_ms),
        idle=_stretch(samples, idle, clicks_ms[:N_TOUCHES]),
        busy=_stretch(samples, busy, clicks_ms[N_TOUCHES:]),
        longest_pause_ms=longest_pause_ms(samples, spin_began_s, spin_began_s + SPIN_S),
        seen_again_ms=seen_again_ms,
    )


@contextlib.contextmanager
def _showing(lab: Lab, chromium: BrowserContext, path: str) -> Iterator[tuple[NotebookPage, float]]:
    """Give a new page whose new kernel has shown a frame, and its clock's offset in ms."""
    with contextlib.closing(NotebookPage(lab, chromium, path)) as notebook:
        offset_ms = notebook.clock_offset_ms()
        notebook.run(0)
        notebook.page.evaluate("probe.watch()")
        notebook.start(1)
        notebook.page.wait_for_function("probe.samples.length > 0", timeout=30_000)
        yield notebook, offset_ms
    lab.shutdown_kernels()


def _first_picture_ms(notebook: NotebookPage, offset_ms: float) -> float:
    first_ms: float = _samples(notebook, offset_ms)[0][0]
    return first_ms - float(notebook.python("cell_began")) * 1000


@dataclass(frozen=True, slots=True)
class _Window:
    began_s: float
    ended_s: float
    cpu_s: float
    touched_s: float
    """When the clicks and the hovering that follow had ended."""
    values_ms: list[float]


def _watch(notebook: NotebookPage, cpu_s: Callable[[], float]) -> _Window:
    """Let a stretch pass, return what it cost by the given clock; then touch the picture."""
    began_s, cpu_began_s = time.time(), cpu_s()
    time.sleep(_STRETCH_S)
    ended_s, spent_s = time.time(), cpu_s() - cpu_began_s
    click_now_and_then(notebook)
    values_ms = hover_now_and_then(notebook)
    return _Window(began_s, ended_s, spent_s, time.time(), values_ms)


def _tree_cpu_s(kernel: psutil.Process) -> float:
    tree = [kernel, *kernel.children(recursive=True)]
    times = [process.cpu_times() for process in tree]
    return float(sum(spent.user + spent.system for spent in times))


def _main_thread_cpu_s(kernel: psutil.Process) -> float:
    # Linux gives a process's first thread the process's own number.
    main = next(thread for thread in kernel.threads() if thread.id == kernel.pid)
    return float(main.user_time + main.system_time)


def _check_spin(notebook: NotebookPage, window: _Window) -> float:
    """Return when the spinning cell began.

    Raises:
        RuntimeError: It did not spin in all of the busy stretch.
    """
    began_s = float(notebook.python("spin_began"))
    if not (began_s <= window.began_s and window.touched_s <= began_s + SPIN_S):
        raise RuntimeError(f"the busy stretch {window} lies outside the spinning cell {began_s = }")
    return began_s


def longest_pause_ms(samples: Sequence[Sample], began_s: float, ended_s: float) -> float | None:
    """Return the longest time without a new frame; None if fewer than two were shown."""
    shown_ms = [at_ms for at_ms, *_ in samples if began_s <= at_ms / 1000 <= ended_s]
    return max((later - at for at, later in pairwise(shown_ms)), default=None)


def _seen_again_ms(notebook: NotebookPage) -> float | None:
    """Collapse the output for longer than a view waits before it pauses, and open it again."""
    notebook.page.evaluate(_COLLAPSE, True)
    time.sleep(_AWAY_S)
    opened_ms = notebook.page.evaluate(_COLLAPSE, False)
    time.sleep(_AWAY_S)
    shown_ms = [at_ms for at_ms, *_ in notebook.page.evaluate("probe.samples")]
    return next((at_ms - opened_ms for at_ms in shown_ms if at_ms > opened_ms), None)


def _samples(notebook: NotebookPage, offset_ms: float) -> list[Sample]:
    samples = notebook.page.evaluate("probe.samples")
    return [(at_ms - offset_ms, *shown) for at_ms, *shown in samples]


def _click_latencies_ms(notebook: NotebookPage) -> list[float]:
    clicked_ms = notebook.page.evaluate("probe.clicks")
    samples = notebook.page.evaluate("probe.samples")
    return answered_ms(clicked_ms, [(at_ms, n_clicks) for at_ms, _, _, n_clicks in samples])


def _stretch(samples: Sequence[Sample], window: _Window, clicks_ms: Sequence[float]) -> Stretch:
    inside = [sample for sample in samples if window.began_s <= sample[0] / 1000 <= window.ended_s]
    shown_fps = len(inside) / (window.ended_s - window.began_s)
    if not inside:
        return Stretch(
            shown_fps=0.0,
            p50_ms=None,
            p95_ms=None,
            p99_ms=None,
            cpu_ms_per_frame=None,
            click_p50_ms=None,
            value_p50_ms=None,
        )
    ages_ms = [(int(at_ms * 1000) - stamp_us) % _WRAP_US / 1000 for at_ms, _, stamp_us, _ in inside]
    p50, p95, p99 = (float(value) for value in np.percentile(ages_ms, [50, 95, 99]))
    return Stretch(
        shown_fps=shown_fps,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cpu_ms_per_frame=window.cpu_s * 1000 / len(inside),
        click_p50_ms=statistics.median(clicks_ms),
        value_p50_ms=statistics.median(window.values_ms) if window.values_ms else None,
    )
