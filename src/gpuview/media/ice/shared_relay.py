"""The TURN relay that all viewers of the kernel share.

It is refreshed every 5 s. That keeps the path through a NAT open, and detects a restarted server
within seconds, which nothing else would detect. A silent server may only have a bad link or a full
send buffer, so the relay is dropped only after 10 s without any datagram from the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from gpuview.media.ice.sockets import Address
from gpuview.media.ice.turn_client import TurnClient, TurnRefused
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.media.tasks import BackgroundTasks

__all__ = ["Relay"]

logger = logging.getLogger("gpuview.media")

_REFRESH_EVERY_S = 5.0
_REFRESH_TIMEOUT_S = 3.5
_SILENT_AFTER_S = 10.0
_MAX_UNSENT_NBYTES = 1024 * 1024  # of a TCP connection: beyond it packets are lost, as on any path


class Relay:
    """A TURN allocation as a `gpuview.media.ice.udp_mux.Transport`. Lives on one event loop.

    Args:
        mux: Routes the datagrams from the relay.
        client: The allocation; the relay owns it.
        url: The server's URL, for the log.
    """

    def __init__(self, mux: UdpMux, client: TurnClient, url: str) -> None:
        self._mux = mux
        self._client = client
        self._tasks = BackgroundTasks()
        self._last_received_s = time.monotonic()
        self.url = url
        self.address = client.relayed
        """The relayed address, to which browsers send."""
        self.mapped = client.mapped if client.is_datagram else None
        """The shared socket's address, as the server sees it; None over TCP."""
        self.is_by_tcp = not client.is_datagram
        self.lost = asyncio.Event()
        """Set when the allocation is lost or closed."""
        client.on_data = self._receive
        client.broken.add_done_callback(lambda broken: self._end())
        self._tasks.spawn(self._keep_alive(), on_error=lambda exc: self._end())

    async def close(self) -> None:
        """Release the allocation, if the server still answers."""
        await self._tasks.cancel()
        await self._client.release()
        self._end()

    # --- as a transport -------------------------------------------------------------------------

    def send(self, data: bytes, address: Address) -> None:
        if self.lost.is_set():
            return
        if not self._client.has_channel(address):
            self._tasks.spawn(self._bind_and_send(data, address))
        elif self._client.unsent_nbytes > _MAX_UNSENT_NBYTES:
            self._mux.dropped["relay congested"] += 1
        else:
            if self._client.is_channel_due(address):
                self._tasks.spawn(self._refresh_channel(address))
            self._client.send_nowait(data, address)

    def learn(self, address: Address, local_host: str) -> None:
        """Do nothing: a relay always sends from its own address."""

    def forget(self, address: Address) -> None:
        """Do nothing: a channel expires by itself."""

    # --- inside -------------------------------------------------------------------------------

    def _receive(self, data: bytes, address: Address) -> None:
        self._last_received_s = time.monotonic()
        self._mux.receive(self, data, address, lambda: self.address[0])

    async def _refresh_channel(self, address: Address) -> None:
        # If it fails, packets stop, and the page makes a new connection.
        with contextlib.suppress(OSError, TurnRefused):
            await self._client.refresh_channel(address)

    async def _bind_and_send(self, data: bytes, address: Address) -> None:
        try:
            await self._client.send(data, address)
        except (TurnRefused, TimeoutError) as exc:
            # A server need not relay to every address: private ones are often forbidden.
            self._mux.dropped["relay refused"] += 1
            logger.debug("%s does not relay to %s:%d: %s", self.url, *address, exc)
        except OSError:
            self._end()  # broken, or out of channels, which a new allocation mends

    async def _keep_alive(self) -> None:
        with contextlib.suppress(OSError, TurnRefused):
            await asyncio.sleep(_REFRESH_EVERY_S)
            # Refresh once more before dropping it: perhaps this process was suspended.
            while (is_refreshed := await self._is_refreshed()) or not self._is_silent():
                if is_refreshed:
                    await asyncio.sleep(_REFRESH_EVERY_S)
        self._end()

    def _is_silent(self) -> bool:
        return time.monotonic() - self._last_received_s >= _SILENT_AFTER_S

    async def _is_refreshed(self) -> bool:
        """Refresh the allocation; return False if the server was silent."""
        try:
            async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                await self._client.refresh()
        except TimeoutError:
            return False
        self._last_received_s = time.monotonic()
        return True

    def _end(self) -> None:
        if not self.lost.is_set():
            self.lost.set()
            self._mux.close_connections(self)

    def __repr__(self) -> str:
        return f"<Relay {self.url} {'lost' if self.lost.is_set() else 'open'}>"
