"""People touch the picture and turn knobs, also while a cell runs, over each carrier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpuview
from tests.browser.carriers import carrier_of
from tests.browser.conftest import OpenNotebook
from tests.browser.inspected import Inspected
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import wait_for_states, wait_for_text
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 640, 360
SETUP = """
import os, time
import torch
from gpuview import GPUStream, Settings

picture = torch.zeros(360, 640, 3, dtype=torch.uint8)
events = []
stream = GPUStream(lambda: picture, fps=30, settings=Settings(carriers="{carrier}"))
lr = stream.slider("lr", 0.0, 1.0, value=0.0)
stream.toggle("<b>noise</b>", True)
mode = stream.choice("mode", ["SGD", "Adam"])
go = stream.button("reset")
go.on_change(lambda presses: picture.zero_())

@stream.add_event_handler("pointer_down")
def paint(event):
    events.append(event)
    picture[..., 0] = 255
"""
SHOW = "stream"
MORE = """
stream.add_event_handler(
    events.append, "pointer_move", "pointer_up", "wheel", "key_down", "double_click"
)
"""
# What the loop reads is what it paints; it ends when it is told to, or after five minutes.
BUSY = """
until = time.monotonic() + 300
while lr.value < 0.9 and time.monotonic() < until:
    picture[..., 1].fill_(int(255 * lr.value))
    for _ in range(20_000):
        pass
print("read", round(lr.value, 2))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab with the extension of its server."""
    env = {"PYTHONPATH": str(Path(gpuview.__file__).parents[1])}
    with Lab(tmp_path_factory.mktemp("lab"), env, has_extension=True) as lab:
        yield lab


def colour(notebook: NotebookPage) -> list[int]:
    """Return the colour in the middle of the picture."""
    script = """() => {
      const screen = [...document.querySelectorAll(".gpuview-video")].at(-1);
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 1;
      const context = canvas.getContext("2d");
      context.drawImage(screen, 0, 0, 1, 1);
      return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }"""
    found: list[int] = notebook.page.evaluate(script)
    return found


def middle(notebook: NotebookPage) -> tuple[float, float]:
    """Return where the middle of the picture is on the page."""
    picture = notebook.page.locator(".gpuview-video").last
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def wait_for_event(notebook: NotebookPage, kind: str) -> dict[str, Any]:
    """Wait until the handler has had such an event, and return the newest of them."""
    newest = f"[each for each in events if each['type'] == {kind!r}][-1:]"
    wait_until(lambda: notebook.python(newest), f"there is a {kind}")
    (event,) = notebook.python(newest)
    found: dict[str, Any] = event
    return found


def opened(open_notebook: OpenNotebook, carrier: str, *cells: str) -> NotebookPage:
    """Return a notebook whose stream plays over this carrier."""
    notebook = open_notebook(SETUP.format(carrier=carrier), SHOW, *cells)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    assert carrier_of(notebook) == carrier
    return notebook


def check_inspector(notebook: NotebookPage) -> None:
    """Read the red of `paint`, its statistics, and the pixels of a part of the picture."""
    seen = Inspected(notebook.page)
    _, values = seen.hover(0.3, 0.4)
    assert values.split()[0] == "255"
    seen.mouse.wheel(0, -600)
    seen.find("canvas.gpuview-region").wait_for()
    assert seen.pixel(0.5, 0.5)[0] == 255
    notebook.page.keyboard.press("b")
    seen.find(".gpuview-histogram").wait_for()
    notebook.page.keyboard.press("Escape")
    seen.layer.wait_for(state="detached")


@pytest.mark.parametrize("carrier", ["webrtc", "socket", "comm"])
def test_click_paints_and_a_slider_is_turned_while_a_cell_spins(
    open_notebook: OpenNotebook, carrier: str
) -> None:
    notebook = opened(open_notebook, carrier, BUSY)
    x, y = middle(notebook)
    assert max(colour(notebook)) < 30
    notebook.page.mouse.click(x, y)
    wait_until(lambda: colour(notebook)[0] > 200, "the click has painted the picture red")
    event = wait_for_event(notebook, "pointer_down")
    row, column = event["pixel"]
    assert abs(row - HEIGHT // 2) <= 2
    assert abs(column - WIDTH // 2) <= 2
    assert (event["button"], event["buttons"]) == (1, (1,))

    notebook.page.get_by_role("button", name="reset").click()
    wait_until(lambda: colour(notebook)[0] < 30, "the button has cleared it")
    notebook.start(2)
    slider = notebook.page.get_by_role("slider", name="lr")
    slider.focus()
    for _ in range(50):
        slider.press("PageUp")
        if float(slider.input_value()) >= 500:
            break
    wait_until(lambda: colour(notebook)[1] > 100, "the loop has read the slider")
    assert notebook.is_running
    notebook.page.mouse.click(*middle(notebook))  # the page may have scrolled
    wait_until(lambda: colour(notebook)[0] > 200, "a click paints while the cell spins")
    check_inspector(notebook)
    assert notebook.is_running
    slider.press("End")
    notebook.wait_for_end()
    assert notebook.text(2) == "read 1.0\n"


HORIZON = """
import torch
from gpuview import GPUStream, OrbitCamera

def render(context):
    width, height = context.size or (320, 180)
    sky = context.camera.rays(width, height)[..., 1:2] > 0.1
    return sky.expand(-1, -1, 3).float()

