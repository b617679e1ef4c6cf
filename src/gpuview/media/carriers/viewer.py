"""One view that is sent a stream over a carrier other than WebRTC. Lives on the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from gpuview.media.carriers.connection import AnyConnection
from gpuview.media.carriers.link import CarrierLink
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.tiers import Tier
from gpuview.media.page_channel import PageChannel
from gpuview.media.still_sender import StillSender
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.carrier import STILL_PIECE, PacketHeader, ViewerCarrier
from gpuview.protocol.cluster_messages import WantRate
from gpuview.protocol.page_messages import Received
from gpuview.protocol.stats import ViewerStats

__all__ = ["CarrierViewer"]

_LOOK_S = 0.05
_KEYFRAME_REQUEST_S = 0.1


class CarrierViewer:
    """Sends one stream to one view, from its construction to `close`.

    Args:
        view: The view's id.
        carrier: How it is reached.
        codec: What its page decodes.
        connection: The way to it; closed together with this.
        channel: What its page says of itself.
        fanout: The source of its packets.
        acknowledged_every_s: As for `CarrierLink`.
        on_failure: Called once, with what ended the sending.
        fixed_tier: As for `Fanout.subscribe`.
    """

    def __init__(
        self,
        view: str,
        carrier: ViewerCarrier,
        codec: Codec,
        *,
        connection: AnyConnection,
        channel: PageChannel,
        fanout: Fanout,
        acknowledged_every_s: float,
        on_failure: Callable[[BaseException], None],
        fixed_tier: Tier | None = None,
    ) -> None:
        self.view = view
        self.carrier: ViewerCarrier = carrier
        self.n_frames = 0
        self._connection = connection
        self._channel = channel
        self._fanout = fanout
        self._link = CarrierLink(
            time.monotonic(),
            ceiling_bps=fanout.encodes.max_bitrate_bps,
            acknowledged_every_s=acknowledged_every_s,
            may_be_deaf=carrier == "comm",
        )
        self._subscription = fanout.subscribe(codec, fixed_tier)
        self._quantiser: int | None = None
        self._wanted_bps = math.inf
        self._held_until_s = -math.inf
        self._requested_s = float("-inf")
        self._has_changed = asyncio.Event()
        self._stills = StillSender(fanout.stills, self._rate_bps)
        self._still_channel = _StillChannel(connection)
        connection.on_room = self._have_room
        if carrier != "cluster":  # there, it is said where they are wanted
            self.open_stills()
        self._tasks = BackgroundTasks()
        self._tasks.spawn(self._send_packets(), on_failure)

    @property
    def is_paused(self) -> bool:
        """Whether its page wants no picture now."""
        return self._channel.is_paused

    def follow_paused(self) -> None:
        """Send what its page wants now."""
        follow = self._fanout.pause if self.is_paused else self._fanout.resume
        follow(self._subscription)

    def open_stills(self) -> None:
        """Send pictures that stand still as well."""
        self._stills.open(self._still_channel)

    def take_received(self, message: Received) -> None:
        """Learn what has arrived."""
        now_s = time.monotonic()
        self._link.take_received(now_s, message)
        self._tell_room(now_s)
        self._has_changed.set()

    def request_keyframe(self) -> None:
        """Act on the page's request for a keyframe; ten times a second at most."""
        now_s = time.monotonic()
        if now_s - self._requested_s >= _KEYFRAME_REQUEST_S:
            self._requested_s = now_s
            self._subscription.request_keyframe()

    def request_keyframe_after(self, spacing_s: float) -> None:
        """Have a keyframe made, so long after the last one."""
        self._subscription.request_keyframe_after(spacing_s)

    def want_rate(self, message: WantRate) -> None:
        """Learn what those take to whom the packets are passed on."""
        now_s = time.monotonic()
        self._wanted_bps = math.inf if message.target_bps is None else message.target_bps
        self._held_until_s = now_s + message.hold_ms / 1000
        self._tell_room(now_s)

    def set_ceiling(self, max_bitrate_bps: int) -> None:
        """Never send more than this from now on."""
        self._link.set_ceiling(max_bitrate_bps)

    def check(self, now_s: float) -> None:
        """Do nothing: the connection is watched for silence, whether or not it is sent a stream."""

    async def close(self) -> None:
        """End the connection and unsubscribe from the encoder. Safe to call twice."""
        self._fanout.unsubscribe(self._subscription)
        self._connection.close()
        await self._stills.close()
        await self._tasks.cancel()

    def stats(self) -> ViewerStats:
        link = self._link.stats(time.monotonic())
        return ViewerStats(
            view=self.view,
            carrier=self.carrier,
            state="connected" if self._connection.is_open else "closed",
            codec=str(self._subscription.codec),
            local="",
            remote="",
            frames_sent=self.n_frames,
            frames_dropped=self._subscription.n_dropped,
            estimate_bps=link.estimate_bps,
            sent_bps=link.sent_bps,
            round_trip_ms=None if link.round_trip_s is None else link.round_trip_s * 1000,
            tier=str(self._subscription.tier),
            quantiser=self._quantiser,
            latency_p50_ms=self._channel.latency.p50_ms,
            latency_p95_ms=self._channel.latency.p95_ms,
            messages_refused=self._channel.n_refused,
        )

    async def _send_packets(self) -> None:
        needs_keyframe = False
        while True:
            # Meanwhile frames wait where they can be left out: before the encoder, or in the
            # subscription, which begins again with a keyframe.
            needs_keyframe |= await self._wait_for_room()
            packet = await self._subscription.next()
            if needs_keyframe and not packet.is_keyframe:
                self._subscription.n_dropped += 1
                self.request_keyframe()
                continue
            needs_keyframe = False
            self._send(packet)

    async def _wait_for_room(self) -> bool:
        """Wait until a packet is wanted; return whether it has to be a keyframe."""
        while True:
            now_s = time.monotonic()
            if self._connection.has_room:
                if self._link.free_s(now_s) <= now_s:
                    return False
                if self._link.wants_keyframe(now_s):
                    return True
            self._has_changed.clear()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._has_changed.wait()
            except TimeoutError:
                self._tell_room(time.monotonic())

    def _send(self, packet: Packet) -> None:
        now_s = time.monotonic()
        header = PacketHeader(
            codec=self._subscription.codec.name,
            is_keyframe=packet.is_keyframe,
            seq=self._link.note_sent(now_s, packet.nbytes),
            timestamp=packet.timestamp,
            width=packet.width,
            height=packet.height,
            quantiser=packet.quantiser,
        )
        self._connection.send_binary(header.pack() + packet.data)
        self.n_frames += 1
        self._quantiser = packet.quantiser
        self._stills.follow(packet)
        self._tell_room(now_s)

    def _tell_room(self, now_s: float) -> None:
        self._subscription.report(
            target_bps=min(self._link.target_bps, self._wanted_bps),
            free_s=max(self._link.free_s(now_s), self._held_until_s),
        )

    def _have_room(self) -> None:
        self._has_changed.set()
        self._still_channel.have_room()

    def _rate_bps(self) -> float:
        return min(self._fanout.encodes.max_bitrate_bps, self._link.target_bps)

    def __repr__(self) -> str:
        return f"<CarrierViewer {self.view} {self.carrier} {self._subscription.codec}>"


class _StillChannel:
    """A `StillChannel` over the connection."""

    def __init__(self, connection: AnyConnection) -> None:
        self._connection = connection
        self.have_room: Callable[[], None] = lambda: None

    @property
    def buffered_nbytes(self) -> int:
        return self._connection.unsent_nbytes

    def send(self, piece: bytes) -> None:
        self._connection.send_binary(bytes((STILL_PIECE,)) + piece)

    def say_moved(self, timestamp: int) -> None:
        """Say nothing: the packets' timestamps say it."""

    def on_room(self, callback: Callable[[], None]) -> None:
        self.have_room = callback
