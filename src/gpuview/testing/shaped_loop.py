"""An event loop whose UDP goes over a link, with loss, delay and a rate, without root.

Every datagram of the loop passes here, whatever socket and address it has: so nothing has to be
rewritten, and no relay stands between the viewer and the media process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from gpuview.testing.link import Link, Shaper

__all__ = ["ShapedLoop"]

_HEADERS_NBYTES = 28
"""Of IPv4 and UDP, which a rate counts too."""


class ShapedLoop(asyncio.SelectorEventLoop):
    """Sends and receives UDP over ``link``. TCP is left alone.

    Args:
        link: Used in this loop's thread only.
    """

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._down = _DelayLine(self, link.down)
        self._up = _DelayLine(self, link.up)

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.DatagramProtocol], *args: Any, **options: Any
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        """Open a socket, like the method of this name of any loop."""
        inner = protocol_factory()
        transport, _ = await super().create_datagram_endpoint(
            lambda: _Receiver(inner, self._down, self._up), *args, **options
        )
        return _Sender(transport, self._up), inner


class _DelayLine:
    """The packets of one direction that are under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shaper: Shaper) -> None:
        self._loop = loop
        self._shaper = shaper
        self._under_way: deque[tuple[float, Callable[[], None]]] = deque()

    def carry(self, nbytes: int, deliver: Callable[[], None]) -> None:
        """Call ``deliver`` when a packet of this length has arrived; never if it gets lost."""
        due_s = self._shaper.take(self._loop.time(), nbytes + _HEADERS_NBYTES)
        if due_s is None:
            return
        self._under_way.append((due_s, deliver))
        if len(self._under_way) == 1:
            self._loop.call_at(due_s, self._deliver)

    def _deliver(self) -> None:
        _, deliver = self._under_way.popleft()
        if self._under_way:
            # One timer at a time keeps the order of those that are due together.
            self._loop.call_at(self._under_way[0][0], self._deliver)
        deliver()


class _Receiver(asyncio.DatagramProtocol):
    """Passes on to ``inner`` what comes, later."""

    def __init__(self, inner: asyncio.DatagramProtocol, down: _DelayLine, up: _DelayLine) -> None:
        self._inner = inner
        self._down = down
        self._up = up
        self._is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(_Sender(cast(asyncio.DatagramTransport, transport), self._up))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        def deliver() -> None:
            if self._is_open:
                self._inner.datagram_received(data, addr)

        self._down.carry(len(data), deliver)

    def error_received(self, exc: Exception) -> None:
        self._inner.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_open = False
        self._inner.connection_lost(exc)


class _Sender(asyncio.DatagramTransport):
    """Sends later; all else is its socket's own transport's."""

    def __init__(self, transport: asyncio.DatagramTransport, up: _DelayLine) -> None:
        super().__init__()
        self._transport = transport
        self._up = up

    def sendto(self, data: Any, addr: Any = None) -> None:
        packet = bytes(data)

        def deliver() -> None:
            if not self._transport.is_closing():
                self._transport.sendto(packet, addr)

        self._up.carry(len(packet), deliver)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
