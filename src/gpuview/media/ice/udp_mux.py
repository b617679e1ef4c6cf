"""One UDP port for all viewers, and for the STUN and TURN servers.

An ICE connection has no sockets of its own. It gets a `MuxedConnection` over the shared sockets,
one for each address family. So five forwarded ports serve five kernels with any number of viewers,
and a proxy that only reaches 127.0.0.1 works as well. A TURN relay is another transport: its
datagrams are routed like a socket's.

A datagram is routed as follows:

    from a STUN or TURN server  by the server's address, to the client that expects it
    a STUN request              by the ICE user name fragment in USERNAME ("ours:theirs")
    a STUN response             by the transaction id of its request
    any other datagram          by the sender's address

The mux learns a sender's address from a STUN request that passes the message-integrity check with
the connection's password. All other datagrams are dropped and counted.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from aioice import stun

from gpuview.media.ice.sockets import (
    ANCILLARY_NBYTES,
    Address,
    Ancillary,
    destination_host,
    family_of,
    preferred_source,
    source_of,
)
from gpuview.media.ice.stun_client import is_stun, parse_stun

__all__ = ["MuxedClient", "MuxedConnection", "SocketTransport", "Transport", "UdpMux"]

_MAX_DATAGRAM = 65535
_MAX_READS = 64  # datagrams per turn of the event loop
_MAX_ADDRESSES = 64  # learned for one connection; a browser has a handful


class Transport(Protocol):
    """Carries datagrams: a shared socket, or a relay."""

    @property
    def is_by_tcp(self) -> bool:
        """Whether it leads by TCP, where a late datagram holds up those behind it."""

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram, which may be lost as on any network."""

    def learn(self, address: Address, local_host: str) -> None:
        """Note that the viewer at ``address`` sends to our address ``local_host``."""

    def forget(self, address: Address) -> None:
        """Undo `learn`."""


class _Receiver(Protocol):
    def datagram_received(self, data: bytes, addr: Address, /) -> None: ...

    def connection_lost(self, exc: Exception | None, /) -> None: ...


class ConnectionProtocol(_Receiver, Protocol):
    """The mux's view of an ICE connection; `gpuview.media.ice.aioice_compat.IceProtocol`."""

    @property
    def ufrag(self) -> str: ...

    @property
    def password(self) -> str: ...

    def awaits(self, transaction_id: bytes, /) -> bool:
        """Tell whether a STUN response is for this connection."""


class ClientProtocol(_Receiver, Protocol):
    """A client of a STUN or TURN server."""

    def expects(self, data: bytes, /) -> bool:
        """Tell whether a datagram from the server is for this client."""


K = TypeVar("K")
V = TypeVar("V")
P = TypeVar("P", bound=_Receiver)


class SocketTransport:
    """One of the shared sockets. It replies to viewers from the address that they sent to."""

    is_by_tcp = False

    def __init__(self, sock: socket.socket, dropped: Counter[str]) -> None:
        self.sock = sock
        self._dropped = dropped
        self._local_hosts: dict[Address, str] = {}
        self._sources: dict[Address, Ancillary] = {}  # if the routing table prefers another

    def send(self, data: bytes, address: Address) -> None:
        source = self._sources.get(address)
        try:
            if source is None:
                self.sock.sendto(data, address)
            else:
                self.sock.sendmsg([data], source, 0, address)
        except OSError as exc:
            self._dropped[f"send: {type(exc).__name__}"] += 1

    def learn(self, address: Address, local_host: str) -> None:
        if self._local_hosts.get(address) == local_host:
            return
        self._local_hosts[address] = local_host
        if preferred_source(self.sock.family, address) == local_host:
            self._sources.pop(address, None)
        else:
            self._sources[address] = source_of(local_host)

    def forget(self, address: Address) -> None:
        self._local_hosts.pop(address, None)
        self._sources.pop(address, None)


