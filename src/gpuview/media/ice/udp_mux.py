"""One UDP port for all viewers, and for the servers that help them.

A connection gets a doorway into the shared sockets (one for each address family) instead of sockets
of its own, so that five forwarded ports serve five kernels with any number of viewers, and a proxy
that only knows 127.0.0.1 gets through as well. A TURN relay is one way in more: what comes through
it is sorted like what comes from a socket.

A datagram finds its connection like this:

    from a STUN or TURN server     by the server's address, to whoever asked it
    STUN request                   by the ICE user name fragment in USERNAME ("ours:theirs")
    STUN response                  by the transaction id of the request that it answers
    anything else                  by the sender's address

An address is believed only after a STUN request from it has passed the message-integrity check with
that connection's password. Everything else is dropped and counted, and leaves no trace.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from aioice import stun
from aioice.ice import StunProtocol

from gpuview.media.ice.sockets import (
    ANCILLARY_NBYTES,
    Address,
    Ancillary,
    asked_address,
    preferred_source,
    source_of,
)

__all__ = ["Doorway", "Leg", "SocketLeg", "UdpMux"]

_MAX_DATAGRAM = 65535
_MAX_READS = 64  # datagrams read before the loop gets its turn again
_MAX_ADDRESSES = 64  # addresses believed for one connection; a browser has a handful
_STUN_COOKIE = b"\x21\x12\xa4\x42"

Hear = Callable[[bytes], bool]
"""Is given a datagram; tells whether it was expected."""


class Leg(Protocol):
    """A way that datagrams come and go: a shared socket, or a relay."""

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram; like any network, may lose it."""

    def believe(self, address: Address, asked: str) -> None:
        """Take note that ``address`` is a viewer's, which sent to our address ``asked``."""

    def disbelieve(self, address: Address) -> None:
        """Forget what `believe` noted."""


class SocketLeg:
    """One of the shared sockets; answers an address from where it was asked."""

    def __init__(self, sock: socket.socket, dropped: Counter[str]) -> None:
        self.sock = sock
        self._dropped = dropped
        self._asked: dict[Address, str] = {}
        self._sources: dict[Address, Ancillary] = {}  # of addresses that need one

    def send(self, data: bytes, address: Address) -> None:
        source = self._sources.get(address)
        try:
            if source is None:
                self.sock.sendto(data, address)
            else:
                self.sock.sendmsg([data], source, 0, address)
        except OSError as exc:
            self._dropped[f"send: {type(exc).__name__}"] += 1

    def believe(self, address: Address, asked: str) -> None:
        if self._asked.get(address) == asked:
            return
        self._asked[address] = asked
        if preferred_source(self.sock.family, address) == asked:
            self._sources.pop(address, None)
        else:
            self._sources[address] = source_of(asked)

    def disbelieve(self, address: Address) -> None:
        self._asked.pop(address, None)
        self._sources.pop(address, None)


