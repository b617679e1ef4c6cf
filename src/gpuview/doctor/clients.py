"""The doctor's own short-lived sockets, and a TURN allocation on one of them."""

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
from gpuview.media.ice.stun_client import StunClient
from gpuview.media.ice.turn_client import TurnClient, TurnRefused, allocate
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
    """A UDP socket that matches datagrams by a token in them, and queries STUN servers.

    Made by `open_endpoint` and `connect_endpoint`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._expected: dict[bytes, asyncio.Future[Datagram]] = {}

    @property
    def port(self) -> int:
        """Its local port."""
        return int(self.transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, address: Address | None = None) -> None:
        """Send one datagram; without an address, to the connected peer."""
        self.transport.sendto(data, address)

    def expect(self, token: bytes) -> asyncio.Future[Datagram]:
        """Return a future for the next datagram with ``token`` in it; the caller cancels it."""
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
    """Use a UDP socket, and close it at the end."""
    loop = asyncio.get_running_loop()
    transport, endpoint = await loop.create_datagram_endpoint(Endpoint, sock=sock)
    try:
        yield endpoint
    finally:
        transport.close()


@asynccontextmanager
async def connect_endpoint(address: Address) -> AsyncIterator[Endpoint]:
    """Connect a UDP socket to one address, so that a closed port there is an error.

    Raises:
        OSError: There is no route to the address.
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
    """Make an allocation on a TURN server, and release it at the end.

    Args:
        server: The server, with its login.
        timeout_s: How long to wait for the server.

    Raises:
        NetworkError: The server refuses, is silent, cannot be resolved or reached, or has no
            trusted certificate.
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
    error = OSError("its name has no address")
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
            expected="a relay to the address at which browsers reach this machine",
            fix=f"add allowed-peer-ip={address[0]} to its turnserver.conf",
        ) from exc
