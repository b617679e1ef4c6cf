"""A picture that stands still is exact: the page has the tensor's own pixels."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import NotebookPage
from tests.browser.views import wait_for_frames, wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

# Lines of one pixel in pure colours, which 4:2:0 mixes.
MAKE = """
import hashlib
import torch
from gpuview import GPUStream

stream = GPUStream()
colours = torch.tensor([[255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 0, 255]], dtype=torch.uint8)

def push(turn):
    lines = colours[(torch.arange(640) + turn) % 4].expand(360, 640, 3).clone()
    lines[::3] = torch.tensor([0, 255, 255], dtype=torch.uint8)
    lines[180:] = lines[180:].flip(-1)
    stream.push(lines)

def digest():
    return hashlib.sha256(stream.frame().numpy().tobytes()).hexdigest()

push(0)
"""

# Writes down when a still is laid over the video and taken away.
OBSERVE = """() => {
  window.covers = [];
  const root = document.querySelector(".gpuview");
  const note = () => window.covers.push(root.dataset.exact !== undefined);
  new MutationObserver(note).observe(root, { attributeFilter: ["data-exact"] });
}"""


def test_still_picture_has_every_pixel_and_goes_with_the_next_frame(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(MAKE, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")

    wait_for_exact(notebook)
    assert "exact" in notebook.page.locator(".gpuview-figures").inner_text()
    assert boxes(notebook, "canvas") == boxes(notebook, "video")
    notebook.page.evaluate(OBSERVE)
    wait_for_frames(notebook, 2)
    assert notebook.page.evaluate("covers") == []  # repeats do not make it flicker

    notebook.python("push(1)")

    wait_until(
        lambda: notebook.page.evaluate("covers") == [False, True], "the still gave way to the next"
    )
    wait_for_exact(notebook)


def wait_for_exact(notebook: NotebookPage) -> None:
    notebook.page.locator(".gpuview[data-exact] canvas.gpuview-video").wait_for()
    assert digest(notebook) == notebook.python("digest()")


def digest(notebook: NotebookPage) -> str:
    script = "() => probe.digest(document.querySelector('canvas.gpuview-video'))"
    return str(notebook.page.evaluate(script))


def boxes(notebook: NotebookPage, tag: str) -> object:
    return notebook.page.locator(f"{tag}.gpuview-video").bounding_box()
