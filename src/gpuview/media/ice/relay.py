"""The TURN relay that all viewers of the kernel share.

It is refreshed every 5 s. That keeps the path through a NAT open, and it shows within seconds that
a server was restarted, which nothing else would show. A silent server may only be behind a bad
link, or behind a full send buffer: it is given up when nothing at all has come from it for 10 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from gpuview.media.ice.sockets import Address
from gpuview.media.ice.turn import TurnClient, TurnRefused
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.media.tasks import BackgroundTasks

__all__ = ["Relay"]

logger = logging.getLogger("gpuview.media")

_REFRESH_EVERY_S = 5.0
_REFRESH_TIMEOUT_S = 3.5
_SILENT_AFTER_S = 10.0
_GOODBYE_TIMEOUT_S = 0.5
_MAX_UNSENT_NBYTES = 1024 * 1024  # of a TCP connection: beyond it packets are lost, as on any path


class Relay:
    """A TURN allocation as a `gpuview.media.ice.udp_mux.Transport`. Lives on one event loop.

    Args:
        mux: Takes the datagrams that come through the relay.
        client: Has made the allocation; owned from now on.
        url: The server's, for people.
    """

    def __init__(self, mux: UdpMux, client: TurnClient, url: str) -> None:
        self._mux = mux
        self._client = client
        self._tasks = BackgroundTasks()
        self._heard_s = time.monotonic()
        self.url = url
        self.lost = asyncio.Event()
        """Set when the allocation has gone, for any reason."""
        client.on_data = self._receive
        client.broken.add_done_callback(lambda broken: self._end())
        self._tasks.spawn(self._keep_alive(), on_error=lambda exc: self._end())

    @property
    def address(self) -> Address:
        """The relayed address, to which browsers send."""
        return self._client.relayed

    @property
    def mapped(self) -> Address:
        """Our own address, as the server sees it."""
        return self._client.mapped

    @property
    def is_datagram(self) -> bool:
        """Whether it runs over UDP, from the shared socket."""
        return self._client.is_datagram

    async def close(self) -> None:
        """Give the allocation back, if the server still answers."""
        await self._tasks.cancel()
        if not self._client.broken.done():
            with contextlib.suppress(OSError, TurnRefused):
                async with asyncio.timeout(_GOODBYE_TIMEOUT_S):
                    await self._client.refresh(0)
        await self._client.hang_up()
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
        """Do nothing: a relay sends from its own address alone."""

    def forget(self, address: Address) -> None:
        """Do nothing: a channel expires by itself."""

    # --- inside -------------------------------------------------------------------------------

    def _receive(self, data: bytes, address: Address) -> None:
        self._heard_s = time.monotonic()
        self._mux.receive(self, data, address, lambda: self.address[0])

    async def _refresh_channel(self, address: Address) -> None:
        # Where it fails, packets stop, and the page makes a new connection.
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
            self._end()  # broken, or it has no channel left; a new allocation has

    async def _keep_alive(self) -> None:
        with contextlib.suppress(OSError, TurnRefused):
            await asyncio.sleep(_REFRESH_EVERY_S)
            # It is asked before it is given up: perhaps this process stood still.
            while (is_refreshed := await self._is_refreshed()) or not self._is_silent():
                if is_refreshed:
                    await asyncio.sleep(_REFRESH_EVERY_S)
        self._end()

    def _is_silent(self) -> bool:
        return time.monotonic() - self._heard_s >= _SILENT_AFTER_S

    async def _is_refreshed(self) -> bool:
        """Refresh the allocation; False where the server was silent."""
        try:
            async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                await self._client.refresh()
        except TimeoutError:
            return False
        self._heard_s = time.monotonic()
        return True

    def _end(self) -> None:
        if not self.lost.is_set():
            self.lost.set()
            self._mux.close_connections(self)

    def __repr__(self) -> str:
        return f"<Relay {self.url} {'lost' if self.lost.is_set() else 'open'}>"
