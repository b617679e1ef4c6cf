"""The doctor's own short-lived STUN and TURN clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.retry import first_of
from gpuview.media.ice.server_errors import server_error
from gpuview.media.ice.sockets import Address
from gpuview.media.ice.stun_client import Send, StunClient
from gpuview.media.ice.turn_client import TurnClient, TurnRefused, allocate
from gpuview.webrtc.ice_url import IceServerUrl

__all__ = ["allocation", "arrives", "open_stun_client", "send_through"]


@asynccontextmanager
async def open_stun_client(
    *, sock: socket.socket | None = None, server: Address | None = None
) -> AsyncIterator[StunClient]:
    """Open a STUN client, and close its socket at the end.

    Args:
        sock: Its UDP socket; None for a new one.
        server: Connects a new socket, so that a closed port there is an error.

    Raises:
        OSError: There is no route to the server.
    """
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        StunClient, sock=sock, remote_addr=server
    )
    try:
        yield client
    finally:
        transport.close()


async def arrives(
    client: StunClient, send: Send, timeout_s: float, attributes: dict[str, Any] | None = None
) -> bool:
    """Send a binding request elsewhere; return whether it or its response arrives at ``client``."""
    try:
        async with asyncio.timeout(timeout_s):
            await client.transact(send, attributes)
    except TimeoutError:
        return False
    return True


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
            addresses = await resolve(server.url.host, server.url.port)
            client = await first_of([partial(allocate, server, each) for each in addresses])
    except (OSError, TurnRefused) as exc:  # TimeoutError is an OSError
        raise server_error(server.text, exc) from exc
    try:
        yield client
    finally:
        await client.release()


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
