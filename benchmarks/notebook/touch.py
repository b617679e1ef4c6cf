"""What a person does to the picture, and how long the page takes to show its effect.

All times are the page's own, from the browser's time of the event to the rendering step, just
before it paints.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from tests.browser.lab import NotebookPage

__all__ = ["N_TOUCHES", "answered_ms", "click_now_and_then", "hover_now_and_then"]

N_TOUCHES = 20
_PICTURE = ".gpuview-video, .renderview-wrapper img"
_INSPECT = ".gpuview-inspect"
_GAP_S = 0.21
_GAP_MORE_S = 0.007  # each time, so that frames are not met at the same moment again and again

# The first answer about another element, after each move.
_WATCH_READOUT = """() => {
  const readout = document.querySelector(".gpuview-readout");
  const index = () => readout.querySelector(".gpuview-index")?.textContent;
  window.answers = [];
  let moved_ms = null, before = null;
  const note = (event) => ([moved_ms, before] = [event.timeStamp, index()]);
  window.addEventListener("pointermove", note, { capture: true });
  new MutationObserver(() => {
    if (moved_ms === null || index() === before) return;
    const began_ms = moved_ms;
    moved_ms = null;
    requestAnimationFrame((now_ms) => window.answers.push(Math.max(0, now_ms - began_ms)));
  }).observe(readout, { childList: true });
}"""


def click_now_and_then(notebook: NotebookPage) -> None:
    """Click on the page's picture `N_TOUCHES` times, in some six seconds."""
    for x, y in _places(notebook):
        notebook.page.mouse.click(x, y)


def hover_now_and_then(notebook: NotebookPage) -> list[float]:
    """Let the pointer rest on `N_TOUCHES` places with gpuview's inspector; takes six seconds.

    Returns:
        How long each value took to be shown, in ms; nothing if there is no inspector.
    """
    page = notebook.page
    if not page.locator(_INSPECT).count():
        return []
    page.locator(_INSPECT).first.click()
    page.evaluate(_WATCH_READOUT)
    for x, y in _places(notebook):
        page.mouse.move(x, y)
    answers_ms: list[float] = page.evaluate("window.answers")
    page.locator(_INSPECT).first.click()
    return answers_ms + [math.inf] * (N_TOUCHES - len(answers_ms))


def _places(notebook: NotebookPage) -> Iterator[tuple[float, float]]:
    """Give places of the picture now and then, each another one."""
    box = notebook.page.locator(_PICTURE).first.bounding_box()
    if box is None:
        raise RuntimeError("no picture is seen")
    for touch in range(N_TOUCHES):
        share = (touch + 1) / (N_TOUCHES + 1)
        yield box["x"] + share * box["width"], box["y"] + share * box["height"]
        time.sleep(_GAP_S + _GAP_MORE_S * touch)


def answered_ms(clicked_ms: Sequence[float], shown: Sequence[tuple[float, int]]) -> list[float]:
    """Return for each click how long its effect took; infinite if it was never seen.

    Args:
        clicked_ms: When each click was made, the first ones of the page.
        shown: When each frame was shown, in ms, and how many clicks it counts.
    """
    return [
        next((at_ms - click_ms for at_ms, n_clicks in shown if n_clicks > before), math.inf)
        for before, click_ms in enumerate(clicked_ms)
    ]
