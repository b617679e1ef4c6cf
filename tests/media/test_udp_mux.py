"""One port for all: who gets which datagram, and what is dropped."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aioice import Connection, stun

from gpuview.media.sockets import bind_sockets
from gpuview.media.udp_mux import MuxEventLoop, UdpMux

PASSWORD = "p" * 22


class Protocol:
    """Stands in for aioice's StunProtocol: what the mux touches, and a record of what it got."""

    def __init__(self, ufrag: str) -> None:
        self.receiver = self
        self.local_username = ufrag
        self.local_password = PASSWORD
        self.transactions: dict[bytes, object] = {}
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self.is_lost = False

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.received.append((data, address))

    def connection_made(self, transport: object) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class World:
    """A mux on a loop of its own, and sockets that send to it."""

    def __init__(self, loop: MuxEventLoop, mux: UdpMux) -> None:
        self.loop = loop
        self.mux = mux
        self._senders: list[socket.socket] = []

    def open(self, ufrag: str, host: str = "127.0.0.1") -> tuple[Protocol, Any]:
        protocol = Protocol(ufrag)
        return protocol, self.mux.open_doorway(protocol, host)  # type: ignore[arg-type]

    def sender(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(5)
        sock.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", self.mux.port))
        self._senders.append(sock)
        return sock

    def deliver(self, sender: socket.socket, data: bytes) -> None:
        """Send, and let the mux read everything that has come; loopback keeps the order."""
        sender.send(data)
        for sock in self.mux._sockets.values():
            self.mux._read(sock)

    def close(self) -> None:
        for sock in self._senders:
            sock.close()
        self.mux.close()


@pytest.fixture
def world() -> Iterator[World]:
    loop = MuxEventLoop()
    world = World(loop, UdpMux(loop, bind_sockets(None, None)))
    yield world
    world.close()
    loop.close()


def request(ufrag: str, password: str = PASSWORD) -> bytes:
    """Return a connectivity check, as a browser sends it."""
    message = stun.Message(
        message_method=stun.Method.BINDING,
        message_class=stun.Class.REQUEST,
        attributes={"USERNAME": f"{ufrag}:them", "PRIORITY": 1, "ICE-CONTROLLING": 1},
    )
    message.add_message_integrity(password.encode())
    return bytes(message)


def response(transaction_id: bytes) -> bytes:
    return bytes(
        stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=transaction_id,
        )
    )


MEDIA = b"\x80media of some kind"
ASKED = [(socket.IPPROTO_IP, 8, bytes([0, 0, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]))]


def test_checks_find_their_connection_by_user_name(world: World) -> None:
    (first, _), (second, _) = world.open("aaaa"), world.open("bbbb")
    sender = world.sender()
    world.deliver(sender, request("bbbb"))
    assert not first.received
    assert [address for _, address in second.received] == [sender.getsockname()]


def test_media_follows_the_address_that_a_check_came_from(world: World) -> None:
    (first, _), (second, _) = world.open("aaaa"), world.open("bbbb")
    left, right = world.sender(), world.sender()
    world.deliver(left, request("aaaa"))
    world.deliver(right, request("bbbb"))
    world.deliver(right, MEDIA)
    assert [data for data, _ in first.received if data == MEDIA] == []
    assert [data for data, _ in second.received if data == MEDIA] == [MEDIA]


def test_media_from_an_address_that_nobody_vouched_for_is_dropped(world: World) -> None:
    protocol, _ = world.open("aaaa")
    world.deliver(world.sender(), MEDIA)
    assert not protocol.received
    assert world.mux.dropped["unknown address"] == 1


def test_spoofed_check_binds_no_address(world: World) -> None:
    protocol, _ = world.open("aaaa")
    spoofer = world.sender()
    world.deliver(spoofer, request("aaaa", password="x" * 22))
    world.deliver(spoofer, MEDIA)
    assert not protocol.received
    assert world.mux.dropped == {"wrong message integrity": 1, "unknown address": 1}


def test_check_for_an_unknown_user_is_dropped_without_an_answer(world: World) -> None:
    world.open("aaaa")
    sender = world.sender()
    world.deliver(sender, request("zzzz"))
    sender.setblocking(False)
    with pytest.raises(BlockingIOError):
        sender.recv(100)
    assert world.mux.dropped["unknown user name"] == 1


def test_answers_find_the_connection_that_asked(world: World) -> None:
    (first, _), (second, _) = world.open("aaaa"), world.open("bbbb")
    second.transactions[b"t" * 12] = object()
    world.deliver(world.sender(), response(b"t" * 12))
    assert not first.received
    assert len(second.received) == 1


def test_browser_that_moves_to_another_port_is_followed(world: World) -> None:
    protocol, _ = world.open("aaaa")
    for _ in range(2):
        sender = world.sender()
        world.deliver(sender, request("aaaa"))
        world.deliver(sender, MEDIA)
    assert len([data for data, _ in protocol.received if data == MEDIA]) == 2


