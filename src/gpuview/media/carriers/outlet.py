"""What one page is sent over a carrier, as fast as it acknowledges it. Lives on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gpuview.media.carriers.connection import AnyConnection
from gpuview.media.carriers.link import CarrierLink
from gpuview.media.encode.codec import Packet
from gpuview.protocol.carrier import PacketHeader, ViewerCarrier
from gpuview.protocol.page_messages import Received

__all__ = ["Outlet"]

_LOOK_S = 0.05


class Outlet:
    """The packets of one viewer, of all of its tiles.

    Args:
        connection: The way to the page.
        carrier: Which one that is.
        ceiling_bps: The most that is ever sent.
        acknowledged_every_s: As for `CarrierLink`.
        on_change: Called with the time when `link` may take more or less.
    """

    def __init__(
        self,
        connection: AnyConnection,
        carrier: ViewerCarrier,
        *,
        ceiling_bps: float,
        acknowledged_every_s: float,
        on_change: Callable[[float], None],
    ) -> None:
        self.link = CarrierLink(
            time.monotonic(),
            ceiling_bps=ceiling_bps,
            acknowledged_every_s=acknowledged_every_s,
            may_be_deaf=carrier == "comm",
        )
        self.n_frames = 0
        """How many were sent."""
        self.quantiser: int | None = None
        """Of the last one."""
        self._connection = connection
        self._on_change = on_change
        self._has_changed = asyncio.Event()

    def take_received(self, message: Received) -> None:
        """Learn what has arrived."""
        now_s = time.monotonic()
        self.link.take_received(now_s, message)
        self._on_change(now_s)
        self._has_changed.set()

    def have_room(self) -> None:
        """Take note that the connection takes more again."""
        self._has_changed.set()

    async def wait_for_room(self) -> bool:
        """Wait until a packet is wanted; return whether it has to be a keyframe."""
        while True:
            now_s = time.monotonic()
            if self._connection.has_room:
                if self.link.free_s(now_s) <= now_s:
                    return False
                if self.link.wants_keyframe(now_s):
                    return True
            self._has_changed.clear()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._has_changed.wait()
            except TimeoutError:
                self._on_change(time.monotonic())

    def send(self, packet: Packet, codec_name: str, tile: int = 0) -> None:
        """Send a packet now."""
        now_s = time.monotonic()
        header = PacketHeader(
            codec=codec_name,
            is_keyframe=packet.is_keyframe,
            seq=self.link.note_sent(now_s, packet.nbytes),
            timestamp=packet.timestamp,
            width=packet.width,
            height=packet.height,
            quantiser=packet.quantiser,
            tile=tile,
        )
        self._connection.send_binary(header.pack() + packet.data)
        self.n_frames += 1
        self.quantiser = packet.quantiser
        self._on_change(now_s)

    def __repr__(self) -> str:
        return f"<Outlet {self.link} frames={self.n_frames}>"
