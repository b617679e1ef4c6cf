"""The inspector reads the tensor's own values, in JupyterLab, also while a cell runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.inspected import Inspected
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

SIDE = 8192

MAKE = f"""
import os
import time
import torch
from gpuview import GPUStream

rows = torch.arange({SIDE}, dtype=torch.int32)
large = ((rows[:, None] * 7 + rows * 13) % 251).to(torch.uint8)
stream = GPUStream(size=480)
stream.push(large)
"""

# Pure Python beside the picture, until it is told to stop.
SPIN = """
n = 0
while not os.path.exists("stop"):
    n += 1
    stream.push({"a<b>": torch.full((40, 60), n / 7), "b": torch.arange(2400.0).view(40, 60)})
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass
"""


def test_large_map_is_read_to_the_element(open_notebook: OpenNotebook, tmp_path: Path) -> None:
    notebook = open_notebook(MAKE, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    seen = Inspected(notebook.page)

    # Hovered as a whole: the tensor's value, although the video is smaller than the tensor.
    (row, column), value = seen.hover(0.31, 0.62)
    assert abs(row - 0.62 * SIDE) < 20
    assert abs(column - 0.31 * SIDE) < 20
    assert int(value) == notebook.python(f"large[{row}, {column}].item()")

    # Zoomed until single elements are seen, which are those of the tensor.
    for _ in range(20):
        seen.mouse.wheel(0, -120)
    wait_until(lambda: seen.find(".gpuview-zoom").inner_text() != "", "it is zoomed")
    seen.find("canvas.gpuview-region").wait_for()
    zoom = seen.find(".gpuview-zoom").inner_text()
    for x, y in [(0.2, 0.3), (0.5, 0.5), (0.83, 0.41), (0.12, 0.9)]:
        (row, column), value = seen.hover(x, y)
        assert int(value) == notebook.python(f"large[{row}, {column}].item()")
        wait_until(
            lambda at=(x, y), v=value: seen.pixel(*at) == [int(v)] * 3,
            f"the pixel {x, y} of {zoom}",
        )
    seen.layer.screenshot(path=tmp_path / "zoomed.png")

    # A box of what is seen, from element to element.
    page = notebook.page
    (top, left), _ = seen.hover(0.25, 0.25)
    (bottom, right), _ = seen.hover(0.6, 0.7)
    part = f"[{top}:{bottom + 1}, {left}:{right + 1}]"
    page.keyboard.down("Shift")
    seen.mouse.move(*seen.point(0.25, 0.25))
    seen.mouse.down()
    seen.mouse.move(*seen.point(0.6, 0.7), steps=5)
    seen.mouse.up()
    page.keyboard.up("Shift")
    # What is shown of the box while it is dragged is of a smaller one.
    seen.find(".gpuview-found .gpuview-index").filter(has_text=part).wait_for()
    found = seen.find(".gpuview-numbers").inner_text().split()
    numbers = dict(zip(found[::2], found[1::2], strict=True))
    assert int(numbers["min"]) == notebook.python(f"large{part}.min().item()")
    assert int(numbers["max"]) == notebook.python(f"large{part}.max().item()")
    assert int(numbers["values"]) == notebook.python(f"large{part}.numel()")
    mean, std = (
        notebook.python(f"large{part}.double().{of}")
        for of in ("mean().item()", "std(correction=0).item()")
    )
    assert float(numbers["mean"]) == pytest.approx(mean, rel=1e-5)
    assert float(numbers["std"]) == pytest.approx(std, rel=1e-5)

    # Everything again by the keyboard, and out.
    page.keyboard.press("0")
    wait_until(lambda: seen.find(".gpuview-zoom").inner_text() == "", "the whole picture is seen")
    page.keyboard.press("+")
    seen.find(".gpuview-readout").wait_for()
    page.keyboard.press("Escape")
    seen.layer.wait_for(state="detached")
    assert seen.button.get_attribute("aria-pressed") == "false"


def test_values_are_read_and_frozen_while_a_cell_runs(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(MAKE, "stream", SPIN)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    stop = notebook.server.notebooks / "stop"
    notebook.start(2)
    try:
        notebook.page.get_by_text("40").first.is_visible()
        seen = Inspected(notebook.page)
        panel = seen.find(".gpuview-readout .gpuview-more")
        wait_until(lambda: (seen.hover(0.25, 0.6), "a<b>" in panel.inner_text())[1], "the panel")
        values = set[str]()
        wait_until(lambda: len(values.add(seen.read()[1]) or values) > 3, "the value moves")

        seen.find(".gpuview-toggle").click()
        seen.find(".gpuview-frozen").wait_for()
        _, frozen = seen.hover(0.25, 0.6)
        assert {seen.hover(x, 0.6)[1] for x in (0.2, 0.25, 0.3) * 3} == {frozen}
        notebook.page.screenshot(path=notebook.server.notebooks / "frozen.png")
        assert notebook.is_running

        seen.find(".gpuview-toggle").click()
        seen.hover(0.25, 0.6)
        wait_until(lambda: seen.read()[1] != frozen, "the values go on")
        assert notebook.is_running
    finally:
        stop.touch()
    notebook.wait_for_end()
    n = notebook.python("n")
    assert float(frozen) * 7 == pytest.approx(round(float(frozen) * 7), abs=1e-4)
    assert 0 < float(frozen) * 7 <= n
    stop.unlink()
