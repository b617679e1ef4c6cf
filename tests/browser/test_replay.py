"""A person pauses and steps back, over each carrier, while a cell goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

import gpuview
from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

MAKE = """
import os
import time
import torch
from gpuview import GPUStream, Settings

stream = GPUStream(settings=Settings(carriers="{carrier}"))
made = {{}}  # when each number was pushed

def push(number):
    # In two digits of base 16, far enough apart for a video.
    frame = torch.empty((180, 320), dtype=torch.uint8)
    frame[:, :160], frame[:, 160:] = 8 + number // 16 * 16, 8 + number % 16 * 16
    made[number] = time.monotonic()
    stream.push(frame)

def n_done():
    # How many were encoded, or seen by nobody.
    stats = stream.stats()
    return stats.frames_shown + stats.frames_dropped.get("unwatched", 0)

push(0)
"""

# Pure Python between the pictures, until it is told to stop. Each is encoded before the next is
# made, however slow the machine is, so that each can be stepped to. One that is in the ring when
# the person pauses is never encoded: hence the end of the wait.
SPIN = """
n = 0
while not os.path.exists("stop"):
    n += 1
    n_before = n_done()
    push(n % 256)
    began = time.monotonic()
    while (age := time.monotonic() - began) < 0.08 or n_done() == n_before and age < 10:
        if os.path.exists("stop"):
            break
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab with the extension of its server."""
    package = Path(gpuview.__file__).parents[1]
    env = {"PYTHONPATH": str(package)}
    with Lab(tmp_path_factory.mktemp("lab"), env, has_extension=True) as lab:
        yield lab


class Seen:
    """The first view of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def find(self, selector: str) -> Locator:
        return self.page.locator(f".gpuview {selector}").first

    def control(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True).first

    @property
    def slider(self) -> Locator:
        return self.find(".gpuview-replay input")

    @property
    def number(self) -> int:
        """The number in the picture that is seen."""
        script = """() => probe.pixels(
          document.querySelector('.gpuview-video'), [[80, 90], [240, 90]])"""
        high, low = (each[0] for each in self.page.evaluate(script))
        return 16 * (high // 16) + low // 16

    @property
    def age_s(self) -> float:
        """How old the page says that it is, at the time of the pause."""
        text = self.find(".gpuview-replay-age").inner_text()
        found = re.fullmatch(r"([\d.]+) s before the pause", text)
        return float(found[1]) if found else 0.0

    def step_to(self, key: str) -> tuple[float, int]:
        """Press a key, and return the age and the number of the picture that it leads to."""
        before = self.find(".gpuview-replay-age").inner_text()
        self.slider.press(key)
        expect(self.find(".gpuview-replay-age")).not_to_have_text(before)
        return self.age_s, self.number

    def move_on(self, n: int) -> None:
        """Wait until the picture has had so many numbers."""
        wait_until(lambda: self.page.locator(".gpuview[data-state=playing]").count() == 1, "plays")
        numbers = set[int]()
        wait_until(lambda: len(numbers.add(self.number) or numbers) > n, "the picture moves")


def check_replay(seen: Seen) -> list[tuple[float, int]]:
    """Pause, step back and go on; return the age and the number of what was seen on the way."""
    seen.move_on(40)
    seen.control("Pause").press("Enter")
    seen.slider.wait_for()
    assert seen.age_s == 0
    way = [seen.step_to("ArrowLeft") for _ in range(3)]
    way.append(seen.step_to("Home"))
    way.append(seen.step_to("ArrowRight"))
    # By the mouse, to the middle.
    before = seen.find(".gpuview-replay-age").inner_text()
    seen.slider.click()
    expect(seen.find(".gpuview-replay-age")).not_to_have_text(before)
    way.append((seen.age_s, seen.number))
    way.append(seen.step_to("End"))
    seen.control("Live").click()
    expect(seen.slider).to_be_hidden()
    seen.move_on(3)
    return way


def check_ages(way: list[tuple[float, int]], made: dict[int, float]) -> None:
    """Check that the pictures are as old as the page has said."""
    ages, numbers = zip(*way, strict=True)
    assert ages[-1] == 0
    assert ages[0] < ages[1] < ages[2] < ages[3] > ages[4] > ages[5] > 0
    assert [(numbers[at] - numbers[at + 1]) % 256 for at in (0, 1)] == [1, 1]
    assert (numbers[4] - numbers[3]) % 256 == 1
    for age_s, number in way:
        if number == 0:
            continue  # it stood still before the cell ran, and was shown for longer than is kept
        assert made[numbers[-1]] - made[number] == pytest.approx(age_s, abs=0.25)


@pytest.mark.parametrize("carrier", ["webrtc", "socket", "comm"])
def test_paused_picture_goes_back_and_live_again_while_a_cell_runs(
    open_notebook: OpenNotebook, carrier: str
) -> None:
    notebook = open_notebook(MAKE.format(carrier=carrier), "stream", SPIN)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    assert notebook.page.locator(f".gpuview[data-carrier={carrier}]").count() == 1
    stop = notebook.server.notebooks / "stop"
    notebook.start(2)
    try:
        way = check_replay(Seen(notebook.page))
        assert notebook.is_running
    finally:
        stop.touch()
    notebook.wait_for_end()
    stop.unlink()
    # Each number was made again every 20 s; of those that were seen, the last time counts.
    check_ages(way, {int(n): t for n, t in notebook.python("list(made.items())")})


def test_page_of_a_stream_alone_steps_back_too(
    open_notebook: OpenNotebook, chromium: BrowserContext
) -> None:
    notebook = open_notebook(MAKE.format(carrier="webrtc,socket"), "stream", SPIN)
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    chromium.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.page.get_by_role("button", name="Copy a link").press("Enter")
    notebook.page.get_by_text("link copied").wait_for()
    stop = notebook.server.notebooks / "stop"
    notebook.start(2)
    try:
        page = chromium.new_page()
        page.add_init_script(path=Path(__file__).with_name("probe.js"))
        page.goto(notebook.page.evaluate("navigator.clipboard.readText()"))
        way = check_replay(Seen(page))
    finally:
        stop.touch()
    page.close()
    notebook.wait_for_end()
    stop.unlink()
    check_ages(way, {int(n): t for n, t in notebook.python("list(made.items())")})
