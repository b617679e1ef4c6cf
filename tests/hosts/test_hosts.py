"""Notebooks other than JupyterLab show a moving picture: README's table of hosts."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import psutil
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

import gpuview
from tests.browser.carriers import BLOCKED, WATCHED
from tests.browser.lab import Lab, NotebookPage, expect_gone, launch_chromium
from tests.network.world import RAMP
from tests.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.hosts

PYTHON = Path(__file__).parents[2] / ".venv-hosts/bin/python"
PACKAGE = Path(gpuview.__file__).parents[1]
STREAM = RAMP + "stream = GPUStream(source)\nstream"
PATIENCE_MS = 120_000
SHOW_FRAMES = """
video => new Promise((resolve) => {
  let missing = 30;
  const count = () => --missing ? video.requestVideoFrameCallback(count) : resolve();
  video.requestVideoFrameCallback(count);
})
"""
MARIMO_APP = """
import marimo

app = marimo.App()


@app.cell
def _():
{body}
    return
"""


@pytest.fixture(autouse=True)
def no_leaks() -> None:
    """Replace the check of the other tests: Chromium keeps processes as it likes."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright, launch_chromium(playwright) as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        yield context


class Notebook7(Lab):
    command = (str(PYTHON), "-m", "notebook")
    app = "JupyterNotebookApp"

    def notebook_url(self, path: str) -> str:
        return f"{self.url}/notebooks/{path}?token={self.token}"


def test_notebook_7_plays_also_without_udp_and_on_a_page_of_the_streams_own(
    chromium: BrowserContext, tmp_path: Path
) -> None:
    with Notebook7(tmp_path, {"PYTHONPATH": str(PACKAGE)}, has_extension=True) as server:
        path = server.write_notebook("stream", [STREAM])
        notebook = NotebookPage(server, chromium, path)
        notebook.run(0)
        expect_moving_picture(notebook.page)
        alone = chromium.new_page()
        kernel_id = server.request("GET", "/api/kernels")[0]["id"]
        alone.goto(f"{server.url}/gpuview/view/{kernel_id}/s1?token={server.token}")
        expect_moving_picture(alone)
        blocked = NotebookPage(server, chromium, path, init_script=BLOCKED + WATCHED)
        blocked.run(0)
        expect_carried_picture(blocked.page, "socket")


def test_notebook_7_shows_the_saved_picture_where_there_is_no_view(
    chromium: BrowserContext, tmp_path: Path
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (640, 380)).save(picture, "png")
    data = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "gone", "version_major": 2},
        "image/png": base64.b64encode(picture.getvalue()).decode(),
        "text/plain": "GPUStream",
    }
    shown = nbformat.v4.new_output("display_data", data)
    with Notebook7(tmp_path) as server:
        path = server.write_notebook("saved", [STREAM])
        notebook = nbformat.read(server.notebooks / path, as_version=4)
        notebook.cells[0].outputs = [shown]
        server.write_trusted(path, notebook)
        page = NotebookPage(server, chromium, path).page
        page.locator(".gpuview-saved-picture").get_by_text("Run the cell").wait_for()
        page.close()


def test_voila_plays_also_without_udp(chromium: BrowserContext, tmp_path: Path) -> None:
    path = tmp_path / "stream.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(STREAM)]), path)
    with serving("voila", str(path), "--no-browser", home=tmp_path) as url:
        page = chromium.new_page()
        page.goto(url)
        expect_moving_picture(page)
        expect_comm_without_udp(chromium, url)


def test_marimo_run_plays_also_without_udp(chromium: BrowserContext, tmp_path: Path) -> None:
    with marimo("run", tmp_path) as url:
        page = chromium.new_page()
        page.goto(url)
        expect_moving_picture(page)
        expect_comm_without_udp(chromium, url)


def test_marimo_edit_plays_and_plays_again_in_a_page_without_udp(
    chromium: BrowserContext, tmp_path: Path
) -> None:
    settings = tmp_path / "xdg_config_home/marimo/marimo.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[runtime]\nauto_instantiate = true\n")  # run the cells when it opens
    with marimo("edit", tmp_path) as url:
        page = chromium.new_page()
        page.goto(url)
        expect_moving_picture(page)
        expect_comm_without_udp(chromium, url)


@contextlib.contextmanager
def marimo(command: str, folder: Path) -> Iterator[str]:
    """Serve a notebook of one cell, which shows a stream."""
    path = folder / "stream.py"
    path.write_text(MARIMO_APP.format(body="\n".join(f"    {line}" for line in STREAM.split("\n"))))
    with serving("marimo", command, str(path), "--headless", "--no-token", home=folder) as url:
        yield url


def expect_comm_without_udp(chromium: BrowserContext, url: str) -> None:
    """Open the page where no UDP passes: the picture comes through the kernel.

    And the page asks for no extension, which these servers do not have.
    """
    page = chromium.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.add_init_script(script=BLOCKED + WATCHED)
    page.goto(url)
    expect_carried_picture(page, "comm")
    assert not [socket for socket in sockets if "gpuview" in socket]


def expect_carried_picture(page: Page, carrier: str) -> None:
    """Wait for a view that plays over a carrier other than WebRTC, and close the page."""
    page.locator(f".gpuview[data-state=playing][data-carrier={carrier}]").wait_for()
    page.wait_for_function("window.seen.drawn > 30", polling=100)
    page.close()


def expect_moving_picture(page: Page) -> None:
    """Wait for a view that plays, and close the page. marimo has it in a shadow root."""
    page.locator(".gpuview[data-state=playing] video.gpuview-video").evaluate(SHOW_FRAMES)
    page.close()


@contextlib.contextmanager
def serving(module: str, *words: str, home: Path) -> Iterator[str]:
    """Run a server that reads no configuration of this machine, and give its URL."""
    port = free_port()
    log_path = home / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", module, *words, f"--port={port}"],
            env={**os.environ, **private(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def listens() -> bool:
        assert process.poll() is None, log_path.read_text()
        with socket.socket() as sock:
            return sock.connect_ex(("localhost", port)) == 0

    try:
        wait_until(listens, f"{module} listens")
        yield f"http://localhost:{port}/"
    finally:
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait()
            expect_gone(below)


def private(home: Path) -> Mapping[str, str]:
    folders = ["HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"]
    folders += ["IPYTHONDIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"]
    own = {name: str(home / name.lower()) for name in folders}
    return {"PYTHONPATH": str(PACKAGE), "GPUVIEW_PUBLIC_IP": "127.0.0.1", **own}
