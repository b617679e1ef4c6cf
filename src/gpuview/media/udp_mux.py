"""One UDP port for all viewers.

aioice opens a socket for each connection and address. `MuxEventLoop` gives it a doorway into one
shared socket instead (one for each address family), so that five forwarded ports serve five
kernels with any number of viewers, and a proxy that only knows 127.0.0.1 gets through as well.

A datagram finds its connection like this:

    STUN request     by the ICE user name fragment in USERNAME ("ours:theirs")
    STUN response    by the transaction id of the request that it answers
    anything else    by the sender's address

An address is believed only after a STUN request from it has passed the message-integrity check with
that connection's password. Everything else is dropped and counted, and leaves no trace.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

from aioice import stun
from aioice.ice import StunProtocol

from gpuview.media.sockets import (
    ANCILLARY_NBYTES,
    Address,
    Ancillary,
    asked_address,
    preferred_source,
    source_of,
)

__all__ = ["MuxEventLoop", "UdpMux"]

_MAX_DATAGRAM = 65535
_MAX_READS = 64  # datagrams read before the loop gets its turn again
_MAX_ADDRESSES = 64  # addresses believed for one connection; a browser has a handful
_STUN_COOKIE = b"\x21\x12\xa4\x42"


class UdpMux:
    """Routes the datagrams of the shared sockets. Lives on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sockets: Sequence[socket.socket]) -> None:
        self._loop = loop
        self._sockets = {sock.family: sock for sock in sockets}
        self._by_ufrag: dict[str, list[_Doorway]] = {}
        self._by_address: dict[Address, _Doorway] = {}
        self._sources: dict[Address, Ancillary] = {}  # of addresses that need one
        self.port = int(sockets[0].getsockname()[1])
        self.dropped: Counter[str] = Counter()
        """How many datagrams were dropped, by reason."""
        for sock in sockets:
            loop.add_reader(sock.fileno(), self._read, sock)

    def open_doorway(self, protocol: StunProtocol, host: str) -> _Doorway:
        """Give one ICE connection its doorway for the local address ``host``.

        Raises:
            OSError: The machine has no socket of that family; aioice then leaves the address out.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self._sockets.get(family)
        if sock is None:
            raise OSError(f"no socket for {host}")
        doorway = _Doorway(self, sock, protocol, host)
        self._by_ufrag.setdefault(doorway.ufrag, []).append(doorway)
        return doorway

    def remove(self, doorway: _Doorway) -> None:
        """Forget everything that leads to ``doorway``."""
        siblings = self._by_ufrag.get(doorway.ufrag, [])
        if doorway in siblings:
            siblings.remove(doorway)
        if not siblings:
            self._by_ufrag.pop(doorway.ufrag, None)
        for address in doorway.addresses:
            if self._by_address.get(address) is doorway:
                self._disbelieve(address)
        doorway.addresses.clear()

    def send(self, sock: socket.socket, data: bytes, address: Address) -> None:
        """Send one datagram; like any network, may lose it."""
        source = self._sources.get(address)
        try:
            if source is None:
                sock.sendto(data, address)
            else:
                sock.sendmsg([data], source, 0, address)
        except OSError as exc:
            self.dropped[f"send: {type(exc).__name__}"] += 1

    def close(self) -> None:
        """Close the sockets. The connections must have been closed before."""
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_MAX_READS):
            try:
                data, ancillary, _, source = sock.recvmsg(_MAX_DATAGRAM, ANCILLARY_NBYTES)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error about an earlier datagram; the socket itself is well.
                continue
            self._route(sock, data, (source[0], source[1]), ancillary)

    def _route(
        self, sock: socket.socket, data: bytes, address: Address, ancillary: Ancillary
    ) -> None:
        doorway = self._by_address.get(address)
        if data[4:8] == _STUN_COOKIE and data[0] < 4:
            doorway = self._stun_doorway(sock, data, address, ancillary)
        elif doorway is None:
            self.dropped["unknown address"] += 1
        if doorway is not None:
            doorway.protocol.datagram_received(data, address)

    def _stun_doorway(
        self, sock: socket.socket, data: bytes, address: Address, ancillary: Ancillary
    ) -> _Doorway | None:
        message = _parse_stun(data)
        if message is None:
            self.dropped["malformed STUN"] += 1
            return None
        if message.message_class is not stun.Class.REQUEST:
            return self._by_transaction(message.transaction_id)
        doorway = self._by_request(sock, message)
        if doorway is not None:
            self._believe(address, doorway, asked_address(ancillary))
        return doorway

    def _by_transaction(self, transaction_id: bytes) -> _Doorway | None:
        # A scan, but of a response only: one in five seconds for each viewer.
        for doorways in self._by_ufrag.values():
            for doorway in doorways:
                if transaction_id in doorway.protocol.transactions:
                    return doorway
        self.dropped["unknown STUN response"] += 1
        return None

    def _by_request(self, sock: socket.socket, message: stun.Message) -> _Doorway | None:
        username = message.attributes.get("USERNAME", "")
        candidates = self._by_ufrag.get(str(username).partition(":")[0], [])
        doorway = next((each for each in candidates if each.sock is sock), None)
        if doorway is None:
            self.dropped["unknown user name"] += 1
            return None
        if "PRIORITY" not in message.attributes or not message.check_message_integrity(
            doorway.protocol.receiver.local_password.encode()
        ):
            self.dropped["wrong message integrity"] += 1
            return None
        return doorway

    def _believe(self, address: Address, doorway: _Doorway, asked: str) -> None:
        """Route what comes from ``address`` to ``doorway``, and answer it from ``asked``."""
        previous = self._by_address.get(address)
        if previous is not None and previous is not doorway:
            previous.addresses.pop(address, None)
        if previous is not doorway or doorway.addresses[address] != asked:
            self._choose_source(doorway.sock, address, asked)
        self._by_address[address] = doorway
        doorway.addresses[address] = asked
        doorway.addresses.move_to_end(address)
        while len(doorway.addresses) > _MAX_ADDRESSES:
            oldest, _ = doorway.addresses.popitem(last=False)
            self._disbelieve(oldest)

    def _disbelieve(self, address: Address) -> None:
        del self._by_address[address]
        self._sources.pop(address, None)

    def _choose_source(self, sock: socket.socket, address: Address, asked: str) -> None:
        if preferred_source(sock.family, address) == asked:
            self._sources.pop(address, None)
        else:
            self._sources[address] = source_of(asked)

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


class _Doorway(asyncio.DatagramTransport):
    """What one ICE connection takes for its socket."""

    def __init__(self, mux: UdpMux, sock: socket.socket, protocol: StunProtocol, host: str) -> None:
        super().__init__({"sockname": (host, mux.port)})
        self._mux = mux
        self._is_closing = False
        self.sock = sock
        self.protocol = protocol
        self.ufrag: str = protocol.receiver.local_username
        self.addresses: OrderedDict[Address, str] = OrderedDict()
        """Who is believed to be this connection's browser, and which of our addresses it asked."""

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._is_closing:
            self._mux.send(self.sock, data, addr)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._mux.remove(self)
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class MuxEventLoop(asyncio.SelectorEventLoop):
    """An event loop on which aioice's host sockets are doorways into one `UdpMux`.

    aioice asks for ``local_addr=(address, 0)``; that call, and no other, is answered by the mux.
    """

    mux: UdpMux | None = None

    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        **options: Any,
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        if self.mux is None or local_addr is None or local_addr[1] != 0 or remote_addr:
            return await super().create_datagram_endpoint(
                protocol_factory, local_addr, remote_addr, **options
            )
        protocol = cast(StunProtocol, protocol_factory())
        doorway = self.mux.open_doorway(protocol, local_addr[0])
        protocol.connection_made(doorway)
        return doorway, protocol
