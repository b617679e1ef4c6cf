"""Where WebRTC brings no picture, other carriers do, in its true colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import gpuview
from tests.browser.carriers import BLOCKED, WATCHED, carrier_of, details, seen, text
from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import largest_error, states, wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

COLOURS = {"grey": (128, 128, 128), "red": (255, 0, 0), "blue": (0, 0, 255), "tab": (214, 39, 40)}
POINTS = [(2, 2), (637, 2), (320, 180), (2, 357), (637, 357)]
TOLERANCE = 3

PUSHED = """
import torch
from gpuview import GPUStream, Settings

stream = GPUStream(settings=Settings(carriers="{carrier}"))

def push(*rgb):
    stream.push(torch.tensor(rgb, dtype=torch.uint8).expand(360, 640, 3))

push(0, 0, 0)
"""

# A moving ramp, so that every frame differs.
PULLED = """
import torch
from gpuview import GPUStream

ramp = torch.arange(640).remainder(256).to(torch.uint8).expand(360, 640)
turn = 0

def source():
    global turn
    turn += 1
    return ramp.roll(turn, dims=1)

stream = GPUStream(source, fps=30)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab with the extension of its server."""
    package = Path(gpuview.__file__).parents[1]
    env = {"PYTHONPATH": str(package)}
    with Lab(tmp_path_factory.mktemp("lab"), env, has_extension=True) as lab:
        yield lab


@pytest.mark.parametrize(
    ("carrier", "caption", "codec", "init_script"),
    [
        ("socket", "playing over WebSocket", "H264", ""),
        ("comm", "playing through the kernel", "H264", ""),
        ("socket", "playing over WebSocket", "JPEG", "delete window.VideoDecoder;"),
    ],
)
def test_colours_arrive_over_each_carrier_and_the_caption_says_how(
    open_notebook: OpenNotebook, carrier: str, caption: str, codec: str, init_script: str
) -> None:
    notebook = open_notebook(PUSHED.format(carrier=carrier), "stream", init_script=init_script)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    assert text(notebook, ".gpuview-label") == caption
    notebook.page.locator(f".gpuview[data-codec={codec}]").wait_for()
    for name, colour in COLOURS.items():
        notebook.python(f"push{colour}")
        wait_until(
            lambda colour=colour: largest_error(shown(notebook), colour) <= TOLERANCE,
            f"{name} {colour} is within {TOLERANCE} levels",
            describe=lambda: str(shown(notebook)),
        )
    viewers = notebook.python("[(it.carrier, it.state) for it in stream.stats().viewers]")
    assert viewers == [(carrier, "connected")]


def test_where_no_udp_passes_the_websocket_shows_the_picture_and_webrtc_takes_over_when_it_can(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULLED, "stream", init_script=BLOCKED + WATCHED)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    assert carrier_of(notebook) == "socket"
    wait_until(lambda: seen(notebook, "drawn") > 30, "the picture moves")
    float_button = notebook.page.get_by_role("button", name="Picture in picture")
    float_button.click()
    wait_for_floating_frames(notebook.page)

    # WebRTC fails behind it, which nobody has to see.
    wait_until(lambda: "UDP" in details(notebook), "WebRTC has given up")
    assert states(notebook) == ["playing"]
    assert text(notebook, ".gpuview-message") == ""

    notebook.page.evaluate("window.pass_ = true; window.dispatchEvent(new Event('online'))")
    wait_until(lambda: carrier_of(notebook) == "webrtc", "WebRTC has taken over")
    wait_until(
        lambda: notebook.python("[it.carrier for it in stream.stats().viewers]") == ["webrtc"],
        "the other viewer is gone",
    )
    assert seen(notebook, "pictures") == ["CANVAS", "VIDEO"]
    assert seen(notebook, "blank") == 0

    # The small window goes on with what has taken over, until it is closed.
    wait_for_floating_frames(notebook.page)
    float_button.click()
    expect(float_button).to_have_attribute("aria-pressed", "false")
    assert notebook.page.evaluate("document.pictureInPictureElement") is None


# Only some of the frames that are drawn are counted: those that the browser has composed.
FLOATING = """
() => {
  const video = document.pictureInPictureElement;
  if (video === null) return false;
  window.floated = 0;
  if (video.isCounted) return true;
  video.isCounted = true;
  const count = () => {
    window.floated += 1;
    video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
  return true;
}
"""


def wait_for_floating_frames(page: Page) -> None:
    """Wait until the browser's small window has shown ten more frames of the picture."""
    wait_until(lambda: page.evaluate(FLOATING), "the window is open")
    wait_until(lambda: page.evaluate("window.floated") > 10, "its picture moves")
    assert page.evaluate("document.pictureInPictureElement.videoWidth") == 640


def shown(notebook: NotebookPage) -> list[list[int]]:
    # The first is the moving picture; one without loss may lie over it.
    script = "points => probe.pixels(document.querySelector('.gpuview-video'), points)"
    pixels: list[list[int]] = notebook.page.evaluate(script, POINTS)
    return pixels
