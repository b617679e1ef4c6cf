"""Resolves host names without blocking the event loop or the process's exit."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future

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
    found: Future[list[Address]] = Future()
    # Not an executor: at exit, the process would wait for a resolver that does not answer.
    threading.Thread(
        target=_look_up, args=(host, port, found), name="gpuview-resolve", daemon=True
    ).start()
    return await asyncio.wrap_future(found)


def _look_up(host: str, port: int, found: Future[list[Address]]) -> None:
    found.set_running_or_notify_cancel()
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as exc:
        found.set_exception(exc)
    except UnicodeError as exc:
        found.set_exception(OSError(str(exc)))
    else:
        found.set_result([(str(info[4][0]), port) for info in infos])
