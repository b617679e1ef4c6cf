"""A real stream of a real kernel, shown by the Jupyter server to a real Chromium."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from playwright.sync_api import Page, expect

from gpuview.server.refusal import CloseCode
from tests.ports import free_port
from tests.server.jupyter import JupyterServer, closing_of
from tests.server.notebook import ServedKernel
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.kernel]

SHOW = """
import torch
from gpuview import GPUStream
stream = GPUStream(lambda: torch.full((96, 128, 3), 200, dtype=torch.uint8))
display(stream)
"""
# A long call that holds the GIL for half a second, again and again.
BUSY = """
import random
numbers = [random.random() for _ in range(600_000)]
while True:
    sorted(numbers)
"""
END_MEDIA = """
import os, signal
ended = stream._engine.process.pid
os.kill(ended, signal.SIGKILL)
"""
LEVEL = """
() => {
  const screen = document.querySelector(".gpuview-video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const context = canvas.getContext("2d");
  context.drawImage(screen, 0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data[1];
}
"""


@pytest.fixture(autouse=True)
def no_leaks() -> None:
    """Replace the check of the other tests, because Chromium keeps processes as it likes."""


@pytest.fixture(scope="module", params=["webrtc", "socket"])
def carrier(request: pytest.FixtureRequest) -> str:
    """The best carrier that the kernel allows; the socket is always there."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(carrier: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    env = {"GPUVIEW_CARRIERS": f"{carrier},socket", "GPUVIEW_PUBLIC_IP": "127.0.0.1"}
    with JupyterServer(tmp_path_factory.mktemp("jupyter"), env=env) as server:
        yield server


@pytest.fixture(scope="module")
def kernel(server: JupyterServer) -> Iterator[ServedKernel]:
    with ServedKernel(server) as kernel:
        yield kernel


@pytest.fixture
def stream(kernel: ServedKernel) -> Iterator[str]:
    """The name of a stream that is shown in the kernel, and no other is."""
    kernel.run(SHOW)
    yield str(wait_until(lambda: health_of(kernel), "the media process is up")["name"])
    kernel.run("stream.close()")
    wait_until(lambda: not health_of(kernel), "the stream is gone")


def open_view(page: Page, kernel: ServedKernel, stream: str) -> None:
    """Open the page of the kernel's stream."""
    server = kernel.server
    page.goto(f"{server.url}/gpuview/view/{kernel.id}/{stream}?token={server.token}")


def holds(kernel: ServedKernel, expression: str) -> bool:
    """Tell whether an expression is true in the kernel."""
    try:
        kernel.run(f"assert {expression}")
    except RuntimeError:
        return False
    return True


def expect_picture(page: Page) -> None:
    """Wait until the page shows the stream."""
    expect(page.locator("main")).to_have_attribute("data-state", "playing", timeout=20_000)
    assert abs(page.evaluate(LEVEL) - 200) <= 4


def test_page_shows_the_stream_also_while_a_cell_holds_the_gil(
    kernel: ServedKernel, stream: str, page: Page, carrier: str
) -> None:
    open_view(page, kernel, stream)
    expect_picture(page)
    expect(page.locator("main")).to_have_attribute("data-status", "live")
    # A worse one may be quicker.
    expect(page.locator("main")).to_have_attribute("data-carrier", carrier, timeout=20_000)
    kernel.start(BUSY)
    page.reload()
    expect_picture(page)
    kernel.interrupt()


def test_page_comes_back_after_the_media_process(
    kernel: ServedKernel, stream: str, page: Page
) -> None:
    open_view(page, kernel, stream)
    expect_picture(page)
    kernel.run(END_MEDIA)
    came_back = "stream._engine.process.pid != ended and stream.viewers"
    wait_until(lambda: holds(kernel, came_back), "the next process has the page as a viewer")
    expect_picture(page)


def test_page_keeps_its_picture_while_the_server_is_away_and_says_what_to_do_when_it_is_back(
    page: Page, tmp_path: Path
) -> None:
    env = {"GPUVIEW_CARRIERS": "socket"}
    # Not Jupyter's usual one, which another server takes once this one is gone.
    port = {"ServerApp.port": free_port(), "ServerApp.port_retries": 0}
    with (
        JupyterServer(tmp_path / "first", port, env=env) as server,
        ServedKernel(server) as kernel,
    ):
        kernel.run(SHOW)
        stream = str(wait_until(lambda: health_of(kernel), "the media process is up")["name"])
        open_view(page, kernel, stream)
        expect_picture(page)
        server.kill()
    main = page.locator("main")
    expect(main).to_contain_text("again", timeout=30_000)
    assert abs(page.evaluate(LEVEL) - 200) <= 4
    with JupyterServer(tmp_path / "second", port, token=server.token):
        expect(main).to_have_attribute("data-state", "gone", timeout=60_000)
        expect(main).to_contain_text("kernel")


def test_page_says_that_the_stream_is_closed(kernel: ServedKernel, stream: str, page: Page) -> None:
    open_view(page, kernel, stream)
    expect_picture(page)
    kernel.run("stream.close()")
    expect(page.locator("main")).to_have_attribute("data-state", "closed")


def test_kernel_knows_that_its_server_has_the_extension(kernel: ServedKernel, stream: str) -> None:
    assert holds(kernel, "stream.has_server_extension")


def test_health_has_the_page_as_a_viewer(kernel: ServedKernel, stream: str, page: Page) -> None:
    open_view(page, kernel, stream)
    expect_picture(page)
    found = health_of(kernel)
    assert (found["name"], found["state"]) == (stream, "live")
    assert found["viewers"] >= 1


def test_guessed_stream_is_refused_by_the_media_process(kernel: ServedKernel, stream: str) -> None:
    page = kernel.server.connect(f"{kernel.id}/s77")
    refusal = json.loads(page.recv())
    code, _ = closing_of(page)
    assert code == CloseCode.GONE
    assert (refusal["type"], refusal["view"]) == ("Refusal", "")
    assert "s77" in refusal["problem"]


def test_garbage_ends_its_own_connection_only(
    kernel: ServedKernel, stream: str, page: Page
) -> None:
    open_view(page, kernel, stream)
    expect_picture(page)
    n_frames = 0
    while n_frames < 10_000:
        n_frames += send_garbage(kernel, stream, 10_000 - n_frames)
    wait_until(lambda: health_of(kernel)["viewers"], "the page is a viewer")
    expect_picture(page)


def send_garbage(kernel: ServedKernel, stream: str, n_frames: int) -> int:
    """Send so many frames of garbage over one WebSocket, or until it is closed; return how many."""
    page = kernel.server.connect(f"{kernel.id}/{stream}")
    try:
        for sent in range(n_frames):
            page.send_binary(os.urandom(sent % 500))
    except (OSError, websocket.WebSocketConnectionClosedException):
        return sent
    finally:
        page.shutdown()
    return n_frames


def health_of(kernel: ServedKernel) -> dict[str, Any]:
    """Return what the server says of the kernel's stream; empty while it cannot say anything."""
    state = kernel.server.get("/gpuview/health").json()["kernels"][kernel.id]
    return dict(state["streams"][0]) if state.get("streams") else {}
