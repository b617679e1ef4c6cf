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
from random import Random

import pytest

from gpuview.testing.link import Shaper, Way
from tests.network.link import Link
from tests.network.topology import Internet, Node, enter
from tests.waiting import wait_until

pytestmark = pytest.mark.network

_PORT = 5001
_NUMBER = struct.Struct("!I")
_PACKET_NBYTES = 1200
_HEADERS_NBYTES = 28
_RECEIVE_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")
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
    # What a machine without time for the sender sends late, is due late.
    due_s = _due_s(flow, slow)
    assert len(due_s) < flow.n_sent, "its queue has overflowed"
    assert len(flow.arrived_s) == pytest.approx(len(due_s), rel=0.05)
    late_s = [flow.arrived_s[number] - due_s[number] for number in flow.arrived_s.keys() & due_s]
    assert statistics.median(late_s) == pytest.approx(0.0, abs=0.01)
    assert min(flow.delays_s) >= 0.025
    expected_s = statistics.median(each_s - flow.sent_s[number] for number, each_s in due_s.items())
    assert statistics.median(flow.delays_s) == pytest.approx(expected_s, abs=0.01)
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
    sent_s: list[float]
    arrived_s: dict[int, float]
    """By number."""

    @property
    def n_sent(self) -> int:
        return len(self.sent_s)

    @property
    def delays_s(self) -> list[float]:
        """Of those that arrived."""
        return [time_s - self.sent_s[number] for number, time_s in self.arrived_s.items()]


def _due_s(flow: _Flow, way: Way) -> dict[int, float]:
    """Return when each packet should arrive, by its number; those that should."""
    shaper = Shaper(way, Random(0))
    due_s = (shaper.take(sent_s, _PACKET_NBYTES) for sent_s in flow.sent_s)
    return {number: each_s for number, each_s in enumerate(due_s) if each_s is not None}


def _send(source: Node, target: Node, address: str, rate_bps: float, seconds: float) -> _Flow:
    """Send packets at a rate, and return what arrived."""
    with _udp(source) as sender, _udp(target) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        # The kernel's, not this thread's.
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        receiver.bind((address, _PORT))
        receiver.settimeout(_QUIET_S)
        interval_s = _PACKET_NBYTES * 8 / rate_bps
        padding = bytes(_PACKET_NBYTES - _HEADERS_NBYTES - _NUMBER.size)
        began_s, sent_s = time.monotonic(), []
        for number in range(round(seconds / interval_s)):
            time.sleep(max(0.0, began_s + number * interval_s - time.monotonic()))
            sent_s.append(time.time())
            sender.sendto(_NUMBER.pack(number) + padding, (address, _PORT))
        return _Flow(sent_s, dict(_received(receiver)))


def _received(receiver: socket.socket) -> Iterator[tuple[int, float]]:
    """Yield each packet's number and when it arrived."""
    while True:
        try:
            data, ((_, _, stamp),), _, _ = receiver.recvmsg(2048, 64)
        except TimeoutError:
            return
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        yield _NUMBER.unpack_from(data)[0], seconds + nanoseconds / 1e9


def _udp(node: Node) -> socket.socket:
    """Return a UDP socket on a machine."""

    def make() -> socket.socket:
        enter(node.name)  # for the life of this thread
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()
