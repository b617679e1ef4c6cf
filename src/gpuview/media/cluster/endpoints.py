"""Where endpoints lead: names are looked up here, and not by ZeroMQ. On the event loop.

ZeroMQ looks a name up on the thread that does the I/O of all sockets, so a DNS server that does not
answer would stop the other routes too. And of a name with addresses of both families, it takes one.
"""

from __future__ import annotations

import asyncio
import logging

from gpuview.media.ice.dns import resolve
from gpuview.webrtc.addresses import parse_address

__all__ = ["Endpoints"]

logger = logging.getLogger("gpuview.media")

_MOST_OF_A_NAME = 4


class Endpoints:
    """Finds the addresses of endpoints; asks for each name once at a time, however long it takes.

    Lives as long as the worker looks for its notebook.
    """

    def __init__(self) -> None:
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def find(self, endpoint: str) -> list[str]:
        """Return where a ``tcp://HOST:PORT`` leads, as such endpoints with addresses.

        Waits for DNS if it has a name. What is no such endpoint is returned as it is.
        """
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        is_address = parse_address(host.strip("[]")) is not None
        if is_address or not (host and port.isdecimal()):
            return [endpoint]
        lookup = self._lookups.get(endpoint)
        if lookup is None or lookup.done():
            lookup = asyncio.create_task(_look_up(host, int(port)))
            self._lookups[endpoint] = lookup
        return await asyncio.shield(lookup)

    def close(self) -> None:
        """Wait for no name any more."""
        for lookup in self._lookups.values():
            lookup.cancel()

    def __repr__(self) -> str:
        return f"<Endpoints names={list(self._lookups)}>"


async def _look_up(host: str, port: int) -> list[str]:
    try:
        found = await resolve(host, port)
    except OSError as exc:
        logger.debug("the name %s leads nowhere: %s", host, exc)
        return []
    hosts = dict.fromkeys(f"[{each}]" if ":" in each else each for each, _ in found)
    return [f"tcp://{each}:{port}" for each in list(hosts)[:_MOST_OF_A_NAME]]
