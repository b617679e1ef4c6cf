"""A picture that nobody can see is neither made nor sent, and is back as soon as it can be seen."""

from __future__ import annotations

import psutil
import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import COUNT_CONNECTIONS, states, wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

TWO_STREAMS = """
import time
import torch
from gpuview import GPUStream

asked = {"first": 0, "second": 0}
asked_s = {}

def source(name):
    def ask():
        asked[name] += 1
        asked_s[name] = time.monotonic()
        return torch.full((90, 160), asked[name] % 256, dtype=torch.uint8)
    return ask

first, second = (GPUStream(source(name), fps=30) for name in asked)
"""

# How nobody comes to see the first view.
HIDE = """
([way, is_hidden]) => {
  const view = document.querySelector(".gpuview");
  const output = view.closest(".jp-Cell-outputArea");
  if (way === "collapsed") output.style.display = is_hidden ? "none" : "";
  if (way === "scrolled away") view.style.transform = is_hidden ? "translateY(9000px)" : "";
  if (way === "another tab") {
    Object.defineProperty(document, "hidden", { get: () => is_hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }
}
"""

# How long a frame takes while the view plays: the mean of some.
INTERVAL_MS = """
() => new Promise(resolve => {
  const video = document.querySelector("video.gpuview-video");
  const times = [];
  const count = now => {
    times.push(now);
    if (times.length > 20) resolve((now - times[0]) / 20);
    else video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
})
"""

# Lets the view be seen again; how long it takes until a frame is shown that was not shown before.
COME_BACK_MS = f"""
way => new Promise(resolve => {{
  const video = document.querySelector("video.gpuview-video");
  const grey = () => probe.pixels(video, [[80, 45]])[0][0];
  const kept = grey();
  const began = performance.now();
  const look = now => {{
    if (Math.abs(grey() - kept) > 1) resolve(now - began);
    else video.requestVideoFrameCallback(look);
  }};
  ({HIDE.strip()})([way, false]);
  video.requestVideoFrameCallback(look);
}})
"""

A_FEW = 15
"""Frames, of 30 a second. A new connection or a missed keyframe takes many more."""

N_STREAMS = 10
N_ON_SCREEN = 2

TEN_STREAMS = f"""
import ipywidgets
import time
import torch
from gpuview import GPUStream

asked = [0] * {N_STREAMS}
asked_s = {{}}

def source(number):
    def ask():
        asked[number] += 1
        asked_s[number] = time.monotonic()
        return torch.full((90, 160), asked[number] % 256, dtype=torch.uint8)
    return ask

streams = [GPUStream(source(number), fps=10) for number in range({N_STREAMS})]
columns = ipywidgets.Layout(grid_template_columns="repeat(5, minmax(0, 1fr))")

def encoded():
    return [sum(each.frames for each in it.stats().encoders) for it in streams]
"""

SHOW_TEN = "ipywidgets.GridBox(streams, layout=columns)"

# All but the first few.
COLLAPSE_MOST = f"""
is_collapsed => {{
  const views = [...document.querySelectorAll(".gpuview")].slice({N_ON_SCREEN});
  for (const view of views) view.style.display = is_collapsed ? "none" : "";
}}
"""

# As JupyterLab collapses it.
COLLAPSE = """
is_collapsed => {
  const output = document.querySelectorAll(".gpuview")[0].closest(".jp-Cell-outputArea");
  output.style.display = is_collapsed ? "none" : "";
}
"""


def test_output_that_is_collapsed_costs_its_source_nothing_until_it_is_opened(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(TWO_STREAMS, "first", "second")
    for cell in range(3):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    wait_for_more(notebook, "first", 10)

    notebook.page.evaluate(COLLAPSE, True)
    wait_until(lambda: are_paused(notebook) == [True, False], "one view pauses")
    wait_for_more(notebook, "second", 5)  # by then the frame that was being made is finished
    n_asked = notebook.python("asked['first']")
    wait_for_more(notebook, "second", 30)
    assert notebook.python("asked['first']") == n_asked
    assert notebook.python("len(first.viewers)") == 1

    notebook.page.evaluate(COLLAPSE, False)
    wait_until(lambda: are_paused(notebook) == [False, False], "it goes on")
    wait_for_more(notebook, "first", 10)
    assert states(notebook) == ["playing", "playing"]


def test_a_view_that_is_seen_again_goes_on_within_a_few_frames_over_the_same_connection(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(TWO_STREAMS, "first", init_script=COUNT_CONNECTIONS)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    wait_for_more(notebook, "first", 10)
    connections = notebook.page.evaluate("connections")
    interval_ms = notebook.page.evaluate(INTERVAL_MS)
    for way in ("collapsed", "scrolled away", "another tab"):
        notebook.page.evaluate(HIDE, [way, True])
        wait_until(lambda: are_paused(notebook) == [True], f"{way}, it pauses")
        wait_until_it_rests(notebook)
        pause_ms = notebook.page.evaluate(COME_BACK_MS, way)
        assert pause_ms < A_FEW * interval_ms, (way, pause_ms, interval_ms)
        assert states(notebook) == ["playing"]
    assert notebook.page.evaluate("connections") == connections


def test_ten_streams_cost_what_is_on_the_screen(lab: Lab, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(TEN_STREAMS, SHOW_TEN)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, *["playing"] * N_STREAMS)
    kernel = lab.kernel_process(notebook.kernel_id)
    all_cost = cpu_per_frame(notebook, kernel)

    notebook.page.evaluate(COLLAPSE_MOST, True)
    is_off = [n >= N_ON_SCREEN for n in range(N_STREAMS)]
    wait_until(lambda: are_paused(notebook) == is_off, "all but a few pause")
    wait_until_it_rests(notebook, N_ON_SCREEN)
    asked, encoded = notebook.python("(asked, encoded())")
    few_cost = cpu_per_frame(notebook, kernel)
    assert notebook.python("asked")[N_ON_SCREEN:] == asked[N_ON_SCREEN:]
    assert notebook.python("encoded()")[N_ON_SCREEN:] == encoded[N_ON_SCREEN:]
    assert few_cost < all_cost / 2


def cpu_per_frame(notebook: NotebookPage, kernel: psutil.Process) -> float:
    """Return what the kernel and its media process take for each frame of the first stream."""

    def spent() -> float:
        times = [each.cpu_times() for each in (kernel, *kernel.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    began_s, began = spent(), notebook.python("asked[0]")
    wait_for_more(notebook, 0, 50)
    return (spent() - began_s) / (notebook.python("asked[0]") - began)


def wait_until_it_rests(notebook: NotebookPage, stream: int | str = "first") -> None:
    """Wait until a source has not been asked for a while."""
    rest_s = f"time.monotonic() - asked_s[{stream!r}]"
    wait_until(lambda: notebook.python(rest_s) > 0.5, f"{stream} rests")


def wait_for_more(notebook: NotebookPage, name: int | str, more: int) -> None:
    """Wait until a source has been asked so many times more."""
    target = notebook.python(f"asked[{name!r}]") + more
    wait_until(
        lambda: notebook.python(f"asked[{name!r}]") >= target,
        f"{name} is asked {more} times more",
        describe=lambda: str(notebook.python("asked")),
    )


def are_paused(notebook: NotebookPage) -> list[bool]:
    found: list[bool] = notebook.page.evaluate(
        "[...document.querySelectorAll('.gpuview')].map(root => 'paused' in root.dataset)"
    )
    return found
