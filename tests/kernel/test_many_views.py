"""A thousand views that come and go, over each carrier, leave nothing behind.

Over WebRTC they are a hundred, as each costs ICE and DTLS; ``GPUVIEW_TEST_WEBRTC_VIEWS=1000`` sets
another number.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gpuview.protocol.carrier_messages import CarrierClose, CarrierOpen, CarrierText, Watch
from gpuview.protocol.local_socket import (
    BINARY,
    MAX_FROM_MEDIA_NBYTES,
    TEXT,
    Hello,
    MessageReader,
    frame_message,
    short_path,
)
from gpuview.protocol.wire import encode_text, to_wire
from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL, StartKernel
from tests.kernel.crowd import Crowd
from tests.kernel.pages import reach
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

ComeAndGo = Callable[[Kernel, Sequence[str]], None]

N_AT_ONCE = 60
"""As many views; a kernel has 64 tunnels at most."""

N_WEBRTC = int(os.environ.get("GPUVIEW_TEST_WEBRTC_VIEWS", "100"))
N_WEBRTC_AT_ONCE = 20


def come_and_go_by_socket(kernel: Kernel, views: Sequence[str]) -> None:
    """Show the stream to so many views at once, each over a connection to the media process."""
    name = kernel.stream().traits["place"].partition("/")[2]
    token = kernel.socket_path.with_suffix(".token").read_text()
    with contextlib.ExitStack() as stack:
        socks = []
        for view in views:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            with short_path(kernel.socket_path) as address:
                sock.connect(address)
            watch = encode_text(Watch(view=view, codec="H264")).encode()
            sock.sendall(frame_message(TEXT, Hello(token, name).encode()))
            sock.sendall(frame_message(TEXT, watch))
            socks.append(sock)
        for sock in socks:
            sock.settimeout(30)
            reader = MessageReader(MAX_FROM_MEDIA_NBYTES)
            kinds: list[int] = []
            while BINARY not in kinds:
                kinds += [kind for kind, _ in reader.feed(sock.recv(65536))]


def come_and_go_by_comm(kernel: Kernel, views: Sequence[str]) -> None:
    """Show the stream to so many views at once, each through a tunnel."""
    stream = kernel.stream()
    begin = len(stream.messages)
    for view in views:
        stream.send(to_wire(CarrierOpen(view=view)))
        text = encode_text(Watch(view=view, codec="H264"))
        stream.send(to_wire(CarrierText(view=view, text=text)))

    def unseen() -> set[str]:
        since = zip(stream.messages[begin:], stream.buffers[begin:], strict=False)
        return set(views) - {content.get("view") for content, buffers in since if buffers}

    wait_until(lambda: not unseen(), "every view has a picture", describe=unseen)
    for view in views:
        stream.send(to_wire(CarrierClose(view=view)))


def come_and_go_by_webrtc(kernel: Kernel, views: Sequence[str]) -> None:
    """Show the stream to so many viewers at once, in a process of their own."""
    playing = "sum(each.frames_sent > 0 for each in stream.stats().viewers)"
    with Crowd(kernel.stream(), len(views)):
        kernel.wait_until(f"{playing} == {len(views) + 1}")


def held(pid: int) -> dict[str, int]:
    """Return how much a process has of what views take, other than memory."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    counts = {name: len(os.listdir(f"/proc/{pid}/{name}")) for name in ("fd", "task")}
    return {**counts, "shared memory": maps.count("/memfd:")}


def resident_nbytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def rounds(kernel: Kernel, n: int, n_at_once: int, *ways: ComeAndGo) -> None:
    """Have so many views come and go, again and again; the one that stays is left."""
    for _ in range(n):
        for come_and_go in ways:
            come_and_go(kernel, [f"v{n}" for n in range(n_at_once)])
        wait_until(
            lambda: kernel.evaluate("len(stream.viewers) == 1"),
            "one view is left",
            describe=lambda: kernel.evaluate("stream.stats()"),
        )


@contextlib.contextmanager
def growing_by_nothing(pids: Sequence[int]) -> Iterator[None]:
    """Fail if processes then hold more than before, besides 5 % of memory."""

    def all_held() -> list[dict[str, int]]:
        return [held(pid) for pid in pids]

    def more() -> list[str]:
        pairs = zip(all_held(), before, strict=True)
        return [name for now, was in pairs for name, count in now.items() if count > was[name]]

    before = all_held()
    resident = [resident_nbytes(pid) for pid in pids]
    yield
    # It may be less: what an earlier test has closed takes a moment.
    wait_until(lambda: not more(), f"it is {before} again", describe=all_held)
    growths = [resident_nbytes(pid) / was for pid, was in zip(pids, resident, strict=True)]
    assert max(growths) < 1.05


@pytest.fixture
def kernel(start_kernel: StartKernel) -> Kernel:
    """Give a kernel whose allocator gives back what is free, and keeps no pool for each thread."""
    return start_kernel(MALLOC_ARENA_MAX="1", MALLOC_TRIM_THRESHOLD_="100000")


@pytest.fixture
def pids(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """Those of a kernel and of its media process, whose stream one view watches to the end."""
    kernel.run(PULL + "stream.fps = 5")  # of each view, the first picture is what counts
    with reach(kernel) as page:  # one stays, and with it the encoder and the ring
        page.watch()
        page.frames_after(1)
        yield kernel.pid, kernel.evaluate("stream.stats().media_pid")


def test_a_thousand_views_that_come_and_go_over_each_carrier_leave_nothing(
    kernel: Kernel, pids: tuple[int, int]
) -> None:
    # Free lists fill in the first 1,500 views.
    rounds(kernel, 16, N_AT_ONCE, come_and_go_by_socket, come_and_go_by_comm)
    with growing_by_nothing(pids):
        n_rounds = math.ceil(1000 / N_AT_ONCE)
        rounds(kernel, n_rounds, N_AT_ONCE, come_and_go_by_socket, come_and_go_by_comm)


def test_views_that_come_and_go_over_webrtc_leave_nothing(
    kernel: Kernel, pids: tuple[int, int]
) -> None:
    n_rounds = math.ceil(N_WEBRTC / N_WEBRTC_AT_ONCE)
    # The first few hundred leave the allocator 5 MB more to use again; the next thousand nothing.
    rounds(kernel, max(2, n_rounds // 4), N_WEBRTC_AT_ONCE, come_and_go_by_webrtc)
    with growing_by_nothing(pids):
        rounds(kernel, n_rounds, N_WEBRTC_AT_ONCE, come_and_go_by_webrtc)
