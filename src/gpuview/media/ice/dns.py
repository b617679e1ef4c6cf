"""Resolves host names without blocking the event loop or the process's exit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from gpuview.media.ice.sockets import Address
from gpuview.webrtc.addresses import parse_address

__all__ = ["resolve"]


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host in the system's order. Waits for DNS, without a limit.

    Args:
        host: A name or an address; an IPv6 address without brackets.
        port: Becomes the port of each address.

    Raises:
        OSError: The name does not resolve.
    """
    if (address := parse_address(host)) is not None:
        return [(str(address), port)]  # spelled like the source address of its datagrams
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address]] = loop.create_future()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            answer: list[Address] | OSError = [(str(info[4][0]), port) for info in infos]
        except (OSError, UnicodeError) as exc:
            answer = exc if isinstance(exc, OSError) else OSError(str(exc))
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(_set, found, answer)

    # Not an executor: at exit, the process would wait for a resolver that does not answer.
    threading.Thread(target=look_up, name="gpuview-resolve", daemon=True).start()
    return await found


def _set(found: asyncio.Future[list[Address]], answer: list[Address] | OSError) -> None:
    if found.done():
        return
    if isinstance(answer, OSError):
        found.set_exception(answer)
    else:
        found.set_result(answer)