def test_browser_is_answered_from_the_address_that_it_asked(world: World) -> None:
    _, doorway = world.open("aaaa")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(5)
        # Linux has all of 127.0.0.0/8, and would answer from 127.0.0.1.
        sender.bind(("127.0.0.1", 0))
        sender.connect(("127.0.0.2", world.mux.port))
        world.deliver(sender, request("aaaa"))
        doorway.sendto(MEDIA, sender.getsockname())
        assert sender.recv(100) == MEDIA
        # The same browser, by another way.
        sender.connect(("127.0.0.1", world.mux.port))
        world.deliver(sender, request("aaaa"))
        doorway.sendto(MEDIA, sender.getsockname())
        assert sender.recv(100) == MEDIA
    assert not world.mux._sources


def test_address_that_two_connections_claim_goes_to_the_last(world: World) -> None:
    (first, first_doorway), (second, _) = world.open("aaaa"), world.open("bbbb")
    sender = world.sender()
    world.deliver(sender, request("aaaa"))
    world.deliver(sender, request("bbbb"))
    first_doorway._mux.remove(first_doorway)
    world.deliver(sender, MEDIA)
    assert second.received[-1][0] == MEDIA
    assert MEDIA not in [data for data, _ in first.received]


def test_closing_forgets_everything_about_a_connection(world: World) -> None:
    protocol, doorway = world.open("aaaa")
    other, _ = world.open("bbbb")
    sender, stays = world.sender(), world.sender()
    world.deliver(sender, request("aaaa"))
    world.deliver(stays, request("bbbb"))

    async def close() -> None:
        doorway.close()
        doorway.close()

    world.loop.run_until_complete(close())
    world.deliver(sender, MEDIA)
    world.deliver(sender, request("aaaa"))
    world.deliver(stays, MEDIA)
    assert protocol.is_lost
    assert len(protocol.received) == 1
    assert other.received[-1][0] == MEDIA
    assert len(world.mux._by_address) == len(world.mux._by_ufrag) == 1


def test_flood_of_addresses_keeps_the_table_small(world: World) -> None:
    protocol, _ = world.open("aaaa")
    check = request("aaaa")
    for port in range(1, 1001):
        message = stun.parse_message(check)
        (sock,) = [s for s in world.mux._sockets.values() if s.family == socket.AF_INET]
        world.mux._route(sock, bytes(message), ("127.0.0.1", port), ASKED)
    assert len(world.mux._by_address) == 64
    assert len(protocol.received) == 1000


def test_garbage_is_dropped_and_counted_and_changes_nothing(world: World) -> None:
    protocol, _ = world.open("aaaa")
    good = request("aaaa")
    (sock,) = [s for s in world.mux._sockets.values() if s.family == socket.AF_INET]
    chance = random.Random(7)
    n = 20_000
    for _ in range(n):
        source = ("192.0.2.1", chance.randrange(65536))
        world.mux._route(sock, _garbage(chance, good), source, ASKED)
    assert world.mux.dropped.total() == n
    assert not protocol.received
    assert not world.mux._by_address


def _garbage(chance: random.Random, good: bytes) -> bytes:
    """Return noise, noise that begins like STUN, or a check with one bit wrong."""
    kind = chance.randrange(3)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return b"\x00\x01" + chance.randbytes(2) + good[4:8] + chance.randbytes(60)
    # Not in the last 8 bytes: the FINGERPRINT's own value only matters to who asks for it.
    position = chance.randrange(4, len(good) - 8)
    flipped = bytearray(good)
    flipped[position] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def test_ipv6_has_its_own_socket_with_the_same_port(world: World) -> None:
    if socket.AF_INET6 not in world.mux._sockets:
        pytest.skip("this machine has no IPv6")
    protocol, _ = world.open("aaaa", host="::1")
    sender = world.sender(socket.AF_INET6)
    world.deliver(sender, request("aaaa"))
    world.deliver(sender, MEDIA)
    assert protocol.received[-1] == (MEDIA, ("::1", sender.getsockname()[1]))


def run(work: Callable[[MuxEventLoop, UdpMux], Awaitable[None]]) -> None:
    """Run on a loop whose host sockets lead to a mux."""
    with asyncio.Runner(loop_factory=MuxEventLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, MuxEventLoop)
        loop.mux = UdpMux(loop, bind_sockets(None, None))
        try:
            runner.run(work(loop, loop.mux))  # type: ignore[arg-type]
        finally:
            loop.mux.close()


def test_aioice_gathers_the_shared_port_and_leaves_nothing_behind() -> None:
    async def gather(loop: MuxEventLoop, mux: UdpMux) -> None:
        connections = [Connection(ice_controlling=False) for _ in range(3)]
        for connection in connections:
            await connection.gather_candidates()
            assert {candidate.port for candidate in connection.local_candidates} == {mux.port}
        assert len(mux._by_ufrag) == 3
        for connection in connections:
            await connection.close()
        assert not mux._by_ufrag

    run(gather)


def test_other_sockets_of_the_loop_are_ordinary_ones() -> None:
    async def connect(loop: MuxEventLoop, mux: UdpMux) -> None:
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", mux.port)
        )
        assert transport.get_extra_info("socket") is not None
        transport.close()

    run(connect)
