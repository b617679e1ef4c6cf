"""The doctor's own sockets: they last for seconds, and hear of an ICMP "port unreachable"."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.server_errors import server_error
from gpuview.media.ice.sockets import Address, family_of
from gpuview.media.ice.stun import StunClient
from gpuview.media.ice.turn import TurnClient, TurnRefused, allocate
from gpuview.webrtc.ice_url import IceServerUrl

__all__ = [
    "Datagram",
    "Endpoint",
    "allocation",
    "connect_endpoint",
    "open_endpoint",
    "send_through",
]

Datagram = tuple[bytes, Address]


class Endpoint(StunClient):
    """A UDP socket that sorts datagrams by a token in them, besides asking STUN servers.

    Made by `open_endpoint` and `connect_endpoint`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._expected: dict[bytes, asyncio.Future[Datagram]] = {}

    @property
    def port(self) -> int:
        """Its own."""
        return int(self.transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, address: Address | None = None) -> None:
        """Send one datagram; without an address to the one that the socket is connected to."""
        self.transport.sendto(data, address)

    def expect(self, token: bytes) -> asyncio.Future[Datagram]:
        """Return a future of the next datagram that contains ``token``; cancel it in the end."""
        expected: asyncio.Future[Datagram] = asyncio.get_running_loop().create_future()
        self._expected[token] = expected
        return expected

    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        for token, expected in self._expected.items():
            if token in data and not expected.done():
                expected.set_result((data, (str(addr[0]), int(addr[1]))))

    def error_received(self, exc: Exception) -> None:
        super().error_received(exc)
        for expected in self._expected.values():
            if not expected.done():
                expected.set_exception(exc)


@asynccontextmanager
async def open_endpoint(sock: socket.socket) -> AsyncIterator[Endpoint]:
    """Use a UDP socket, which is closed at the end."""
    loop = asyncio.get_running_loop()
    transport, endpoint = await loop.create_datagram_endpoint(Endpoint, sock=sock)
    try:
        yield endpoint
    finally:
        transport.close()


@asynccontextmanager
async def connect_endpoint(address: Address) -> AsyncIterator[Endpoint]:
    """Connect a UDP socket to one address. It then hears of a closed port there.

    Raises:
        OSError: There is no route to it.
    """
    sock = socket.socket(family_of(address[0]), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    async with open_endpoint(sock) as endpoint:
        yield endpoint


@asynccontextmanager
async def allocation(server: IceServerUrl, *, timeout_s: float) -> AsyncIterator[TurnClient]:
    """Make an allocation on a TURN server, and give it back at the end.

    Args:
        server: The server, and the login for it.
        timeout_s: The time after which the server counts as silent.

    Raises:
        NetworkError: It refuses, is silent, cannot be resolved or connected to, or its certificate
            is not trusted.
    """
    try:
        async with asyncio.timeout(timeout_s):
            client = await _allocate(server)
    except (OSError, TurnRefused) as exc:  # TimeoutError is an OSError
        raise server_error(server.text, exc) from exc
    try:
        yield client
    finally:
        await client.release()


async def _allocate(server: IceServerUrl) -> TurnClient:
    """Use the first of the server's addresses that works."""
    error = OSError("it has no address")
    for address in await resolve(server.url.host, server.url.port):
        try:
            return await allocate(server, address)
        except OSError as exc:
            error = exc
    raise error


async def send_through(client: TurnClient, data: bytes, address: Address) -> None:
    """Send one datagram to ``address`` through an allocation.

    Raises:
        NetworkError: The server does not relay to that address, or the path to it is broken.
    """
    try:
        await client.send(data, address)
    except (OSError, TurnRefused) as exc:
        reason = str(exc).replace("\0", "")  # coturn's padding
        raise NetworkError(
            f"the TURN server does not relay to {address[0]}: {reason}",
            expected="a relay to the address under which browsers reach this machine",
            fix=f"put allowed-peer-ip={address[0]} into its turnserver.conf",
        ) from exc
