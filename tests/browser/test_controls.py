"""The buttons below the picture, by keyboard, in a real JupyterLab."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import av
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

import gpuview
from tests.browser.conftest import OpenNotebook
from tests.browser.inspected import Inspected
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import wait_for_frames, wait_for_states, wait_for_viewers
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

MAKE = """
import hashlib
import torch
from gpuview import GPUStream

torch.manual_seed(0)
turn = 0

def source():
    global turn
    turn += 1
    return torch.full((180, 320), turn % 256, dtype=torch.uint8)

moving = stream = GPUStream(source, fps=30)
still = GPUStream()
noise = torch.randint(0, 256, (180, 320, 3), dtype=torch.uint8)
digest = hashlib.sha256(noise.numpy().tobytes()).hexdigest()
"""

# Too narrow for one line.
NARROW = "import ipywidgets; ipywidgets.Box([moving], layout={'width': '320px'})"


def test_pause_by_keyboard_keeps_the_picture_and_makes_no_more_of_them(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_with(open_notebook, "stream")
    wait_for_viewers(notebook, 1)
    pause = press(notebook, "Pause")
    wait_for_states(notebook, "paused")
    expect(pause).to_have_count(0)
    kept = pixel(notebook)
    turn = wait_until_it_rests(notebook)
    press(notebook, "Play", exact=True)
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 3)
    assert notebook.python("turn") > turn
    wait_until(lambda: pixel(notebook) != kept, "the picture goes on")


def test_exact_picture_is_saved_by_keyboard_with_every_pixel(
    open_notebook: OpenNotebook, tmp_path: Path
) -> None:
    notebook = open_with(open_notebook, "still.push(noise); still")
    notebook.page.locator(".gpuview[data-exact]").wait_for()
    save = notebook.page.get_by_role("button", name="Save a PNG")
    expect(save).to_have_attribute("title", re.compile("every pixel"))
    with notebook.page.expect_download() as download:
        save.press("Enter")
    assert re.fullmatch(r"gpuview(-\d\d)?\d\d(-\d\d){5}\.png", download.value.suggested_filename)
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as image:
        saved = hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()
    assert saved == notebook.python("digest")


def test_recording_by_keyboard_leaves_a_file_beside_the_notebook(
    open_notebook: OpenNotebook, lab: Lab
) -> None:
    notebook = open_with(open_notebook, "stream")
    press(notebook, "Record", exact=True)
    stop = notebook.page.get_by_role("button", name="Stop recording")
    expect(stop).to_have_attribute("aria-pressed", "true", timeout=30_000)
    wait_for_frames(notebook, 10)
    stop.press("Enter")
    notebook.page.locator(".gpuview-said").get_by_text("saved gpuview-").wait_for(state="attached")
    (path,) = lab.notebooks.glob("gpuview-*-1.mp4")
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) > 5


def test_full_screen_by_keyboard_has_the_picture(open_notebook: OpenNotebook) -> None:
    notebook = open_with(open_notebook, "stream")
    press(notebook, "Full screen")
    stage = notebook.page.locator(".gpuview-stage:fullscreen")
    stage.wait_for()
    assert stage.bounding_box() == {"x": 0, "y": 0, **(notebook.page.viewport_size or {})}
    notebook.page.evaluate("document.exitFullscreen()")
    stage.wait_for(state="detached")


def test_link_leads_to_a_page_that_plays_and_whose_values_can_be_read(
    chromium: BrowserContext, tmp_path: Path
) -> None:
    package = {"PYTHONPATH": str(Path(gpuview.__file__).parents[1])}
    with Lab(tmp_path, package, has_extension=True) as lab:
        notebook = NotebookPage(lab, chromium, lab.write_notebook("link", [MAKE, "stream"]))
        notebook.run(0)
        notebook.run(1)
        wait_for_states(notebook, "playing")
        chromium.grant_permissions(["clipboard-read", "clipboard-write"])
        press(notebook, "Copy a link")
        notebook.page.get_by_text("link copied").wait_for()
        alone = chromium.new_page()
        alone.goto(notebook.page.evaluate("navigator.clipboard.readText()"))
        alone.locator(".gpuview[data-state=playing]").wait_for()
        (row, column), value = Inspected(alone).hover(0.25, 0.75)
        assert (row, column) == (pytest.approx(135, abs=3), pytest.approx(80, abs=3))
        assert 0 <= int(value) <= 255
        for page in chromium.pages:
            page.close()
        lab.shutdown_kernels()


def test_server_without_the_extension_is_asked_for_nothing_that_it_has_not(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(MAKE, "stream")
    asked: list[str] = []
    notebook.page.on("request", lambda request: asked.append(request.url))
    notebook.page.on("websocket", lambda socket: asked.append(socket.url))
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 30)
    assert not notebook.page.get_by_role("button", name="Copy a link").is_visible()
    # Each would be an error in the browser's console.
    assert [url for url in asked if "/gpuview/" in url] == []


def test_nothing_overflows_a_narrow_cell(open_notebook: OpenNotebook) -> None:
    notebook = open_with(open_notebook, NARROW)
    press(notebook, "Details")
    notebook.page.locator(".gpuview-rows").wait_for()
    notebook.page.locator(".gpuview-graphs").wait_for()
    # As beside a server with the extension: the widest line of buttons.
    notebook.page.evaluate("document.querySelector('.gpuview-link').hidden = false")
    assert sticking_out(notebook.page) == []


def open_with(open_notebook: OpenNotebook, cell: str) -> NotebookPage:
    notebook = open_notebook(MAKE, cell)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    return notebook


def press(notebook: NotebookPage, name: str, *, exact: bool = False) -> Locator:
    button = notebook.page.get_by_role("button", name=name, exact=exact)
    button.press("Enter")
    return button


def pixel(notebook: NotebookPage) -> object:
    script = """() => {
      const context = new OffscreenCanvas(1, 1).getContext("2d");
      context.drawImage(document.querySelector(".gpuview-video"), 0, 0);
      return [...context.getImageData(0, 0, 1, 1).data];
    }"""
    return notebook.page.evaluate(script)


def wait_until_it_rests(notebook: NotebookPage) -> int:
    """Wait until the source is asked for nothing, and return how often it was."""
    before = -1

    def rests() -> bool:
        nonlocal before
        now: int = notebook.python("turn")
        is_same, before = now == before, now
        return is_same

    wait_until(rests, "the source rests")
    return before


def sticking_out(page: Page) -> object:
    script = """() => {
      const right = document.querySelector(".gpuview").getBoundingClientRect().right;
      const all = [...document.querySelectorAll(".gpuview *")];
      return all.filter(each => each.getBoundingClientRect().right > right + 1)
        .map(each => each.className);
    }"""
    return page.evaluate(script)
