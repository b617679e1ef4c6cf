"""Views come and go: each shows the right picture or message, and no viewer is left behind."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, NotebookPage
from tests.browser.views import (
    COUNT_CONNECTIONS,
    states,
    wait_for_frames,
    wait_for_states,
    wait_for_text,
    wait_for_viewers,
    wait_until_silent,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

# A moving ramp, so that every frame differs; `broken` makes the source raise.
PULL = """
import os
import torch
from gpuview import GPUStream

ramp = torch.arange(640).remainder(256).to(torch.uint8).expand(360, 640)
turn, broken = 0, ""

def source():
    global turn
    if broken:
        raise RuntimeError(broken)
    turn += 1
    return ramp.roll(turn, dims=1)

stream = GPUStream(source, fps=30)
"""

# The strictest browsers let a video play only if a person's click starts it.
BLOCK_AUTOPLAY = """
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  if (window.event?.type === "click") return play.call(this);
  return Promise.reject(new DOMException("no click", "NotAllowedError"));
};
"""

# A habit from matplotlib.
CLEAR_AND_DISPLAY = """
import time
from IPython.display import clear_output, display

for _ in range(60):
    clear_output(wait=True)
    display(stream)
    time.sleep(0.2)
"""

# What a browser may do that saves work for what nobody sees.
SILENT_WHILE_HIDDEN = """
const request = HTMLVideoElement.prototype.requestVideoFrameCallback;
HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
  return request.call(this, (...args) => {
    if (this.checkVisibility()) callback(...args);
    else this.requestVideoFrameCallback(callback);
  });
};
"""

IN_A_HIDDEN_TAB = """
import ipywidgets

ipywidgets.Tab([ipywidgets.Label("nothing moves here"), stream], titles=["Still", "Moving"])
"""

IN_BOXES = """
import ipywidgets

row = ipywidgets.HBox([stream, stream, stream])
sliders = ipywidgets.VBox([ipywidgets.FloatSlider(description=name) for name in "ab"])
ipywidgets.VBox([row, ipywidgets.HBox([stream, sliders])])
"""

# Displayed before its first frame: how high its room is, and whether it was ever another one.
WATCH_HEIGHT = """() => {
  const view = document.querySelector(".gpuview");
  window.heights = [view.getBoundingClientRect().height];
  window.shifts = 0;
  new ResizeObserver(() => heights.push(view.getBoundingClientRect().height)).observe(view);
  const ours = ".gpuview, .gpuview-stage, .gpuview-video, .gpuview-controls";
  const isOurs = ({ node }) => node instanceof Element && node.matches(ours);
  new PerformanceObserver(list => {
    for (const { sources } of list.getEntries()) window.shifts += sources.some(isOurs);
  }).observe({ type: "layout-shift" });
}"""

SHOW_STILL = """
still = GPUStream()
still.push(ramp)
still
"""

STEPS = """
for step in range(1000):
    still.caption = f"step {step}, <b>loss</b>"
while not os.path.exists("stop"):
    pass
os.remove("stop")
"""

SPIN = """
while not os.path.exists("stop"):
    pass
