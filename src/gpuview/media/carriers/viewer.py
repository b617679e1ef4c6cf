"""One view that is sent a stream over a carrier other than WebRTC. Lives on the event loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gpuview.media.carriers.connection import AnyConnection
from gpuview.media.carriers.outlet import Outlet
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.tiers import Tier
from gpuview.media.page_channel import PageChannel
from gpuview.media.still_sender import StillSender
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.carrier_messages import Received
from gpuview.protocol.carrier_packets import STILL_PIECE, ViewerCarrier
from gpuview.protocol.cluster_messages import WantRate
from gpuview.protocol.stats import ViewerStats

__all__ = ["CarrierViewer"]

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
        self._connection = connection
        self._channel = channel
        self._fanout = fanout
        self._outlet = Outlet(
            connection,
            carrier,
            ceiling_bps=fanout.encodes.max_bitrate_bps,
            acknowledged_every_s=acknowledged_every_s,
            on_change=self._tell_room,
        )
        self._subscription = fanout.subscribe(codec, fixed_tier)
        self._wanted_bps = math.inf
        self._held_until_s = -math.inf
        self._requested_s = float("-inf")
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
        self._outlet.take_received(message)

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
        self._outlet.link.set_ceiling(max_bitrate_bps)

    def check(self, now_s: float) -> None:
        """Do nothing: the connection is watched for silence, whether or not it is sent a stream."""

    async def close(self) -> None:
        """End the connection and unsubscribe from the encoder. Safe to call twice."""
        self._fanout.unsubscribe(self._subscription)
        self._connection.close()
        await self._stills.close()
        await self._tasks.cancel()

    def stats(self) -> ViewerStats:
        return self._outlet.stats(
            self.view,
            self._subscription.codec,
            tier=self._subscription.tier,
            n_dropped=self._subscription.n_dropped,
            channel=self._channel,
        )

    async def _send_packets(self) -> None:
        needs_keyframe = False
        while True:
            # Meanwhile frames wait where they can be left out: before the encoder, or in the
            # subscription, which begins again with a keyframe.
            needs_keyframe |= await self._outlet.wait_for_room()
            packet = await self._subscription.next()
            if needs_keyframe and not packet.is_keyframe:
                self._subscription.n_dropped += 1
                self.request_keyframe()
                continue
            needs_keyframe = False
            self._send(packet)

    def _send(self, packet: Packet) -> None:
        self._outlet.send(packet, self._subscription.codec.name)
        self._stills.follow(packet)

    def _tell_room(self, now_s: float) -> None:
        link = self._outlet.link
        self._subscription.report(
            target_bps=min(link.target_bps, self._wanted_bps),
            free_s=max(link.free_s(now_s), self._held_until_s),
        )

    def _have_room(self) -> None:
        self._outlet.have_room()
        self._still_channel.have_room()

    def _rate_bps(self) -> float:
        return min(self._fanout.encodes.max_bitrate_bps, self._outlet.link.target_bps)

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
