"""Taps, colour maps and grids, as a person sees them."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from PIL import Image

from gpuview.frames.picture.colormap import palette
from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import wait_for_frames, wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

INSIDE_A_MODEL = Path(__file__).parents[2] / "notebooks" / "inside_a_model.ipynb"
TOLERANCE = 3

SHOW_MAP = """
import torch
from gpuview import GPUStream

# Five bands of 80 columns: both ends of the map, its middle, NaN and infinity.
bands = torch.tensor([0.0, 0.5, 1.0, float("nan"), float("inf")]).repeat_interleave(80)
stream = GPUStream(colormap="viridis")
stream.push(bands.expand(240, 400))
"""
PUSH_LABELS = """
from gpuview import Panel

labels = Panel(torch.ones(9, 9, dtype=torch.int64), colormap="labels")
stream.push({"map": bands.expand(240, 400), "mask": labels})
"""
BAND_CENTRES = [(80 * band + 40, 120) for band in range(5)]
BAND_ROWS = (0, 128, 255, 256, 257)  # of the palette

SHOW_GRID = """
import torch
from gpuview import GPUStream

red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 240, 320)
stream = GPUStream()
stream.push({"input": red, "output": 1 - red})
"""

TRAIN = """
import os

import torch
from torch import nn
from gpuview import GPUStream

torch.set_num_threads(1)  # the other core is the browser's
model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))
before = list(model.state_dict())
stream = GPUStream(model, layer="0")
display(stream)
"""
TRAIN_LOOP = """
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
while not os.path.exists("stop"):
    loss = model(torch.rand(4, 3, 48, 48)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
os.remove("stop")
stream.close()
print("trained")
"""


def test_a_tap_plays_while_the_cell_trains_and_leaves_the_model_as_it_was(
    open_notebook: OpenNotebook, artifacts: Path
) -> None:
    notebook = open_notebook(TRAIN, TRAIN_LOOP)
    notebook.run(0)
    notebook.start(1)
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 100)
    notebook.page.screenshot(path=artifacts / "tap.png")

    assert not notebook.text(1)  # it trained all the time
    (notebook.server.notebooks / "stop").touch()

    wait_until(lambda: "trained" in notebook.text(1), "the cell ends")
    assert notebook.python("list(model.state_dict()) == before")
    assert notebook.python("len(model[0]._forward_hooks)") == 0


def test_the_page_shows_a_maps_colours_and_those_of_nan_and_infinity(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(SHOW_MAP, "stream", PUSH_LABELS)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")

    colours = palette("viridis", torch.device("cpu"))[list(BAND_ROWS)].tolist()

    wait_for_colours(notebook, BAND_CENTRES, colours)
    assert notebook.python("(stream.stats().nan, stream.stats().inf)") == (80 * 240, 80 * 240)

    bar = notebook.page.locator(".gpuview-bar")
    assert bar.inner_text().split() == ["0", "1"]
    assert bar.get_attribute("aria-label") == "0 … 1 (viridis)"
    strip = Image.open(io.BytesIO(bar.locator(".gpuview-bar-strip").screenshot())).convert("RGB")
    row = strip.height // 2
    assert is_near(strip.getpixel((1, row)), colours[0])
    assert is_near(strip.getpixel((strip.width - 2, row)), colours[2])

    notebook.run(2)
    notebook.page.locator(".gpuview-swatch").wait_for(timeout=30_000)
    legend = notebook.page.locator(".gpuview-legend").inner_text().split()
    assert legend == ["map", "0", "1", "classes", "1"]


def is_near(seen: object, colour: list[int]) -> bool:
    """Compare with a colour of a map; a pixel beside the end of a bar is a few levels off."""
    assert isinstance(seen, tuple)
    return all(abs(a - b) <= 10 for a, b in zip(seen, colour, strict=True))


def test_a_mapping_is_shown_as_labelled_panels_in_one_video(
    open_notebook: OpenNotebook, artifacts: Path
) -> None:
    notebook = open_notebook(SHOW_GRID, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    width, height = size = video_size(notebook)
    assert width > 2 * 320, size

    wait_for_colours(
        notebook,
        [(width // 4, height * 2 // 3), (width * 3 // 4, height * 2 // 3)],
        [[255, 0, 0], [0, 255, 255]],
    )
    notebook.page.screenshot(path=artifacts / "grid.png")
    assert notebook.python("len(stream.stats().encoders)") == 1


def test_the_notebook_about_layers_plays_while_its_network_learns(
    lab: Lab, open_notebook: OpenNotebook, artifacts: Path
) -> None:
    path = Path(shutil.copy(INSIDE_A_MODEL, lab.notebooks))
    path.write_text(path.read_text().replace("steps, losses = 400", "steps, losses = 60"))
    cells = nbformat.read(path, as_version=4).cells
    at = {cell.id: index for index, cell in enumerate(cells)}
    assert "losses = 60" in cells[at["training"]].source
    notebook = open_notebook(path=path.name)
    for name in ("imports", "model", "show-layer", "show-weights", "show-results"):
        notebook.run(at[name])

    notebook.start(at["training"])
    wait_for_frames(notebook, 10, views=[0, 1, 2])
    notebook.page.screenshot(path=artifacts / "inside-a-model.png")
    wait_until(lambda: "at last" in notebook.text(at["training"]), "it has learnt", timeout_s=400)

    assert "values were NaN" in notebook.run(at["break"])
    notebook.show(at["show-layer"])
    wait_for_frames(notebook, 1)
    notebook.page.screenshot(path=artifacts / "inside-a-broken-model.png")
    notebook.run(at["snapshot"])
    assert "image/png" in notebook.outputs(at["snapshot"])[0]["data"]
    notebook.run(at["close"])
    wait_for_states(notebook)  # none: each view has given way to its last picture
    for name in ("show-layer", "show-weights", "show-results"):
        (output,) = notebook.outputs(at[name])
        (mime,) = set(output["data"]) - {"text/plain"}
        assert mime in ("image/png", "image/jpeg")


def video_size(notebook: NotebookPage) -> tuple[int, int]:
    """Return the width and height of the first view's video, in its own pixels."""
    script = """() => {
      const video = document.querySelector('video.gpuview-video');
      return [video.videoWidth, video.videoHeight];
    }"""
    width, height = notebook.page.evaluate(script)
    return width, height


def wait_for_colours(
    notebook: NotebookPage, points: list[tuple[int, int]], wanted: list[list[int]]
) -> None:
    """Wait until the video's pixels at ``points`` are within `TOLERANCE` levels of ``wanted``."""
    script = "points => probe.pixels(document.querySelector('video.gpuview-video'), points)"

    def shown() -> list[list[int]]:
        pixels: list[list[int]] = notebook.page.evaluate(script, points)
        return pixels

    def error() -> int:
        return max(
            abs(channel - right)
            for pixel, colour in zip(shown(), wanted, strict=True)
            for channel, right in zip(pixel, colour, strict=True)
        )

    wait_until(
        lambda: error() <= TOLERANCE,
        f"{points} are within {TOLERANCE} levels of {wanted}",
        describe=shown,
    )
