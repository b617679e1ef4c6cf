"""Make the docs' pictures of notebook cells, in a real JupyterLab and Chromium.

PYTHONPATH=src:. python scripts/cell_pictures.py    writes three pictures into docs
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import BrowserContext, sync_playwright

from tests.browser.lab import Lab, NotebookPage, launch_chromium
from tests.browser.views import wait_for_frames

HERE = Path(__file__).resolve().parent.parent
DOCS, NOTEBOOKS = HERE / "docs", HERE / "notebooks"

INSPECTED = """
import torch
from gpuview import GPUStream

y, x = torch.meshgrid(torch.linspace(-2, 2, 360), torch.linspace(-3, 3, 640), indexing="ij")
stream = GPUStream(caption="waves of two sources")
frequency = stream.slider("frequency", 1.0, 20.0, value=9.0)
mix = stream.slider("mix", 0.0, 1.0, value=[0.6, 0.4])
envelope = stream.choice("envelope", ["1 / r", "none"])

waves = [torch.sin(frequency.value * torch.hypot(x - at, y)) for at in (-1, 1)]
near = [1 / (1 + torch.hypot(x - at, y)) for at in (-1, 1)]
stream.value_range, stream.colormap = "symmetric", "coolwarm"
stream.push(sum(m * w * n for m, w, n in zip(mix.value, waves, near)))
"""


# A tap is only read while its layer runs and somebody sees it.
GO_ON = """
import time

while True:
    model(noisy)
    time.sleep(0.05)
"""


def write_quickstart(lab: Lab, chromium: BrowserContext) -> None:
    """Show the whole page while the fluid plays."""
    notebook, at = opened(lab, chromium, NOTEBOOKS / "quickstart.ipynb")
    for name in ("imports", "ink", "play"):
        notebook.run(at[name])
    wait_for_frames(notebook, 400)  # the ink has spread
    notebook.page.evaluate("jupyterapp.shell.collapseLeft()")
    notebook.page.set_viewport_size({"width": 1000, "height": 720})
    scroll_to_end(notebook, at["play"])
    wait_for_frames(notebook, 30)
    write(notebook.page.screenshot(), "quickstart", colours=None)


def write_inside_a_model(lab: Lab, chromium: BrowserContext) -> None:
    """Show the tapped layer, one of its maps broken."""
    notebook, at = opened(lab, chromium, NOTEBOOKS / "inside_a_model.ipynb", GO_ON)
    for name in ("imports", "model", "show-layer", "show-results", "training", "break"):
        notebook.run(at[name])
    notebook.show(at["show-layer"])
    notebook.start(len(at))
    wait_for_frames(notebook, 10)
    write(shot_of_cells(notebook, at["tap"], at["show-layer"]), "inside-a-model")


def write_inspector(lab: Lab, chromium: BrowserContext) -> None:
    """Show an element's value, a box with its histogram, and knobs."""
    notebook = NotebookPage(lab, chromium, lab.write_notebook("inspected", [INSPECTED, "stream"]))
    notebook.run(0)
    notebook.run(1)
    wait_for_frames(notebook, 1)
    view = notebook.page.locator(".gpuview")
    view.locator(".gpuview-inspect").click()
    layer = view.locator(".gpuview-layer")
    layer.scroll_into_view_if_needed()
    box = layer.bounding_box()
    assert box is not None
    mouse, keyboard = notebook.page.mouse, notebook.page.keyboard

    def move(across: float, down: float) -> None:
        mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])

    move(0.25, 0.15)
    keyboard.down("Shift")
    mouse.down()
    move(0.5, 0.6)
    mouse.up()
    keyboard.up("Shift")
    view.locator(".gpuview-histogram").wait_for()
    move(0.66, 0.3)
    view.locator(".gpuview-readout .gpuview-value").wait_for()
    write(shot_of_cells(notebook, 1, 1), "inspector")


def opened(
    lab: Lab, chromium: BrowserContext, path: Path, more: str = ""
) -> tuple[NotebookPage, dict[str, int]]:
    """Open a copy of a notebook with one more cell; return it with the place of each other one."""
    content = nbformat.read(path, as_version=4)
    at = {cell.id: n for n, cell in enumerate(content.cells)}
    content.cells.append(nbformat.v4.new_code_cell(more))
    nbformat.write(content, lab.notebooks / path.name)
    return NotebookPage(lab, chromium, path.name), at


def scroll_to_end(notebook: NotebookPage, cell: int) -> None:
    """Scroll so that a cell ends where the page does."""
    at = notebook.page.locator(".jp-Notebook .jp-Cell").nth(cell)
    at.evaluate("it => it.scrollIntoView({ block: 'end' })")


def shot_of_cells(notebook: NotebookPage, first: int, last: int) -> bytes:
    """Return a screenshot of some cells, as a PNG."""
    scroll_to_end(notebook, last)
    notebook.page.wait_for_timeout(1500)  # the caption has its figures
    cells = notebook.page.locator(".jp-Notebook .jp-Cell")
    boxes = [cells.nth(n).bounding_box() for n in range(first, last + 1)]
    shown = [box for box in boxes if box is not None]
    top, bottom = shown[0]["y"], shown[-1]["y"] + shown[-1]["height"]
    clip = {"x": shown[0]["x"], "y": top, "width": shown[0]["width"], "height": bottom - top}
    return notebook.page.screenshot(clip=clip)  # type: ignore[arg-type]


def write(png: bytes, name: str, *, colours: int | None = 255) -> None:
    """Write a picture, with few colours if it can do with them."""
    image = Image.open(BytesIO(png)).convert("RGB")
    image = image if colours is None else image.quantize(colours, dither=Image.Dither.NONE)
    image.save(DOCS / f"{name}.png", optimize=True)


@contextmanager
def laboratory() -> Iterator[tuple[Lab, BrowserContext]]:
    """Start a JupyterLab and a Chromium."""
    env = {"PYTHONPATH": str(HERE / "src")}
    with (
        tempfile.TemporaryDirectory() as home,
        Lab(Path(home), {**os.environ, **env}) as lab,
        sync_playwright() as playwright,
        launch_chromium(playwright) as browser,
    ):
        yield lab, browser.new_context(viewport={"width": 1000, "height": 1100})


def main() -> None:
    """Write all pictures."""
    with laboratory() as (lab, chromium):
        for write_one in (write_quickstart, write_inside_a_model, write_inspector):
            write_one(lab, chromium)
            lab.shutdown_kernels()


if __name__ == "__main__":
    main()
