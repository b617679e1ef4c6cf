"""One port for all: who gets which datagram, and what is dropped."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator

import pytest
from aioice import stun

from gpuview.media.ice.sockets import Address, bind_sockets
from gpuview.media.ice.udp_mux import MuxedConnection, SocketTransport, UdpMux

PASSWORD = "p" * 22


class Protocol:
    """An ICE connection that records its datagrams."""

    def __init__(self, ufrag: str) -> None:
        self.ufrag = ufrag
        self.password = PASSWORD
        self.requests: set[bytes] = set()
        self.received: list[tuple[bytes, Address]] = []
        self.is_lost = False

    def datagram_received(self, data: bytes, address: Address) -> None:
        self.received.append((data, address))

    def awaits(self, transaction_id: bytes) -> bool:
        return transaction_id in self.requests

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class MuxHarness:
    """A mux on a loop of its own, and sockets that send to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, mux: UdpMux) -> None:
        self.loop = loop
        self.mux = mux
        self._senders: list[socket.socket] = []

    def open(self, ufrag: str, host: str = "127.0.0.1") -> tuple[Protocol, MuxedConnection]:
        protocol = Protocol(ufrag)
        return protocol, self.mux.open_connection(protocol, self.transport(host))

    def transport(self, host: str = "127.0.0.1") -> SocketTransport:
        transport = self.mux.transport_for(host)
        assert transport is not None
        return transport

    def sender(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(30)
        sock.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", self.mux.port))
        self._senders.append(sock)
        return sock

    def deliver(self, sender: socket.socket, data: bytes) -> None:
        """Send, and let the mux read everything that has come; loopback keeps the order."""
        sender.send(data)
        self.read()

    def read(self) -> None:
        for transport in self.mux._transports.values():
            self.mux._read(transport)

    def close(self) -> None:
        for sock in self._senders:
            sock.close()
        self.mux.close()


@pytest.fixture
def harness() -> Iterator[MuxHarness]:
    loop = asyncio.new_event_loop()
    harness = MuxHarness(loop, UdpMux(loop, bind_sockets(None, None)))
    yield harness
    harness.close()
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


def test_checks_find_their_connection_by_user_name(harness: MuxHarness) -> None:
    (first, _), (second, _) = harness.open("aaaa"), harness.open("bbbb")
    sender = harness.sender()
    harness.deliver(sender, request("bbbb"))
    assert not first.received
    assert [address for _, address in second.received] == [sender.getsockname()]


def test_media_follows_the_address_that_a_check_came_from(harness: MuxHarness) -> None:
    (first, _), (second, _) = harness.open("aaaa"), harness.open("bbbb")
    left, right = harness.sender(), harness.sender()
    harness.deliver(left, request("aaaa"))
    harness.deliver(right, request("bbbb"))
    harness.deliver(right, MEDIA)
    assert [data for data, _ in first.received if data == MEDIA] == []
    assert [data for data, _ in second.received if data == MEDIA] == [MEDIA]


def test_media_from_an_address_that_nobody_vouched_for_is_dropped(harness: MuxHarness) -> None:
    protocol, _ = harness.open("aaaa")
    harness.deliver(harness.sender(), MEDIA)
    assert not protocol.received
    assert harness.mux.dropped["unknown address"] == 1


def test_spoofed_check_binds_no_address(harness: MuxHarness) -> None:
    protocol, _ = harness.open("aaaa")
    spoofer = harness.sender()
    harness.deliver(spoofer, request("aaaa", password="x" * 22))
    harness.deliver(spoofer, MEDIA)
    assert not protocol.received
    assert harness.mux.dropped == {"wrong message integrity": 1, "unknown address": 1}


def test_check_for_an_unknown_user_is_dropped_without_an_answer(harness: MuxHarness) -> None:
    harness.open("aaaa")
    sender = harness.sender()
    harness.deliver(sender, request("zzzz"))
    sender.setblocking(False)
    with pytest.raises(BlockingIOError):
        sender.recv(100)
    assert harness.mux.dropped["unknown user name"] == 1


def test_answers_find_the_connection_that_asked(harness: MuxHarness) -> None:
    (first, _), (second, _) = harness.open("aaaa"), harness.open("bbbb")
    second.requests.add(b"t" * 12)
    harness.deliver(harness.sender(), response(b"t" * 12))
    assert not first.received
    assert len(second.received) == 1


def test_browser_that_moves_to_another_port_is_followed(harness: MuxHarness) -> None:
    protocol, _ = harness.open("aaaa")
    for _ in range(2):
        sender = harness.sender()
        harness.deliver(sender, request("aaaa"))
        harness.deliver(sender, MEDIA)
    assert len([data for data, _ in protocol.received if data == MEDIA]) == 2


def test_browser_is_answered_from_the_address_that_it_asked(harness: MuxHarness) -> None:
    _, connection = harness.open("aaaa")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(30)
        # Linux has all of 127.0.0.0/8, and would answer from 127.0.0.1.
        sender.bind(("127.0.0.1", 0))
        sender.connect(("127.0.0.2", harness.mux.port))
        harness.deliver(sender, request("aaaa"))
        connection.sendto(MEDIA, sender.getsockname())
        assert sender.recv(100) == MEDIA
        # The same browser, by another way.
        sender.connect(("127.0.0.1", harness.mux.port))
        harness.deliver(sender, request("aaaa"))
        connection.sendto(MEDIA, sender.getsockname())
        assert sender.recv(100) == MEDIA
    assert not harness.transport()._sources


def test_address_that_two_connections_claim_goes_to_the_last(harness: MuxHarness) -> None:
    (first, first_connection), (second, _) = harness.open("aaaa"), harness.open("bbbb")
    sender = harness.sender()
    harness.deliver(sender, request("aaaa"))
    harness.deliver(sender, request("bbbb"))
    harness.mux._remove_connection(first_connection)
    harness.deliver(sender, MEDIA)
    assert second.received[-1][0] == MEDIA
    assert MEDIA not in [data for data, _ in first.received]


def test_closing_forgets_everything_about_a_connection(harness: MuxHarness) -> None:
    protocol, connection = harness.open("aaaa")
    other, _ = harness.open("bbbb")
    sender, stays = harness.sender(), harness.sender()
    harness.deliver(sender, request("aaaa"))
    harness.deliver(stays, request("bbbb"))

    async def close() -> None:
        connection.close()
        connection.close()

    harness.loop.run_until_complete(close())
    harness.deliver(sender, MEDIA)
    harness.deliver(sender, request("aaaa"))
    harness.deliver(stays, MEDIA)
    assert protocol.is_lost
    assert len(protocol.received) == 1
    assert other.received[-1][0] == MEDIA
    assert len(harness.mux._by_address) == len(harness.mux._by_ufrag) == 1


def test_flood_of_addresses_keeps_the_table_small(harness: MuxHarness) -> None:
    protocol, _ = harness.open("aaaa")
    check = request("aaaa")
    for port in range(1, 1001):
        message = stun.parse_message(check)
        harness.mux.receive(
            harness.transport(), bytes(message), ("127.0.0.1", port), lambda: "127.0.0.1"
        )
    assert len(harness.mux._by_address) == len(harness.transport()._local_hosts) == 64
    assert len(protocol.received) == 1000


def test_garbage_is_dropped_and_counted_and_changes_nothing(harness: MuxHarness) -> None:
    protocol, _ = harness.open("aaaa")
    good = request("aaaa")
    senders = [harness.sender() for _ in range(4)]
    harness.mux.open_client(Client(), senders[0].getsockname())
    chance = random.Random(7)
    n = 100_000
    for count in range(n):
        senders[count % 4].send(_garbage(chance, good))
        if count % 50 == 49:
            harness.read()
    assert harness.mux.dropped.total() == n
    assert harness.mux.dropped["unexpected from a server"] == n // 4
    assert not protocol.received
    assert not harness.mux._by_address
    assert not harness.transport()._local_hosts


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


def test_media_that_has_the_length_of_a_check_harms_nobody(harness: MuxHarness) -> None:
    """aioice takes it for STUN, and its parser trips over an attribute of two bytes."""
    protocol, _ = harness.open("aaaa")
    sender = harness.sender()
    harness.deliver(sender, request("aaaa"))
    protocol.datagram_received = lambda data, _: stun.parse_message(data)  # type: ignore[method-assign, assignment, return-value]
    harness.deliver(sender, bytes((0, 1, 0, 8)) + bytes(16) + bytes((0, 0x24, 0, 2)) + bytes(4))
    assert harness.mux.dropped == {"malformed STUN": 1}


def test_ipv6_has_its_own_socket_with_the_same_port(harness: MuxHarness) -> None:
    if harness.mux.transport_for("::1") is None:
        pytest.skip("this machine has no IPv6")
    protocol, _ = harness.open("aaaa", host="::1")
    sender = harness.sender(socket.AF_INET6)
    harness.deliver(sender, request("aaaa"))
    harness.deliver(sender, MEDIA)
    assert protocol.received[-1] == (MEDIA, ("::1", sender.getsockname()[1]))


class Client:
    """A client of a STUN or TURN server that expects some datagrams, and records them."""

    def __init__(self, *expected: bytes) -> None:
        self.expected = expected
        self.received: list[bytes] = []

    def expects(self, data: bytes) -> bool:
        return data in self.expected

    def datagram_received(self, data: bytes, address: Address) -> None:
        self.received.append(data)

    def connection_lost(self, exc: Exception | None) -> None: ...


def test_servers_datagrams_go_to_the_client_that_expects_them_until_it_is_closed(
    harness: MuxHarness,
) -> None:
    sender = harness.sender()
    first, second = Client(b"first"), Client(b"second")
    transports = [harness.mux.open_client(each, sender.getsockname()) for each in (first, second)]
    harness.deliver(sender, b"first")
    harness.deliver(sender, b"second")

    async def close(transport: asyncio.DatagramTransport) -> None:
        transport.close()
        transport.close()

    harness.loop.run_until_complete(close(transports[0]))
    harness.deliver(sender, b"first")
    assert (first.received, second.received) == ([b"first"], [b"second"])
    assert harness.mux.dropped == {"unexpected from a server": 1}
    harness.loop.run_until_complete(close(transports[1]))
    harness.deliver(sender, b"second")
    assert harness.mux.dropped["unknown address"] == 1


def test_client_sends_to_its_server_until_it_is_closed(harness: MuxHarness) -> None:
    server = harness.sender()
    transport = harness.mux.open_client(Client(), server.getsockname())
    transport.sendto(b"a request")
    assert server.recv(100) == b"a request"

    async def close() -> None:
        transport.abort()

    harness.loop.run_until_complete(close())
    transport.sendto(b"too late")
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(100)


class Relay:
    """A transport that records what is sent through it."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []

    def send(self, data: bytes, address: Address) -> None:
        self.sent.append((data, address))

    def learn(self, address: Address, local_host: str) -> None: ...

    def forget(self, address: Address) -> None: ...


def test_relay_is_one_more_way_to_the_same_connection(harness: MuxHarness) -> None:
    relay, protocol = Relay(), Protocol("aaaa")
    direct = harness.mux.open_connection(protocol, harness.transport())
    relayed = harness.mux.open_connection(protocol, relay)
    browser = ("198.51.100.7", 4000)
    harness.mux.receive(relay, request("aaaa"), browser, lambda: "192.0.2.9")
    harness.mux.receive(relay, MEDIA, browser, lambda: "192.0.2.9")
    assert [data for data, _ in protocol.received][1:] == [MEDIA]
    assert list(relayed.addresses) == [browser]
    assert not direct.addresses
    relayed.sendto(MEDIA, browser)
    assert relay.sent == [(MEDIA, browser)]
    # The same address through another transport is another address.
    harness.mux.receive(harness.transport(), MEDIA, browser, lambda: "127.0.0.1")
    assert harness.mux.dropped == {"unknown address": 1}
    assert harness.mux.has_remote_address("aaaa")


def test_connections_of_a_relay_that_has_gone_are_closed(harness: MuxHarness) -> None:
    relay = Relay()
    lost, kept = Protocol("aaaa"), Protocol("aaaa")
    harness.mux.open_connection(lost, relay)
    harness.mux.open_connection(kept, harness.transport())

    async def lose() -> None:
        harness.mux.close_connections(relay)

    harness.loop.run_until_complete(lose())
    assert lost.is_lost
    assert not kept.is_lost
    assert harness.mux._by_ufrag["aaaa"]