os.remove("stop")
"""


def test_the_stream_of_a_cell_that_runs_again_is_closed_unless_it_is_kept(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULL, "display(GPUStream(source))", "stream", "later = 1")
    for cell in (0, 2, 2):
        notebook.run(cell)
    for _ in range(4):
        notebook.run(1)
        wait_for_states(notebook, "playing", "playing")

    def n_open() -> int:
        notebook.run(3)
        n: int = notebook.python(
            "sum(isinstance(each, GPUStream) for each in __import__('gc').get_objects())"
        )
        return n

    wait_until(lambda: n_open() == 2, "only the streams that are shown are left", describe=n_open)
    notebook.save()
    notebook.reload()
    wait_for_states(notebook, "playing", "playing")
    for cell in (1, 2):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    wait_until(lambda: n_open() == 2, "only the streams that are shown are left", describe=n_open)


def test_two_outputs_and_a_second_tab_share_one_encoder(open_notebook: OpenNotebook) -> None:
    first = open_notebook(PULL, "stream", "stream")
    for cell in range(3):
        first.run(cell)
    wait_for_states(first, "playing", "playing")
    first.save()

    second = open_notebook(path=first.path)
    wait_for_states(second, "playing", "playing")
    wait_for_viewers(first, 4)
    wait_for_frames(second, 10, views=(0, 1))
    wait_for_frames(first, 10, views=(0, 1))
    assert first.python("len(stream.stats().encoders)") == 1

    second.close()
    wait_for_viewers(first, 2)
    wait_for_frames(first, 10, views=(0, 1))


def test_the_viewers_are_the_views_on_the_page(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(PULL, "stream", "stream")
    for cell in range(3):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    wait_for_viewers(notebook, 2)

    notebook.clear(2)
    wait_for_states(notebook, "playing")
    wait_for_viewers(notebook, 1)

    notebook.run(1)
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 10)
    wait_for_viewers(notebook, 1)

    notebook.save()
    notebook.reload()
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 10)
    wait_for_viewers(notebook, 1)

    other = open_notebook(path=notebook.path)
    wait_for_viewers(other, 2)
    notebook.close_notebook()
    wait_for_viewers(other, 1)
    other.clear(1)
    wait_for_viewers(other, 0)


def test_the_details_open_by_keyboard_and_have_two_columns(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(PULL, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    details = notebook.page.get_by_role("button", name="Details")
    details.press("Enter")
    rows = notebook.page.locator(".gpuview dl")
    rows.wait_for()
    assert details.get_attribute("aria-expanded") == "true"
    # JupyterLab makes lists in outputs float.
    assert rows.evaluate("it => getComputedStyle(it).display") == "grid"
    lefts = "it => [...it.querySelectorAll('dd')].map(each => each.getBoundingClientRect().left)"
    assert len(set(rows.evaluate(lefts))) == 1


def test_a_stream_waits_for_its_first_push_and_leaves_its_last_picture_when_it_is_closed(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(
        "import torch\nfrom gpuview import GPUStream\nstream = GPUStream()",
        "stream",
        "for shade in range(100): stream.push(torch.full((360, 640), shade, dtype=torch.uint8))",
        "stream.close()",
    )
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "waiting")
    wait_for_text(notebook, "waiting for the first frame: push one")
    notebook.run(2)
    wait_for_states(notebook, "playing")
    notebook.run(3)
    wait_for_states(notebook)
    assert set(notebook.outputs(1)[0]["data"]) == {"text/plain", "image/png"}


def test_a_browser_that_blocks_autoplay_has_a_play_button(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(PULL, "stream", "stream", init_script=BLOCK_AUTOPLAY)
    for cell in range(3):
        notebook.run(cell)
    wait_for_states(notebook, "blocked", "blocked")
    buttons = notebook.page.get_by_role("button", name="Play", exact=True)
    buttons.first.click()
    wait_for_states(notebook, "playing", "blocked")
    wait_for_frames(notebook, 10)
    buttons.press("Enter")  # the one that is left
    wait_for_states(notebook, "playing", "playing")
    wait_for_frames(notebook, 10, views=(0, 1))


def test_a_stream_in_a_hidden_tab_plays_once_the_tab_is_opened(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULL, IN_A_HIDDEN_TAB, init_script=SILENT_WHILE_HIDDEN)
    notebook.run(0)
    notebook.run(1)
    wait_for_viewers(notebook, 1)
    wait_for_states(notebook, "waiting")
    notebook.page.get_by_text("Moving", exact=True).click()
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 10)


def test_a_tall_picture_fits_into_the_window(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(
        "import torch\nfrom gpuview import GPUStream\ntall = torch.rand(3000, 200)",
        "GPUStream(tall)",
    )
    notebook.run(0)
    notebook.run(1)
    wait_for_frames(notebook, 1)
    script = """() => {
      const { width, height } = document.querySelector(".gpuview-video").getBoundingClientRect();
      return [height / window.innerHeight, height / width];
    }"""
    share, aspect = notebook.page.evaluate(script)
    assert share <= 0.9
    assert aspect == pytest.approx(15, rel=0.02)


def test_views_in_boxes_shrink_alike_and_leave_room_for_what_is_beside_them(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULL, IN_BOXES)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, *["playing"] * 4)
    for width in (920, 500):
        check_boxes(notebook, width)
    check_row(notebook, 250)
    check_boxes(notebook, 500)
    before = boxes(notebook, ".gpuview")
    notebook.page.get_by_role("button", name="Details").first.press("Enter")
    notebook.page.locator(".gpuview-rows").wait_for()
    after = boxes(notebook, ".gpuview")
    assert [each["width"] for each in after] == [each["width"] for each in before]


def check_boxes(notebook: NotebookPage, width: int) -> None:
    right = check_row(notebook, width)
    *_, beside = boxes(notebook, ".gpuview")
    slider = boxes(notebook, ".widget-slider")[0]
    assert slider["width"] >= 290
    assert beside["right"] < slider["left"] < slider["right"] <= right + 1


def check_row(notebook: NotebookPage, width: int) -> float:
    """Give the cell this width, look at the three views in a row, and return its right edge."""
    style = f"it => it.style.cssText = 'flex: none; width: {width}px'"
    output = notebook.page.locator(".jp-OutputArea-output", has=notebook.page.locator(".gpuview"))
    output.evaluate(style)
    right = output.evaluate("it => it.getBoundingClientRect().right")
    *row, _ = boxes(notebook, ".gpuview")
    assert len({round(each["width"]) for each in row}) == 1
    assert row[2]["right"] <= right + 1
    gaps = [row[1]["left"] - row[0]["right"], row[2]["left"] - row[1]["right"]]
    assert gaps == pytest.approx([8, 8], abs=1)
    for video in boxes(notebook, ".gpuview-video"):
        assert video["width"] / video["height"] == pytest.approx(640 / 360, rel=0.02)
    return float(right)


def test_a_picture_is_as_wide_as_its_size_and_nothing_is_green_once_it_is_closed(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(
        PULL, "sized = GPUStream(source, size=300)\ndisplay(sized)", "sized.close()"
    )
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    (video,) = boxes(notebook, "video.gpuview-video")
    assert video["width"] == 300
    green = notebook.page.locator(".gpuview-dot[data-tone=good]")
    assert green.count() == 1
    notebook.run(2)
    wait_until(lambda: green.count() == 0, "nothing is green")


def test_nothing_moves_when_the_first_frame_comes(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(
        "import torch\nfrom gpuview import GPUStream\nstream = GPUStream(size=(300, 200))",
        "stream",
        "stream.push(torch.rand(3, 200, 300))",
    )
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "waiting")
    notebook.page.evaluate(WATCH_HEIGHT)
    (stage,) = boxes(notebook, ".gpuview-stage")
    notebook.run(2)
    wait_for_states(notebook, "playing")
    (video,) = boxes(notebook, "video.gpuview-video")
    assert (video["width"], video["height"]) == (300, 200)
    assert video["top"] == stage["top"]
    heights = notebook.page.evaluate("heights")
    assert len(set(heights)) == 1, heights
    assert notebook.page.evaluate("shifts") == 0


def boxes(notebook: NotebookPage, selector: str) -> list[dict[str, float]]:
    """Return where each element is, in the page's order."""
    script = "all => all.map(each => each.getBoundingClientRect().toJSON())"
    found: list[dict[str, float]] = notebook.page.locator(selector).evaluate_all(script)
    return found


