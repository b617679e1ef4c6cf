"""The inspector of a view, used by mouse and keyboard."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page

from tests.waiting import wait_until

__all__ = ["Inspected"]


class Inspected:
    """The first view of a page, inspected by mouse and keyboard."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.mouse = page.mouse
        self.button.click()
        wait_until(self._is_in_view, "the picture is there to be inspected")

    def _is_in_view(self) -> bool:
        # JupyterLab scrolls to the cell that has begun to run, and takes others out of the page.
        self.button.scroll_into_view_if_needed()
        return self.layer.is_visible()

    @property
    def button(self) -> Locator:
        return self.find(".gpuview-inspect")

    @property
    def layer(self) -> Locator:
        return self.find(".gpuview-layer")

    def find(self, selector: str) -> Locator:
        return self._page.locator(f".gpuview {selector}").first

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the page, by its place in what is seen of the picture."""
        box = self.layer.bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def hover(self, x: float, y: float) -> tuple[list[int], str]:
        """Rest there, and return the element's index and its value, as they are shown."""
        self.mouse.move(*self.point(0.999, 0.999))
        self.find(".gpuview-readout").wait_for(state="hidden")
        self.mouse.move(*self.point(x, y))
        self.find(".gpuview-readout").wait_for()
        return self.read()

    def read(self) -> tuple[list[int], str]:
        text = self.find(".gpuview-readout .gpuview-index").inner_text()
        numbers = re.findall(r"\d+", text.partition("]")[0])
        return list(map(int, numbers)), self.find(".gpuview-value").inner_text()

    def pixel(self, x: float, y: float) -> list[int]:
        """Return the colour that lies over the video there."""
        script = """([x, y]) => {
          const canvas = document.querySelector(".gpuview-region");
          const box = canvas.getBoundingClientRect();
          const at = (point, start, side, n) => Math.floor(((point - start) / side) * n);
          const left = at(x, box.left, box.width, canvas.width);
          const top = at(y, box.top, box.height, canvas.height);
          return probe.pixels(canvas, [[left, top]])[0];
        }"""
        colour: list[int] = self._page.evaluate(script, list(self.point(x, y)))
        return colour
