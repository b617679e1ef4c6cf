"""Pages of a real kernel that WebRTC does not reach, while it is at work."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gpuview.protocol.carrier_messages import Watch
from gpuview.protocol.page_messages import Answer, GetPeerConfig, Offer, PeerConfig, Status
from gpuview.testing.carrier_page import CarrierPage
from gpuview.testing.errors import CellError
from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL, StartKernel
from tests.kernel.pages import CommPage, reach
from tests.kernel.test_viewers import OFFER
from tests.processes import CoreWaits
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SPIN = "while True: pass"
HOLD_THE_GIL = """
import re, time
print("begun", flush=True)
time.sleep(0.5)  # what is printed leaves the kernel
re.match(r"(a+)+$", "a" * 60 + "b")
"""


# Each frame is of another brightness than the four before it.
FLASH = """
import itertools, torch
from gpuview import GPUStream
turns = itertools.count()
stream = GPUStream(lambda: torch.full((96, 128), 16 + 40 * (next(turns) % 5), dtype=torch.uint8))
display(stream)
"""
SPIN_FOR_30_S = """
import time
until = time.monotonic() + 30
while time.monotonic() < until:
    for _ in range(100_000):
        pass
"""
FREEZE_S = 0.2


def test_page_through_the_kernel_sees_the_stream_while_a_cell_spins(kernel: Kernel) -> None:
    kernel.run(PULL)
    page = CommPage(kernel.stream())
    page.say(Watch(view="v", codec="H264"))
    page.acknowledge_until(5)
    kernel.wait_until("list(stream.viewers) == ['v']")
    cell = kernel.start(SPIN)
    if kernel._subshell_id is not None:  # else nobody reads what the page says
        page.acknowledge_until(len(page.packets) + 20)
        assert not cell.is_done
    kernel.interrupt()
    with pytest.raises(CellError, match="KeyboardInterrupt"):
        cell.wait()


def test_page_by_the_socket_sees_the_stream_while_the_kernel_is_stuck(kernel: Kernel) -> None:
    kernel.run(PULL)
    kernel.view(kernel.stream()).next_frame()  # the media process has a picture from here on
    cell = kernel.start(HOLD_THE_GIL)
    cell.wait_for_output()
    with reach(kernel) as page:
        status = page.hear(Status)
        assert isinstance(status, Status)
        assert status.state == "live"
        page.say(Offer(view="other", seq=1, sdp=OFFER.read_text()))
        assert isinstance(page.hear(Answer), Answer)
        page.watch()
        page.frames_after(1)
        assert not cell.is_done
    kernel.interrupt()
    with pytest.raises(CellError, match="KeyboardInterrupt"):
        cell.wait()


def test_picture_never_freezes_in_30_s_of_pure_python(kernel: Kernel) -> None:
    kernel.run(FLASH)
    media_pid = kernel.evaluate("stream.stats().media_pid")
    with reach(kernel) as page:
        page.watch()
        page.frames_after(30)
        cell = kernel.start(SPIN_FOR_30_S)
        waits = CoreWaits(os.getpid(), kernel.pid, media_pid)
        brightness, changed_s = 0.0, time.monotonic()
        pauses_s = []
        while not cell.is_done:
            brightness, now_s = next_picture(page, brightness), time.monotonic()
            # A thread that has no core is the machine's, and everything else is ours.
            pauses_s.append(now_s - changed_s - waits.take_s())
            changed_s = now_s
        cell.wait()
    assert max(pauses_s) < FREEZE_S


def next_picture(page: CarrierPage, brightness: float) -> float:
    """Wait for a frame of another brightness, and return that."""
    while True:
        found = float(page.frames_after(1)[..., 1].mean())
        if abs(found - brightness) > 20:
            return found


def test_socket_page_gets_its_ice_servers_from_the_kernel(start_kernel: StartKernel) -> None:
    kernel = start_kernel(GPUVIEW_STUN_URL="stun:192.0.2.1:3478")
    kernel.run(PULL)
    with reach(kernel) as page:
        page.say(GetPeerConfig(view="v"))
        config = page.hear(PeerConfig)
        assert isinstance(config, PeerConfig)
        assert [each.urls for each in config.ice_servers] == [["stun:192.0.2.1:3478"]]


def test_socket_is_there_again_after_the_media_process_was_killed(
    start_kernel: StartKernel,
) -> None:
    kernel = start_kernel()
    kernel.run(PULL)
    stream = kernel.stream()
    with reach(kernel) as page:
        page.watch()
        page.frames_after(2)
        os.kill(kernel.evaluate("stream.stats().media_pid"), signal.SIGKILL)
        page.wait_for_end()
    stream.wait_for(lambda traits: traits["epoch"] > 1 and traits["status"]["state"] == "live")
    with reach(kernel) as page:
        page.watch()
        page.frames_after(2)


def test_socket_has_gone_with_its_kernel(start_kernel: StartKernel) -> None:
    kernel = start_kernel()
    kernel.run(PULL)
    with reach(kernel):
        assert kernel.socket_path.is_socket()
    kernel.kill()
    wait_until(lambda: not kernel.socket_path.exists(), "the socket has gone")


def test_no_socket_and_no_tunnel_where_they_are_forbidden(start_kernel: StartKernel) -> None:
    kernel = start_kernel(GPUVIEW_CARRIERS="webrtc")
    kernel.run(PULL)
    stream = kernel.stream()
    assert (stream.traits["place"], stream.traits["carriers"]) == ("", ["webrtc"])
    assert not kernel.socket_path.exists()
    CommPage(stream)
    closed = {"type": "CarrierClosed", "view": "v"}
    wait_until(lambda: closed in stream.messages, "the tunnel is refused")