def test_the_caption_says_what_the_source_does(lab: Lab, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(PULL, "GPUStream(ramp.roll(i) for i in range(9))", SHOW_STILL, STEPS)
    for cell in range(3):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    wait_for_text(notebook, "the source has ended")
    still = notebook.page.locator(".gpuview").nth(1)
    still.get_by_text("idle").wait_for()
    still.get_by_text(re.compile(r", last frame \d+ s ago")).wait_for()
    notebook.start(3)
    still.get_by_text("step 999, <b>loss</b>").wait_for()
    assert notebook.is_running
    (notebook.server.notebooks / "stop").touch()
    notebook.wait_for_end()
    lab.request("DELETE", f"/api/kernels/{notebook.kernel_id}")
    green = notebook.page.locator(".gpuview-dot[data-tone=good]")
    wait_until(lambda: green.count() == 0, "nothing is green without a kernel")


def test_a_restarted_kernel_leaves_a_message_and_the_cells_run_again(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULL, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    notebook.restart_kernel()
    wait_for_states(notebook, "gone")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    wait_for_viewers(notebook, 1)


def test_a_killed_media_process_comes_back_by_itself(lab: Lab, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(PULL, "trained = {'epochs': 7}", "stream", "stream")
    for cell in range(4):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    (media,) = lab.kernel_process(notebook.kernel_id).children()

    media.kill()
    media.wait()
    wait_for_frames(notebook, 10, views=(0, 1))
    wait_for_states(notebook, "playing", "playing")
    assert notebook.python("trained") == {"epochs": 7}


def test_a_source_that_raises_is_shown_on_the_page_and_recovers(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULL, "stream", "broken = 'the lamp is out'", "broken = ''")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    notebook.run(2)
    wait_for_text(notebook, "the lamp is out")
    notebook.run(3)
    wait_for_frames(notebook, 10)
    wait_until_silent(notebook, "the lamp is out")


def test_a_loop_that_clears_and_displays_shows_a_picture_all_along(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(PULL, CLEAR_AND_DISPLAY, init_script=COUNT_CONNECTIONS)
    notebook.run(0)
    notebook.start(1)
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 20)
    notebook.wait_for_end()
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 10)
    # Chromium makes 500 at most. Displays may overlap at the start, before one is connected.
    assert notebook.page.evaluate("connections") < 10


def test_the_picture_moves_on_while_a_cell_runs_python(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(PULL, "stream", SPIN)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    notebook.start(2)
    wait_for_frames(notebook, 60)
    assert notebook.is_running
    (notebook.server.notebooks / "stop").touch()
    notebook.wait_for_end()
    assert states(notebook) == ["playing"]
