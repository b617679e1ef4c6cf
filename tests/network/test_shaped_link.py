"""The laboratory's link does what it is told: rate, delay, queue, loss, outages, each way."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from gpuview.testing.link import Way
from tests.network.link import Link
from tests.network.topology import Internet, Node, enter
from tests.waiting import wait_until

pytestmark = pytest.mark.network

_PORT = 5001
_PAYLOAD = struct.Struct("!QI")
_PACKET_NBYTES = 1200
_HEADERS_NBYTES = 28
_RECEIVE_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")
_SPAN = 40  # packets: the link's process sends several at a time
_QUIET_S = 1.0  # nothing more comes after such a silence


@dataclass(frozen=True)
class _Ends:
    link: Link
    near: Node
    far: Node


@pytest.fixture(scope="module")
def module_ends() -> Iterator[_Ends]:
    with Internet() as internet, Link() as link:
        near = internet.host("p", "198.51.100.20/28", cable=link.connect)
        yield _Ends(link, near, internet.host("k", "203.0.113.20/28"))


@pytest.fixture
def ends(module_ends: _Ends) -> _Ends:
    """Two machines with a perfect link between them."""
    module_ends.link.change(down=Way(), up=Way())
    return module_ends


@pytest.mark.parametrize("rate_bps", [2e6, 20e6])
def test_a_flow_has_the_rate_and_the_delay_of_its_direction(ends: _Ends, rate_bps: float) -> None:
    slow = Way(rate_bps=rate_bps, delay_s=0.025, queue_s=0.1)
    ends.link.change(down=slow)
    flow = _send(ends.far, ends.near, "198.51.100.20", 1.5 * rate_bps, 1.5)
    assert flow.rate_bps == pytest.approx(rate_bps, rel=0.05)
    assert min(flow.delays_s) >= 0.025
    # Its queue is full for most of the time, and what does not fit is lost.
    assert statistics.median(flow.delays_s) == pytest.approx(0.125, abs=0.01)
    assert len(flow.delays_s) < flow.n_sent
    back = _send(ends.near, ends.far, "203.0.113.20", 2e6, 0.5)
    assert back.n_sent == len(back.delays_s)
    assert statistics.median(back.delays_s) < 0.01


def test_a_flow_below_the_rate_has_only_the_delay(ends: _Ends) -> None:
    ends.link.change(up=Way(rate_bps=20e6, delay_s=0.025))
    flow = _send(ends.near, ends.far, "203.0.113.20", 2e6, 1.0)
    assert flow.n_sent == len(flow.delays_s)
    assert statistics.median(flow.delays_s) == pytest.approx(0.026, abs=0.005)


def test_a_flow_loses_its_share(ends: _Ends) -> None:
    ends.link.change(down=Way(loss=0.1))
    flow = _send(ends.far, ends.near, "198.51.100.20", 20e6, 1.0)
    expected = 0.1 * flow.n_sent
    lost = flow.n_sent - len(flow.delays_s)
    assert lost == pytest.approx(expected, abs=5 * (0.9 * expected) ** 0.5)


def test_a_cut_link_carries_nothing_and_then_carries_again(ends: _Ends) -> None:
    ends.link.cut(60.0)
    assert not _send(ends.far, ends.near, "198.51.100.20", 2e6, 0.1).delays_s
    ends.link.cut(0.0)
    flow = _send(ends.far, ends.near, "198.51.100.20", 2e6, 0.1)
    assert len(flow.delays_s) == flow.n_sent


def test_the_devices_go_with_a_process_that_is_killed() -> None:
    with Internet() as internet, Link() as link:
        near = internet.host("p", "198.51.100.20/28", cable=link.connect)
        assert "wan" in near.run("ip -br link")
        os.kill(link.pid, signal.SIGKILL)
        wait_until(lambda: "wan" not in near.run("ip -br link"), "its device is gone")


@dataclass(frozen=True)
class _Flow:
    n_sent: int
    delays_s: list[float]
    """Of those that arrived."""
    rate_bps: float
    """The usual rate of some packets in a row."""


def _send(source: Node, target: Node, address: str, rate_bps: float, seconds: float) -> _Flow:
    """Send packets at a rate, and return what arrived."""
    with _udp(source) as sender, _udp(target) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        receiver.setsockopt(
            socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1
        )  # the kernel's, not this thread's
        receiver.bind((address, _PORT))
        receiver.settimeout(_QUIET_S)
        interval_s = _PACKET_NBYTES * 8 / rate_bps
        padding = bytes(_PACKET_NBYTES - _HEADERS_NBYTES - _PAYLOAD.size)
        began_s = time.monotonic()
        n_sent = round(seconds / interval_s)
        for number in range(n_sent):
            time.sleep(max(0.0, began_s + number * interval_s - time.monotonic()))
            stamp = _PAYLOAD.pack(time.time_ns(), number)
            sender.sendto(stamp + padding, (address, _PORT))
        return _flow(n_sent, list(_received(receiver)))


def _received(receiver: socket.socket) -> Iterator[tuple[float, float]]:
    """Yield when each packet arrived and when it was sent."""
    while True:
        try:
            data, ((_, _, stamp),), _, _ = receiver.recvmsg(2048, 64)
        except TimeoutError:
            return
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        yield seconds + nanoseconds / 1e9, _PAYLOAD.unpack_from(data)[0] / 1e9


def _flow(n_sent: int, received: list[tuple[float, float]]) -> _Flow:
    arrived = [arrived_s for arrived_s, _ in received]
    # Usually: a machine without time for the sender or the link stops the flow now and then.
    spans_s = [end - begin for begin, end in zip(arrived, arrived[_SPAN:], strict=False)]
    rate_bps = _SPAN * _PACKET_NBYTES * 8 / statistics.median(spans_s) if spans_s else 0.0
    return _Flow(n_sent, [arrived_s - sent_s for arrived_s, sent_s in received], rate_bps)


def _udp(node: Node) -> socket.socket:
    """Return a UDP socket on a machine."""

    def make() -> socket.socket:
        enter(node.name)  # for the life of this thread
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()
