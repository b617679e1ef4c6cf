"""One stream's video over one WebRTC connection, whoever has made the offer."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from functools import partial

from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    VideoStreamTrack,
)

from gpuview.media import aiortc_compat
from gpuview.media.encode.choice import usable_codecs
from gpuview.media.encode.codec import Packet, codec_of
from gpuview.media.encode.fanout import Fanout, Subscription
from gpuview.media.ice import aioice_compat
from gpuview.media.link.controller import START_BPS
from gpuview.media.link.link import NOTHING_SENT, Link
from gpuview.media.rtp.packets import StreamFormat
from gpuview.media.rtp.sender import VideoSender
from gpuview.protocol.stats import ViewerStats

__all__ = ["PeerVideo"]

_CLOSE_TIMEOUT_S = 5.0


class PeerVideo:
    """Sends one stream over a connection of its own, which it makes and closes.

    The sending begins when the connection is up.

    Args:
        fanout: The source of its packets.
        on_failure: Called with what has ended the sending.
    """

    def __init__(self, fanout: Fanout, on_failure: Callable[[Exception], None]) -> None:
        # Not None: aiortc would use a public STUN server.
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.on_packet: Callable[[Packet], None] = lambda _: None
        """Called with each packet that is about to be sent."""
        self._fanout = fanout
        self._on_failure = on_failure
        self._subscription: Subscription | None = None
        self._sender: VideoSender | None = None
        self._is_page_by_tcp = False
        self._quantiser: int | None = None  # of the last frame sent

    def add_track(self) -> Sequence[str]:
        """Let the connection negotiate to send one video. Call it before all descriptions.

        Returns:
            The names of the codecs that may be negotiated.

        Raises:
            MediaError: This PyAV encodes neither H.264 nor VP8.
        """
        codecs = usable_codecs(self._fanout.encoder)
        sender = self.connection.addTrack(VideoStreamTrack())
        aiortc_compat.take_over(sender, self._start, self._on_failure)
        (transceiver,) = self.connection.getTransceivers()
        transceiver.direction = "sendonly"
        aiortc_compat.prefer_codecs(transceiver, codecs)
        return codecs

    def set_ceiling(self, max_bitrate_bps: int) -> None:
        """Never send more than this from now on."""
        if self._sender is not None:
            self._sender.link.set_ceiling(max_bitrate_bps)

    def set_relayed_by_tcp(self, is_page_by_tcp: bool) -> None:
        """Say whether the page talks to its TURN server by TCP."""
        self._is_page_by_tcp = is_page_by_tcp  # a ping may come before the sending begins
        if self._sender is not None:
            pair = aioice_compat.selected_pair(self.connection)
            self._sender.link.set_relays(
                is_page_by_tcp=is_page_by_tcp, are_we_by_tcp=pair is not None and pair.is_by_tcp
            )

    def pause(self, is_paused: bool) -> None:
        """Send nothing from now on, or go on with the newest picture."""
        if self._subscription is not None:
            follow = self._fanout.pause if is_paused else self._fanout.resume
            follow(self._subscription)

    def target_bps(self) -> float:
        """Return what may be sent, as far as is known."""
        limit_bps = self._fanout.encodes.max_bitrate_bps
        if self._subscription is None:
            return limit_bps
        return min(limit_bps, self._subscription.member.target_bps)

    @property
    def heard_s(self) -> float:
        """When the other side has reported last, on ``time.monotonic``; 0 before the sending."""
        return self._sender.heard_s if self._sender is not None else 0.0

    def stop(self) -> None:
        """Take no more packets. Safe to call twice."""
        if self._subscription is not None:
            self._fanout.unsubscribe(self._subscription)

    async def close(self) -> None:
        """Stop, and end the connection. Safe to call twice.

        Raises:
            TimeoutError: aiortc does not end it.
        """
        self.stop()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.connection.close()
        finally:
            # aiortc's objects form cycles and hold 2.6 MB of packets for retransmission. This takes
            # some 5 ms, because the imported objects are frozen.
            gc.collect()

    def stats(
        self,
        view: str,
        *,
        latency_p50_ms: float | None = None,
        latency_p95_ms: float | None = None,
        messages_refused: int = 0,
    ) -> ViewerStats:
        """Return the counters, besides those that only the receiver knows."""
        pair = aioice_compat.selected_pair(self.connection)
        sender, subscription = self._sender, self._subscription
        link = sender.link.stats(time.monotonic()) if sender else NOTHING_SENT
        return ViewerStats(
            view=view,
            carrier="webrtc",
            state=self.connection.connectionState,
            codec=self._codec,
            local=pair.local if pair else "",
            remote=pair.remote if pair else "",
            frames_sent=sender.n_frames if sender else 0,
            frames_dropped=subscription.n_dropped if subscription else 0,
            estimate_bps=link.estimate_bps,
            sent_bps=link.sent_bps,
            loss=link.loss,
            round_trip_ms=None if link.round_trip_s is None else link.round_trip_s * 1000,
            playout_delay_ms=sender.link.playout_delay.least_s * 1000 if sender else 0.0,
            tier=str(subscription.tier) if subscription else "",
            quantiser=self._quantiser,
            latency_p50_ms=latency_p50_ms,
            latency_p95_ms=latency_p95_ms,
            messages_refused=messages_refused,
        )

    @property
    def _codec(self) -> str:
        """The codec that is sent; empty before anything was."""
        return str(self._subscription.codec) if self._subscription else ""

    def _start(
        self, codec: RTCRtpCodecParameters, negotiated: StreamFormat, srtp: aiortc_compat.Srtp
    ) -> VideoSender:
        subscription = self._subscription = self._fanout.subscribe(codec_of(codec))

        async def next_packet() -> Packet:
            packet = await subscription.next()
            self._quantiser = packet.quantiser
            self.on_packet(packet)
            return packet

        self._sender = VideoSender(
            negotiated,
            srtp,
            self._new_link(),
            send=partial(aioice_compat.send_datagrams, self.connection),
            next_frame=next_packet,
            on_room=lambda target_bps, lasting_bps, free_s: subscription.report(
                target_bps=target_bps, lasting_bps=lasting_bps, free_s=free_s
            ),
            on_keyframe_request=subscription.request_keyframe,
            on_failure=self._on_failure,
        )
        self.set_relayed_by_tcp(self._is_page_by_tcp)
        return self._sender

    def _new_link(self) -> Link:
        ceiling_bps = self._fanout.encodes.max_bitrate_bps
        pair = aioice_compat.selected_pair(self.connection)
        # No network has to be found out about: the first picture is sharp, and comes at once.
        start_bps = ceiling_bps if pair is not None and pair.is_local else START_BPS
        return Link(time.monotonic(), ceiling_bps=ceiling_bps, start_bps=start_bps)

    def __repr__(self) -> str:
        return f"<PeerVideo {self.connection.connectionState} {self._codec}>"
