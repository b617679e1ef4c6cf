"""On each version of ipykernel, a view that opens while a cell runs has a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import gpuview
from gpuview.protocol.carrier_messages import Watch
from gpuview.protocol.page_messages import Answer, Offer, Status
from gpuview.testing.carrier_page import CarrierPage
from gpuview.testing.cells import Cell
from gpuview.testing.errors import CellError
from gpuview.testing.kernel import Kernel
from tests.kernel.pages import CommPage, reach
from tests.kernel.test_viewers import OFFER

pytestmark = pytest.mark.kernel

OVERLAYS = Path(__file__).parents[2] / ".ipykernels"
PACKAGE = Path(gpuview.__file__).parents[1]
VERSIONS = ("6.29.0", "7.1.0", "7.3.0", "newest")

SETUP = """
import asyncio, random, time
import torch
from gpuview import GPUStream

numbers = [random.random() for _ in range(400_000)]  # sorted for some tenths of a second

def show():
    global stream
    stream = GPUStream(lambda: torch.rand(96, 128, 3))
    display(stream)
"""
WORK = {
    "python": "while True: pass",
    "sleep": "while True: time.sleep(0.3)",
    "sorted": "while True: sorted(numbers)",
    "await": "while True: await asyncio.sleep(0.3)",
}


@pytest.fixture(scope="module", params=VERSIONS)
def module_kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A kernel of the version, for the tests of the module; `kernel` closes its streams."""
    overlay = OVERLAYS / request.param
    assert overlay.is_dir(), f"{overlay.name} is missing: make ipykernels"
    with Kernel(env={"PYTHONPATH": f"{overlay}:{PACKAGE}"}) as kernel:
        kernel.run(SETUP)
        kernel.run("GPUStream().close()")
        yield kernel


@pytest.fixture
def version(kernel: Kernel) -> str:
    return str(kernel.evaluate("__import__('ipykernel').__version__"))


def test_versions_are_those_that_were_asked_for(
    request: pytest.FixtureRequest, version: str
) -> None:
    asked = request.node.callspec.params["module_kernel"]
    assert version == asked or (asked == "newest" and version > "7.3")


@pytest.mark.parametrize("work", WORK)
def test_view_by_the_socket_opens_while_the_cell_works(kernel: Kernel, work: str) -> None:
    cell = kernel.start(f"show()\n{WORK[work]}")
    kernel.stream()
    with reach(kernel) as page:
        page.say(Offer(view="other", seq=1, sdp=OFFER.read_text()))
        assert isinstance(page.hear(Answer), Answer)
        wait_until_live(page)
        page.watch()
        page.frames_after(2)
        assert not cell.is_done
    interrupt(kernel, cell)


@pytest.mark.parametrize("work", WORK)
def test_view_through_the_kernel_opens_while_the_cell_works_if_there_are_subshells(
    kernel: Kernel, version: str, work: str
) -> None:
    cell = kernel.start(f"show()\n{WORK[work]}")
    stream = kernel.stream()
    page = CommPage(stream)
    page.say(Watch(view="v", codec="H264"))
    if version.startswith("6"):
        interrupt(kernel, cell)  # nobody reads what the page says before
        page.acknowledge_until(5)
        return
    page.acknowledge_until(5)
    kernel.view(stream).next_frame()
    assert not cell.is_done
    interrupt(kernel, cell)


def test_open_view_through_the_kernel_goes_on_in_a_cell_that_keeps_what_its_page_says(
    kernel: Kernel,
) -> None:
    kernel.run("show()")
    page = CommPage(kernel.stream())
    page.say(Watch(view="v", codec="H264"))
    page.acknowledge_until(5)
    cell = kernel.start(WORK["python"])
    # More than are sent unacknowledged; then ipykernel 6 has one a second.
    page.acknowledge_until(len(page.packets) + 12)
    assert not cell.is_done
    interrupt(kernel, cell)


def wait_until_live(page: CarrierPage) -> None:
    """Wait until the page is told so; at first the stream may wait for its picture."""
    state = "waiting"
    while state == "waiting":
        status = page.hear(Status)
        assert isinstance(status, Status)
        state = status.state
    assert state == "live"


def interrupt(kernel: Kernel, cell: Cell) -> None:
    kernel.interrupt()
    with pytest.raises(CellError, match=r"KeyboardInterrupt|CancelledError"):
        cell.wait()
