"""UDP over a link, without root: what a socket of such a loop sends and receives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import signature
from random import Random

import pytest

from gpuview.testing.link import Link, Shaper, Way
from gpuview.testing.shaped_loop import ShapedLoop
from tests.waiting import wait_until_async

_HEADERS_NBYTES = 28


class Peer(asyncio.DatagramProtocol):
    """Keeps what comes, and when."""

    def __init__(self) -> None:
        self.received: list[tuple[float, bytes]] = []
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.append((asyncio.get_running_loop().time(), data))

    def send(self, data: bytes, to: Peer) -> None:
        self.transport.sendto(data, to.transport.get_extra_info("sockname"))

    async def wait_for(self, count: int) -> list[bytes]:
        await wait_until_async(lambda: len(self.received) >= count, f"{count} packets")
        return [data for _, data in self.received]


def over(link: Link, test: Callable[..., Awaitable[None]]) -> None:
    """Run a test with as many sockets of a loop as it takes: what one sends goes up, then down."""

    async def run() -> None:
        loop, peers = asyncio.get_running_loop(), []
        faults: list[object] = []
        loop.set_exception_handler(lambda _, fault: faults.append(fault))
        for _ in signature(test).parameters:
            opened = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
            peers.append(opened[1])
        try:
            await test(*peers)
        finally:
            for peer in peers:
                peer.transport.close()
        assert not faults

    with asyncio.Runner(loop_factory=lambda: ShapedLoop(link)) as runner:
        runner.run(run())


def two_ways(*, down: Way = Way(), up: Way = Way()) -> Link:  # noqa: B008 - immutable
    link = Link(down, seed=1)
    link.up.way = up
    return link


def test_a_packet_is_late_by_the_delay_of_both_directions() -> None:
    async def test(one: Peer, other: Peer) -> None:
        sent_s = asyncio.get_running_loop().time()
        one.send(b"x", other)
        await other.wait_for(1)
        assert other.received[0][0] - sent_s >= 0.08

    over(two_ways(down=Way(delay_s=0.05), up=Way(delay_s=0.03)), test)


def test_packets_keep_their_order() -> None:
    async def test(one: Peer, other: Peer) -> None:
        sent = [bytes([n]) for n in range(200)]
        for each in sent:
            one.send(each, other)
        assert await other.wait_for(200) == sent

    over(two_ways(down=Way(jitter_s=0.02), up=Way(delay_s=0.01)), test)


def test_which_packets_get_lost_follows_from_the_seed() -> None:
    model = Shaper(Way(loss=0.3), Random(2))
    kept = [bytes([n]) for n in range(100) if model.take(n, 1) is not None]

    async def test(one: Peer, other: Peer) -> None:
        for n in range(100):
            one.send(bytes([n]), other)
        assert await other.wait_for(len(kept)) == kept

    over(two_ways(up=Way(loss=0.3)), test)


def test_the_rate_counts_headers_and_holds_each_way() -> None:
    # A packet takes 50 ms, and a third one would find the queue full.
    slow = Way(rate_bps=(72 + _HEADERS_NBYTES) * 8 / 0.05, queue_s=0.06)
    link = two_ways(up=slow)

    async def test(one: Peer, other: Peer) -> None:
        sent_s = asyncio.get_running_loop().time()
        for n in range(4):
            one.send(bytes([n]) * 72, other)
        await other.wait_for(2)
        first_s, second_s = (when_s - sent_s for when_s, _ in other.received)
        assert first_s >= 0.05
        assert second_s >= 0.1
        assert link.up.traffic.overflowed == 2
        assert link.down.traffic.nbytes == 2 * (72 + _HEADERS_NBYTES)

    over(link, test)


@pytest.mark.parametrize("way", ["down", "up"])
def test_what_is_under_way_when_a_socket_closes_is_dropped(way: str) -> None:
    link = two_ways(**{way: Way(delay_s=0.5)})

    async def test(one: Peer, other: Peer, open_one: Peer, open_other: Peer) -> None:
        one.send(b"late", other)
        await wait_until_async(lambda: link.up.traffic.packets, "it is sent")
        await wait_until_async(lambda: way == "up" or link.down.traffic.packets, "it has come")
        (other if way == "down" else one).transport.close()
        open_one.send(b"later", open_other)
        assert await open_other.wait_for(1) == [b"later"]
        assert not other.received

    over(link, test)