class UdpMux:
    """Routes the datagrams of the shared sockets and of relays. Lives on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sockets: Sequence[socket.socket]) -> None:
        self.dropped: Counter[str] = Counter()
        """How many datagrams were dropped, by reason."""
        self.port = int(sockets[0].getsockname()[1])
        self._loop = loop
        self._legs = {sock.family: SocketLeg(sock, self.dropped) for sock in sockets}
        self._by_ufrag: dict[str, list[Doorway]] = {}
        self._by_address: dict[tuple[Leg, Address], Doorway] = {}
        self._servers: dict[Address, list[Hear]] = {}
        for leg in self._legs.values():
            loop.add_reader(leg.sock.fileno(), self._read, leg)

    def leg(self, host: str) -> SocketLeg | None:
        """Return the socket of the family of ``host``; None where the machine has none."""
        return self._legs.get(socket.AF_INET6 if ":" in host else socket.AF_INET)

    def open_doorway(self, protocol: StunProtocol, leg: Leg, sockname: Address) -> Doorway:
        """Give one ICE connection its doorway for the local address ``sockname``."""
        doorway = Doorway(self, leg, protocol, sockname)
        self._by_ufrag.setdefault(doorway.ufrag, []).append(doorway)
        return doorway

    def remove(self, doorway: Doorway) -> None:
        """Forget everything that leads to ``doorway``."""
        siblings = self._by_ufrag.get(doorway.ufrag, [])
        if doorway in siblings:
            siblings.remove(doorway)
        if not siblings:
            self._by_ufrag.pop(doorway.ufrag, None)
        for address in list(doorway.addresses):
            self._disbelieve(doorway, address)

    def has_heard(self, ufrag: str) -> bool:
        """Tell whether a connectivity check for that connection has come, by any leg."""
        return any(doorway.addresses for doorway in self._by_ufrag.get(ufrag, []))

    def close_doorways(self, leg: Leg) -> None:
        """Close what leads through a leg that has gone."""
        for doorways in list(self._by_ufrag.values()):
            for doorway in [each for each in doorways if each.leg is leg]:
                doorway.close()

    def hear_server(self, address: Address, hear: Hear) -> None:
        """Give ``hear`` what comes from a STUN or TURN server, as long as it is registered."""
        self._servers.setdefault(address, []).append(hear)

    def forget_server(self, address: Address, hear: Hear) -> None:
        """Undo `hear_server`."""
        listeners = self._servers.get(address, [])
        if hear in listeners:
            listeners.remove(hear)
        if not listeners:
            self._servers.pop(address, None)

    def close(self) -> None:
        """Close the sockets. The connections must have been closed before."""
        for leg in self._legs.values():
            self._loop.remove_reader(leg.sock.fileno())
            leg.sock.close()
        self._legs.clear()

    def _read(self, leg: SocketLeg) -> None:
        for _ in range(_MAX_READS):
            try:
                data, ancillary, _, source = leg.sock.recvmsg(_MAX_DATAGRAM, ANCILLARY_NBYTES)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error about an earlier datagram; the socket itself is well.
                continue
            address = (source[0], source[1])
            if address in self._servers:
                self._receive_from_server(data, address)
            else:
                self.receive(leg, data, address, partial(asked_address, ancillary))

    def _receive_from_server(self, data: bytes, address: Address) -> None:
        # Each hears it, as a server may do STUN for one and TURN for another.
        was_expected = [hear(data) for hear in tuple(self._servers[address])]
        if not any(was_expected):
            self.dropped["unexpected from a server"] += 1

    def receive(self, leg: Leg, data: bytes, address: Address, asked: Callable[[], str]) -> None:
        """Sort one datagram that a viewer may have sent.

        Args:
            leg: How it came.
            data: What it holds.
            address: Who sent it, as ``leg`` names them.
            asked: Tells which of our addresses it was sent to.
        """
        doorway = self._by_address.get((leg, address))
        if data[4:8] == _STUN_COOKIE and data[0] < 4:
            doorway = self._stun_doorway(leg, data, address, asked)
        elif doorway is None:
            self.dropped["unknown address"] += 1
        if doorway is not None:
            try:
                doorway.protocol.datagram_received(data, address)
            except struct.error:  # aioice takes for STUN what only has the length of it
                self.dropped["malformed STUN"] += 1

    def _stun_doorway(
        self, leg: Leg, data: bytes, address: Address, asked: Callable[[], str]
    ) -> Doorway | None:
        message = _parse_stun(data)
        if message is None:
            self.dropped["malformed STUN"] += 1
            return None
        if message.message_class is not stun.Class.REQUEST:
            return self._by_transaction(message.transaction_id)
        doorway = self._by_request(leg, message)
        if doorway is not None:
            self._believe(doorway, address, asked())
        return doorway

    def _by_transaction(self, transaction_id: bytes) -> Doorway | None:
        # A scan, but of a response only: one in five seconds for each viewer.
        for doorways in self._by_ufrag.values():
            for doorway in doorways:
                if transaction_id in doorway.protocol.transactions:
                    return doorway
        self.dropped["unknown STUN response"] += 1
        return None

    def _by_request(self, leg: Leg, message: stun.Message) -> Doorway | None:
        username = message.attributes.get("USERNAME", "")
        candidates = self._by_ufrag.get(str(username).partition(":")[0], [])
        doorway = next((each for each in candidates if each.leg is leg), None)
        if doorway is None:
            self.dropped["unknown user name"] += 1
            return None
        if "PRIORITY" not in message.attributes or not message.check_message_integrity(
            doorway.protocol.receiver.local_password.encode()
        ):
            self.dropped["wrong message integrity"] += 1
            return None
        return doorway

    def _believe(self, doorway: Doorway, address: Address, asked: str) -> None:
        """Route what comes from ``address`` to ``doorway``, and answer it from ``asked``."""
        previous = self._by_address.get((doorway.leg, address))
        if previous is not None and previous is not doorway:
            previous.addresses.pop(address, None)
        doorway.leg.believe(address, asked)
        self._by_address[doorway.leg, address] = doorway
        doorway.addresses[address] = None
        doorway.addresses.move_to_end(address)
        while len(doorway.addresses) > _MAX_ADDRESSES:
            self._disbelieve(doorway, next(iter(doorway.addresses)))

    def _disbelieve(self, doorway: Doorway, address: Address) -> None:
        del doorway.addresses[address]
        del self._by_address[doorway.leg, address]
        doorway.leg.disbelieve(address)

    def __repr__(self) -> str:
        return (
            f"<UdpMux port={self.port} connections={len(self._by_ufrag)} "
            f"addresses={len(self._by_address)} dropped={self.dropped.total()}>"
        )


def _parse_stun(data: bytes) -> stun.Message | None:
    # struct.error, KeyError and the like: the parser trusts attribute lengths.
    try:
        return stun.parse_message(data)
    except Exception:
        return None


class Doorway(asyncio.DatagramTransport):
    """What one ICE connection takes for its socket."""

    def __init__(self, mux: UdpMux, leg: Leg, protocol: StunProtocol, sockname: Address) -> None:
        super().__init__({"sockname": sockname})
        self._mux = mux
        self._is_closing = False
        self.leg = leg
        self.protocol = protocol
        self.ufrag: str = protocol.receiver.local_username
        self.addresses: OrderedDict[Address, None] = OrderedDict()
        """Who is believed to be this connection's browser; the latest last."""

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._is_closing:
            self.leg.send(data, addr)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._mux.remove(self)
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()