stream = GPUStream(render)
camera = OrbitCamera(stream, elevation_deg=-30)
stream
"""


def test_camera_turns_by_a_drag_and_the_picture_fills_the_room_of_its_cell(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(HORIZON)
    notebook.run(0)
    wait_for_states(notebook, "playing")
    # What is out of sight is not drawn.
    notebook.page.locator(".gpuview").last.scroll_into_view_if_needed()
    room = """() => {
      const view = [...document.querySelectorAll(".gpuview")].at(-1);
      const { width } = view.parentElement.getBoundingClientRect();
      const height = Math.min(width * 9 / 16, 0.9 * innerHeight);
      return [height * 16 / 9, height].map((side) => side * devicePixelRatio);
    }"""

    def is_filled() -> bool:
        size = notebook.python("stream.use_frame_contexts().size")
        wanted = notebook.page.evaluate(room)
        return size is not None and all(abs(a - b) < 24 for a, b in zip(size, wanted, strict=True))

    def sizes() -> Any:
        return notebook.python("stream.use_frame_contexts().size"), notebook.page.evaluate(room)

    wait_until(is_filled, "the source is asked for what the cell has room for", describe=sizes)
    viewport = notebook.page.viewport_size
    notebook.page.set_viewport_size({"width": 900, "height": 800})
    wait_until(is_filled, "the same in a smaller window", describe=sizes)
    width = "() => [...document.querySelectorAll('.gpuview-video')].at(-1).videoWidth"
    wait_until(lambda: notebook.page.evaluate(width) == sizes()[0][0], "the picture has that size")
    wait_until(lambda: min(colour(notebook)) > 200, "the camera looks up")
    x, y = middle(notebook)
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move(x, y + 150, steps=5)
    notebook.page.mouse.up()
    wait_until(lambda: max(colour(notebook)) < 50, "the drag has turned it to the ground")
    assert viewport is not None
    notebook.page.set_viewport_size(viewport)  # other tests have this tab, too


def test_mouse_wheel_keys_and_touch_do_what_a_handler_wants_and_nothing_else(
    open_notebook: OpenNotebook, artifacts: Path
) -> None:
    notebook = opened(open_notebook, "webrtc", MORE, "\n" * 60)
    page = notebook.page
    x, y = middle(notebook)
    scrolled = """() => document.querySelector(".jp-WindowedPanel-outer").scrollTop"""
    n_cells = "() => document.querySelectorAll('.jp-Cell').length"

    # Without a handler that wants them, the page scrolls and the notebook has its shortcuts.
    page.mouse.move(x, y)
    before = page.evaluate(scrolled)
    page.mouse.wheel(0, 60)
    wait_until(lambda: page.evaluate(scrolled) > before, "the notebook scrolls")
    page.keyboard.press("Escape")
    cells = page.evaluate(n_cells)
    page.keyboard.press("b")
    wait_until(lambda: page.evaluate(n_cells) == cells + 1, "JupyterLab has made a cell")
    page.keyboard.press("d")
    page.keyboard.press("d")
    wait_until(lambda: page.evaluate(n_cells) == cells, "JupyterLab has taken it away")

    notebook.run(2)
    stage = page.locator(".gpuview-stage")
    wait_until(lambda: stage.get_attribute("tabindex") == "0", "the picture takes keys")
    stage.scroll_into_view_if_needed()
    x, y = middle(notebook)
    page.mouse.move(x, y)
    before = page.evaluate(scrolled)
    page.mouse.wheel(0, 60)
    assert wait_for_event(notebook, "wheel")["dy"] > 0
    assert page.evaluate(scrolled) == before

    page.mouse.down()
    page.mouse.move(x + 100, y, steps=5)
    page.mouse.up()
    assert wait_for_event(notebook, "pointer_up")["pixel"][1] > WIDTH // 2
    page.keyboard.press("b")  # the picture has the focus since the press
    page.keyboard.press("ArrowDown")
    assert wait_for_event(notebook, "key_down")["key"] == "ArrowDown"
    assert page.evaluate(n_cells) == cells
    page.mouse.dblclick(x, y)
    wait_for_event(notebook, "double_click")
    assert page.evaluate("() => document.fullscreenElement") is None

    session = page.context.new_cdp_session(page)
    points = [{"x": x, "y": y, "id": 1}, {"x": x + 40, "y": y, "id": 2}]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
    wait_until(
        lambda: notebook.python("max(each.get('ntouches', 0) for each in events)") == 2,
        "two fingers are on the picture",
    )
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.locator(".gpuview").screenshot(path=artifacts / "interaction.png")


def test_error_of_a_handler_and_texts_from_python_are_shown_as_text(
    open_notebook: OpenNotebook,
) -> None:
    fail = """
@stream.add_event_handler("pointer_down")
def fail(event):
    raise ValueError("<i>not this</i>")
"""
    slow = """
stream.remove_event_handler(fail)
stream.add_event_handler(lambda event: time.sleep(2), "pointer_down")
"""
    notebook = opened(open_notebook, "webrtc", fail, slow)
    assert notebook.page.locator(".gpuview-knobs b").count() == 0
    notebook.run(2)
    notebook.page.mouse.click(*middle(notebook))
    wait_for_text(notebook, "the handler fail of pointer_down raised ValueError: <i>not this</i>")
    wait_until(lambda: colour(notebook)[0] > 200, "the other handler was called")
    notebook.run(3)
    notebook.page.mouse.click(*middle(notebook))
    wait_for_text(notebook, "has been running for more than 0.5 s")