class UdpMux:
    """Routes the datagrams of the shared sockets and of relays. Lives on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sockets: Sequence[socket.socket]) -> None:
        self.dropped: Counter[str] = Counter()
        """The number of dropped datagrams, by reason."""
        self.port = int(sockets[0].getsockname()[1])
        self._loop = loop
        self._transports = {sock.family: SocketTransport(sock, self.dropped) for sock in sockets}
        self._by_ufrag: dict[str, list[MuxedConnection]] = {}
        self._by_address: dict[tuple[Transport, Address], MuxedConnection] = {}
        self._clients: dict[Address, list[MuxedClient]] = {}  # by the server's address
        for transport in self._transports.values():
            loop.add_reader(transport.sock.fileno(), self._read, transport)

    def transport_for(self, host: str) -> SocketTransport | None:
        """Return the socket of the family of ``host``; None if the machine lacks it."""
        return self._transports.get(family_of(host))

    # --- connections and clients ----------------------------------------------------------------

    def open_connection(
        self, protocol: ConnectionProtocol, transport: Transport
    ) -> MuxedConnection:
        """Open one ICE connection's end on ``transport``."""
        connection = MuxedConnection(transport, protocol, self._remove_connection)
        self._by_ufrag.setdefault(protocol.ufrag, []).append(connection)
        return connection

    def open_client(self, protocol: ClientProtocol, server: Address) -> MuxedClient:
        """Connect a STUN or TURN client to its server.

        Raises:
            OSError: There is no socket of the server's address family.
        """
        transport = self.transport_for(server[0])
        if transport is None:
            raise OSError(f"no socket for {server[0]}")
        client = MuxedClient(transport, protocol, self._remove_client, server)
        self._clients.setdefault(server, []).append(client)
        return client

    def close_connections(self, transport: Transport) -> None:
        """Close what leads through a transport that is lost."""
        for connections in list(self._by_ufrag.values()):
            for connection in [each for each in connections if each.transport is transport]:
                connection.close()

    def has_remote_address(self, ufrag: str) -> bool:
        """Tell whether a connectivity check for that connection has arrived on any transport."""
        return any(connection.addresses for connection in self._by_ufrag.get(ufrag, []))

    def _remove_connection(self, connection: MuxedConnection) -> None:
        _remove(self._by_ufrag, connection.protocol.ufrag, connection)
        for address in list(connection.addresses):
            self._forget(connection, address)

    def _remove_client(self, client: MuxedClient) -> None:
        assert client.server is not None
        _remove(self._clients, client.server, client)

    def close(self) -> None:
        """Close the sockets. Close the connections first."""
        for transport in self._transports.values():
            self._loop.remove_reader(transport.sock.fileno())
            transport.sock.close()
        self._transports.clear()

    # --- routing --------------------------------------------------------------------------------

    def _read(self, transport: SocketTransport) -> None:
        for _ in range(_MAX_READS):
            try:
                data, ancillary, _, source = transport.sock.recvmsg(_MAX_DATAGRAM, ANCILLARY_NBYTES)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error about an earlier datagram; the socket still works.
                continue
            address = (source[0], source[1])
            if address in self._clients:
                self._receive_from_server(data, address)
            else:
                self.receive(transport, data, address, partial(destination_host, ancillary))

    def _receive_from_server(self, data: bytes, address: Address) -> None:
        clients = [each for each in self._clients[address] if each.protocol.expects(data)]
        if not clients:
            self.dropped["unexpected from a server"] += 1
        for client in clients:
            client.protocol.datagram_received(data, address)

    def receive(
        self, transport: Transport, data: bytes, address: Address, local_host: Callable[[], str]
    ) -> None:
        """Route one datagram from a possible viewer.

        Args:
            transport: The transport that it came through.
            data: Its bytes.
            address: Its sender, as ``transport`` names it.
            local_host: Returns the local address that it was sent to.
        """
        if is_stun(data):
            connection = self._route_stun(transport, data, address, local_host)
        else:
            connection = self._by_address.get((transport, address))
            if connection is None:
                self.dropped["unknown address"] += 1
        if connection is not None:
            try:
                connection.protocol.datagram_received(data, address)
            except struct.error:  # aioice mistakes media of a certain length for STUN
                self.dropped["malformed STUN"] += 1

    def _route_stun(
        self, transport: Transport, data: bytes, address: Address, local_host: Callable[[], str]
    ) -> MuxedConnection | None:
        message = parse_stun(data)
        if message is None:
            self.dropped["malformed STUN"] += 1
            return None
        if message.message_class is not stun.Class.REQUEST:
            return self._by_transaction(message.transaction_id)
        connection = self._by_request(transport, message)
        if connection is not None:
            self._learn(connection, address, local_host())
        return connection

    def _by_transaction(self, transaction_id: bytes) -> MuxedConnection | None:
        # A linear scan, but only for responses: one per viewer every five seconds.
        for connections in self._by_ufrag.values():
            for connection in connections:
                if connection.protocol.awaits(transaction_id):
                    return connection
        self.dropped["unknown STUN response"] += 1
        return None

    def _by_request(self, transport: Transport, message: stun.Message) -> MuxedConnection | None:
        username = str(message.attributes.get("USERNAME", ""))
        connections = self._by_ufrag.get(username.partition(":")[0], [])
        connection = next((each for each in connections if each.transport is transport), None)
        if connection is None:
            self.dropped["unknown user name"] += 1
            return None
        if "PRIORITY" not in message.attributes or not message.check_message_integrity(
            connection.protocol.password.encode()
        ):
            self.dropped["wrong message integrity"] += 1
            return None
        return connection

    def _learn(self, connection: MuxedConnection, address: Address, local_host: str) -> None:
        """Route datagrams from ``address`` to ``connection``; reply to them from ``local_host``."""
        previous = self._by_address.get((connection.transport, address))
        if previous is not None and previous is not connection:
            previous.addresses.pop(address, None)
        connection.transport.learn(address, local_host)
        self._by_address[connection.transport, address] = connection
        connection.addresses[address] = None
        connection.addresses.move_to_end(address)
        while len(connection.addresses) > _MAX_ADDRESSES:
            self._forget(connection, next(iter(connection.addresses)))

    def _forget(self, connection: MuxedConnection, address: Address) -> None:
        del connection.addresses[address]
        del self._by_address[connection.transport, address]
        connection.transport.forget(address)

    def __repr__(self) -> str:
        return (
            f"<UdpMux port={self.port} connections={len(self._by_ufrag)} "
            f"addresses={len(self._by_address)} dropped={self.dropped.total()}>"
        )


def _remove(table: dict[K, list[V]], key: K, value: V) -> None:
    values = table.get(key, [])
    if value in values:
        values.remove(value)
    if not values:
        table.pop(key, None)


class Muxed(asyncio.DatagramTransport, Generic[P]):
    """The asyncio transport of one protocol, over a transport shared with others."""

    def __init__(
        self,
        transport: Transport,
        protocol: P,
        remove: Callable[[Any], None],
        server: Address | None = None,
    ) -> None:
        super().__init__()
        self.transport = transport
        self.protocol = protocol
        self.server = server
        """The only destination; None for a browser's connection."""
        self.addresses: OrderedDict[Address, None] = OrderedDict()
        """The addresses learned for the browser, the latest last."""
        self._remove = remove
        self._is_closing = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._is_closing:
            self.transport.send(data, self.server or addr)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._remove(self)
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


MuxedConnection: TypeAlias = Muxed[ConnectionProtocol]
"""One ICE connection's end on one transport."""

MuxedClient: TypeAlias = Muxed[ClientProtocol]
"""A STUN or TURN client's transport to its server."""
