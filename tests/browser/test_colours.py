"""The page shows a tensor's exact colours."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import NotebookPage
from tests.browser.views import largest_error, wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

TOLERANCE = 3
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
    "tab:red": (214, 39, 40),
    "tab:green": (44, 160, 44),
    "tab:blue": (31, 119, 180),
}
POINTS = [(2, 2), (637, 2), (320, 180), (2, 357), (637, 357)]

MAKE = """
import torch
from gpuview import GPUStream

stream = GPUStream()

def push(*rgb):
    stream.push(torch.tensor(rgb, dtype=torch.uint8).expand(360, 640, 3))

push(0, 0, 0)
"""

WITHOUT_H264 = """
const isNot = (codec) => codec.mimeType !== "video/H264";
const capabilities = RTCRtpReceiver.getCapabilities;
RTCRtpReceiver.getCapabilities = (kind) => {
  const all = capabilities.call(RTCRtpReceiver, kind);
  return { ...all, codecs: all.codecs.filter(isNot) };
};
const { setCodecPreferences } = RTCRtpTransceiver.prototype;
RTCRtpTransceiver.prototype.setCodecPreferences = function (codecs) {
  setCodecPreferences.call(this, codecs.filter(isNot));
};
const { addTransceiver } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.addTransceiver = function (...args) {
  const transceiver = addTransceiver.apply(this, args);
  transceiver.setCodecPreferences(RTCRtpReceiver.getCapabilities("video").codecs);
  return transceiver;
};
"""


@pytest.mark.parametrize(("codec", "init_script"), [("H264", ""), ("VP8", WITHOUT_H264)])
def test_flat_colours_arrive_within_three_levels(
    open_notebook: OpenNotebook, codec: str, init_script: str
) -> None:
    notebook = open_notebook(MAKE, "stream", init_script=init_script)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    notebook.page.locator(f".gpuview[data-codec={codec}]").wait_for()

    for name, colour in COLOURS.items():
        notebook.python(f"push{colour}")
        wait_for_colour(notebook, name, colour)


def wait_for_colour(notebook: NotebookPage, name: str, colour: tuple[int, int, int]) -> None:
    wait_until(
        lambda: largest_error(shown(notebook), colour) <= TOLERANCE,
        f"{name} {colour} is within {TOLERANCE} levels",
        describe=lambda: shown(notebook),
    )


def shown(notebook: NotebookPage) -> list[list[int]]:
    script = "points => probe.pixels(document.querySelector('video.gpuview-video'), points)"
    pixels: list[list[int]] = notebook.page.evaluate(script, POINTS)
    return pixels
