"""What one page is sent over a carrier, as fast as it acknowledges it. Lives on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gpuview.media.carriers.connection import AnyConnection
from gpuview.media.carriers.link import CarrierLink
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.tiers import Tier
from gpuview.media.page_channel import PageChannel
from gpuview.protocol.carrier_messages import Received
from gpuview.protocol.carrier_packets import PacketHeader, ViewerCarrier
from gpuview.protocol.stats import ViewerStats

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
        self._n_frames = 0
        self._quantiser: int | None = None  # of the last one
        self._connection = connection
        self._carrier: ViewerCarrier = carrier
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
        self._n_frames += 1
        self._quantiser = packet.quantiser
        self._on_change(now_s)

    def stats(
        self, view: str, codec: Codec, *, tier: Tier | None, n_dropped: int, channel: PageChannel
    ) -> ViewerStats:
        """Return the viewer's counters.

        Args:
            view: Its id.
            codec: What its page decodes.
            tier: The size of its pictures; None before that is known, or if it differs among tiles.
            n_dropped: How many packets it was not sent.
            channel: What its page says of itself.
        """
        link = self.link.stats(time.monotonic())
        return ViewerStats(
            view=view,
            carrier=self._carrier,
            state="connected" if self._connection.is_open else "closed",
            codec=str(codec),
            local="",
            remote="",
            frames_sent=self._n_frames,
            frames_dropped=n_dropped,
            estimate_bps=link.estimate_bps,
            sent_bps=link.sent_bps,
            round_trip_ms=None if link.round_trip_s is None else link.round_trip_s * 1000,
            tier="" if tier is None else str(tier),
            quantiser=self._quantiser,
            latency_p50_ms=channel.latency.p50_ms,
            latency_p95_ms=channel.latency.p95_ms,
            messages_refused=channel.n_refused,
        )

    def __repr__(self) -> str:
        return f"<Outlet {self.link} frames={self._n_frames}>"
