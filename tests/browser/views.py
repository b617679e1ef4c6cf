"""What the tests ask a page about its gpuview views."""

from __future__ import annotations

from collections.abc import Sequence

from tests.browser.lab import NotebookPage
from tests.waiting import wait_until

__all__ = [
    "COUNT_CONNECTIONS",
    "largest_error",
    "states",
    "wait_for_frames",
    "wait_for_states",
    "wait_for_text",
    "wait_for_viewers",
    "wait_until_silent",
]

COUNT_CONNECTIONS = """
window.connections = 0;
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    window.connections += 1;
  }
};
"""
"""An init script: the page counts the WebRTC connections that it makes."""


def states(notebook: NotebookPage) -> list[str]:
    """Return the state of each view, from the top."""
    script = "[...document.querySelectorAll('.gpuview')].map(root => root.dataset.state)"
    found: list[str] = notebook.page.evaluate(script)
    return found


def wait_for_states(notebook: NotebookPage, *wanted: str, timeout_s: float = 120.0) -> None:
    """Wait until the page has exactly these views, from the top."""
    wait_until(
        lambda: states(notebook) == list(wanted),
        f"the views are {wanted}",
        timeout_s,
        describe=lambda: f"{states(notebook)} {texts(notebook)}",
    )


def texts(notebook: NotebookPage) -> list[str]:
    """Return the text of each view."""
    found: list[str] = notebook.page.locator(".gpuview").all_inner_texts()
    return found


def wait_for_text(notebook: NotebookPage, text: str) -> None:
    """Wait until the first view shows ``text``."""
    notebook.page.locator(".gpuview").first.get_by_text(text).first.wait_for()


def wait_until_silent(notebook: NotebookPage, text: str) -> None:
    """Wait until no view shows ``text``."""
    wait_until(
        lambda: not any(text in said for said in texts(notebook)),
        f"no view says {text!r}",
        describe=lambda: texts(notebook),
    )


def wait_for_frames(notebook: NotebookPage, more: int, *, views: Sequence[int] = (0,)) -> None:
    """Bring the tab to the front and wait until each view has shown ``more`` frames."""
    notebook.page.bring_to_front()  # browsers show few frames in a hidden tab
    for view in views:
        _wait_for_frames(notebook, more, view)


def _wait_for_frames(notebook: NotebookPage, more: int, view: int) -> None:
    notebook.page.locator(".gpuview").nth(view).wait_for(state="attached")
    # At once: Playwright would wait until the output rests, and a loop replaces it meanwhile.
    scroll = (
        "view => document.querySelectorAll('.gpuview')[view]?.scrollIntoView({block: 'nearest'})"
    )
    notebook.page.evaluate(scroll, view)
    target = _frames_shown(notebook, view) + more
    wait_until(
        lambda: _frames_shown(notebook, view) >= target,
        f"view {view} shows {more} more frames",
        describe=lambda: f"{states(notebook)} {texts(notebook)}",
    )


def _frames_shown(notebook: NotebookPage, view: int) -> int:
    script = "view => probe.framesShown(document.querySelectorAll('.gpuview')[view])"
    shown: int = notebook.page.evaluate(script, view)
    return shown


def wait_for_viewers(notebook: NotebookPage, wanted: int) -> None:
    """Wait until the kernel counts ``wanted`` viewers of ``stream``."""
    wait_until(
        lambda: notebook.python("len(stream.viewers)") == wanted,
        f"the kernel has {wanted} viewers",
        describe=lambda: str(notebook.python("len(stream.viewers)")),
    )


def largest_error(pixels: Sequence[Sequence[int]], colour: Sequence[int]) -> int:
    """Return by how many levels any channel of any pixel differs from ``colour``."""
    return max(
        abs(channel - wanted)
        for pixel in pixels
        for channel, wanted in zip(pixel, colour, strict=True)
    )
