"""A canvas of rendercanvas in JupyterLab: as large as its cell allows, and under the mouse."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

pytest.importorskip("rendercanvas")

pytestmark = pytest.mark.browser

PAINT = """
import numpy as np
from gpuview.rendercanvas import RenderCanvas

canvas = RenderCanvas(size=(400, 200))
bitmap = canvas.get_bitmap_context()
sizes, places = [], []

@canvas.request_draw
def draw():
    width, height = canvas.get_physical_size()
    sizes.append((width, height))
    bitmap.set_bitmap(np.full((height, width, 4), 128, np.uint8))

@canvas.add_event_handler("pointer_down")
def press(event):
    places.append((event["x"], event["y"]))

canvas
"""
ROOM = """() => {
  const { width } = document.querySelector(".gpuview").parentElement.getBoundingClientRect();
  const height = Math.min(width / 2, 0.9 * innerHeight);
  return [height * 2, height].map((side) => side * devicePixelRatio);
}"""


def test_the_canvas_follows_its_cell_and_comes_to_rest_and_a_press_is_where_it_is_seen(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PAINT)
    notebook.run(0)
    wait_for_states(notebook, "playing")
    notebook.page.locator(".gpuview").scroll_into_view_if_needed()

    def sizes() -> tuple[list[float], list[float]]:
        return notebook.page.evaluate(ROOM), notebook.python("canvas.get_physical_size()")

    def fills() -> bool:
        return all(abs(a - b) <= 24 for a, b in zip(*sizes(), strict=True))

    wait_until(fills, "the canvas is as large as its cell has room for", describe=sizes)
    viewport = notebook.page.viewport_size
    notebook.page.set_viewport_size({"width": 900, "height": 700})
    wait_until(fills, "it follows the window", describe=sizes)
    is_drawn = "canvas.get_physical_size() == sizes[-1]"
    wait_until(lambda: notebook.python(is_drawn), "it is drawn in this size")

    video = notebook.page.locator(".gpuview-stage")
    box = video.bounding_box()
    assert box is not None
    notebook.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    wait_until(lambda: notebook.python("len(places)") == 1, "the press is heard")
    width, height = notebook.python("canvas.get_logical_size()")
    ((x, y),) = notebook.python("places")
    assert (abs(x - width / 4) < 3, abs(y - height / 2) < 3) == (True, True), (x, y, width, height)
    # Each size is drawn once or twice; a canvas that followed itself would not rest.
    assert notebook.python("len(sizes)") < 20, notebook.python("sizes")
    assert viewport is not None
    notebook.page.set_viewport_size(viewport)  # other tests have this tab, too
