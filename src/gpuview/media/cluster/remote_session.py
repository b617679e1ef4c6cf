"""The packets of one codec and tier that a worker sends. Lives on the event loop."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from typing import cast

import av

from gpuview.errors import SignalError
from gpuview.media.aiortc_compat import Packetizer, packetizer
from gpuview.media.cluster.bitstream import look_at
from gpuview.media.cluster.timeline import Timeline
from gpuview.media.cluster.worker_link import Channel, WorkerLink
from gpuview.media.encode.codec import TIME_BASE, Codec, Packet
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.protocol.carrier_messages import MAX_ARRIVALS, Received
from gpuview.protocol.carrier_packets import HEADER_NBYTES, STILL_PIECE, PacketHeader
from gpuview.protocol.cluster_messages import Synced, WantKeyframe, WantRate, WantStills, WatchTier
from gpuview.protocol.interaction_messages import Interaction
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Problem, Refusal, Status
from gpuview.protocol.stats import EncoderStats
from gpuview.protocol.still import StillAssembler
from gpuview.protocol.wire import decode_text
from gpuview.protocol.worker_channels import END

__all__ = ["RemoteSession"]

_MAX_SIDE = 16_384
_ASKED_S = 0.05  # requests for keyframes within this time are one
_REOPEN_S = 1.0
_SAME_RATE = 0.05
_MAX_BPS = 1e12
_SHORTEST_HOLD_S = 0.02  # less is over when the worker hears of it


class RemoteSession:
    """Watches one codec and tier at a worker, and at the next one when that has gone.

    Args:
        codec: The codec.
        tier: The size.
        wants: Tells what the viewers want.
        timeline: The stream's.
        on_packet: Called with each packet.
        on_still: Called with the picture's ``capture_ns`` and each still, a PNG.
        on_problem: Called with why the worker sends no packets, and with None when it does.
        has_webrtc: As for `RemoteEncodes`.
    """

    def __init__(
        self,
        codec: Codec,
        tier: Tier,
        wants: Callable[[], Demand],
        *,
        timeline: Timeline,
        on_packet: Callable[[Codec, Tier, Packet], None],
        on_still: Callable[[int, bytes], None],
        on_problem: Callable[[Problem | None], None],
        has_webrtc: bool,
    ) -> None:
        self.codec = codec
        self.tier = tier
        self.has_stills = False
        """Whether the worker was asked for stills."""
        self._wants = wants
        self._timeline = timeline
        self._on_packet = on_packet
        self._on_still = on_still
        self._on_problem = on_problem
        self._packetizer: Packetizer | None = (
            packetizer(codec.name) if has_webrtc and codec.name != "JPEG" else None
        )
        self._link: WorkerLink | None = None
        self._channel: Channel | None = None
        self._size = (0, 0)  # of the last keyframe
        self._seq = -1
        self._arrived_ms: list[float] = []
        self._asked_s = -math.inf
        self._asked_spacing_s = math.inf
        self._ended_s = -math.inf
        self._rate = WantRate()
        self._stills = StillAssembler()
        self._n_frames = self._n_keyframes = self._nbytes = 0
        self._quantiser: int | None = None

    def open(self, link: WorkerLink, max_bitrate_bps: int) -> None:
        """Watch at this worker, from its next keyframe on."""
        self._link = link
        self._channel = link.open(self._take)
        self._size, self._seq = (0, 0), -1
        self._arrived_ms.clear()
        self._asked_s, self._asked_spacing_s = time.monotonic(), 0.0  # it begins with one
        self._rate = WantRate()
        self.has_stills = False
        self._stills = StillAssembler()
        self._channel.send(
            WatchTier(
                view=f"notebook-{secrets.token_hex(8)}",
                codec=self.codec.name,  # type: ignore[arg-type]
                profile=self.codec.profile,  # type: ignore[arg-type]
                tier=self.tier.value,
            )
        )
        self.tell_rate(max_bitrate_bps)

    @property
    def is_overdue(self) -> bool:
        """Whether the worker has ended it a while ago, so that it is to be opened again."""
        has_ended = self._link is not None and self._channel is None
        return has_ended and time.monotonic() - self._ended_s >= _REOPEN_S

    def end(self) -> None:
        """Watch no more."""
        if self._channel is not None:
            self._channel.end()
        self.lose()

    def lose(self) -> None:
        """Forget the worker, which has gone."""
        self._link = self._channel = None

    def request_keyframe(self, spacing_s: float) -> None:
        """Have a keyframe made, so long after the last one; many requests at a time are one."""
        now_s = time.monotonic()
        is_on_its_way = now_s - self._asked_s < _ASKED_S and self._asked_spacing_s <= spacing_s
        if self._channel is not None and not is_on_its_way:
            self._asked_s, self._asked_spacing_s = now_s, spacing_s
            self._channel.send(WantKeyframe(spacing_s=spacing_s))

    def want_stills(self) -> None:
        """Have pictures that stand still sent over this channel as well."""
        if self._channel is not None and not self.has_stills:
            self.has_stills = True
            self._channel.send(WantStills())

    def tell_rate(self, max_bitrate_bps: int) -> None:
        """Tell the worker what the viewers take, if that has changed."""
        demand = self._wants()
        hold_s = min(demand.free_s - time.monotonic(), 1.0)
        rate = WantRate(
            target_bps=min(demand.target_bps, max_bitrate_bps, _MAX_BPS),
            hold_ms=hold_s * 1000 if hold_s > _SHORTEST_HOLD_S else 0,
        )
        if self._channel is not None and _differ(self._rate, rate):
            self._rate = rate
            self._channel.send(rate)

    def stats(self) -> EncoderStats:
        width, height = self._size
        return EncoderStats(
            codec=str(self.codec),
            width=width,
            height=height,
            frames=self._n_frames,
            keyframes=self._n_keyframes,
            nbytes=self._nbytes,
            tier=str(self.tier),
            target_bps=round(self._rate.target_bps or 0),
            quantiser=self._quantiser,
            encoder="worker" if self._n_frames else "",
        )

    # --- what the worker sends ------------------------------------------------------------------

    def _take(self, kind: int, content: bytes) -> None:
        if kind == END:
            self._channel = None
            self._ended_s = time.monotonic()
        elif kind == TEXT:
            self._hear(content)
        elif content[:1] == bytes((STILL_PIECE,)):
            self._take_still(content[1:])
        else:
            self._take_packet(PacketHeader.parse(content), content[HEADER_NBYTES:])

    def _hear(self, content: bytes) -> None:
        try:
            message = decode_text(content.decode(), Interaction, Refusal, Status, Synced)
        except SignalError as exc:
            raise ValueError(exc.problem) from exc
        if isinstance(message, Refusal):
            parts = {each: getattr(message, each) for each in ("problem", "expected", "fix")}
            self._on_problem(Problem(**parts))

    def _take_packet(self, header: PacketHeader, data: bytes) -> None:
        self._acknowledge_soon(header.seq)
        has_gap, self._seq = header.seq != self._seq + 1, header.seq
        self._check(header, data)
        if header.is_keyframe:
            self._asked_s = -math.inf
            self._size = header.width, header.height
        elif has_gap or self._size == (0, 0):
            self._size = 0, 0  # what follows is of no use before the next keyframe
            self.request_keyframe(0.5)
            return
        placed = self._timeline.place(
            (self.codec, self.tier), header.timestamp, time.monotonic() * 1000, self._ahead_ms
        )
        packet = Packet(
            data=data,
            payloads=self._payloads(data, placed.timestamp),
            timestamp=placed.timestamp,
            capture_ns=placed.capture_ns,
            is_keyframe=header.is_keyframe,
            width=header.width,
            height=header.height,
            quantiser=header.quantiser,
        )
        self._n_frames += 1
        self._n_keyframes += packet.is_keyframe
        self._nbytes += packet.nbytes
        self._quantiser = packet.quantiser
        if self._n_frames == 1 or packet.is_keyframe:
            self._on_problem(None)
        self._on_packet(self.codec, self.tier, packet)

    def _check(self, header: PacketHeader, data: bytes) -> None:
        """Compare what a packet says of itself with what it is.

        Raises:
            ValueError: They differ.
        """
        if header.codec != self.codec.name:
            raise ValueError(f"{header.codec} where {self.codec.name} was asked for")
        shown = look_at(self.codec.name, data)
        if shown.is_keyframe != header.is_keyframe:
            raise ValueError("a packet that is no keyframe, or is one, against its header")
        size = (shown.width, shown.height) if shown.is_keyframe else self._size
        if size not in ((0, 0), (header.width, header.height)) or max(size) > _MAX_SIDE:
            raise ValueError(
                f"a picture of {size[0]} x {size[1]} as one of {header.width} x {header.height}"
            )

    def _payloads(self, data: bytes, timestamp: int) -> list[bytes]:
        if self._packetizer is None:
            return []
        packet = av.Packet(data)
        packet.pts, packet.time_base = timestamp, TIME_BASE
        try:
            return self._packetizer.pack(packet)[0]
        except (AssertionError, IndexError, ValueError) as exc:
            raise ValueError(f"a {self.codec.name} packet that cannot be split") from exc

    def _take_still(self, piece: bytes) -> None:
        if not self.has_stills:
            raise ValueError("a still that nobody has asked for")
        whole = self._stills.take(piece)
        if whole is None:
            return
        timestamp, png = whole
        capture_ns = self._timeline.shown_at(timestamp, time.monotonic() * 1000, self._ahead_ms)
        if capture_ns is not None:
            self._on_still(capture_ns, png)

    @property
    def _ahead_ms(self) -> float:
        ahead_ms = self._link.clock.ahead_ms if self._link is not None else None
        if ahead_ms is None:
            raise ValueError("packets before it has said the time")
        return ahead_ms

    def _acknowledge_soon(self, seq: int) -> None:
        """Acknowledge what has arrived, once for all that is read at a time."""
        if not self._arrived_ms:
            asyncio.get_running_loop().call_soon(self._acknowledge)
        self._arrived_ms.append(time.monotonic() * 1000)

    def _acknowledge(self) -> None:
        arrived_ms, self._arrived_ms = self._arrived_ms[-MAX_ARRIVALS:], []
        if self._channel is not None and arrived_ms:
            self._channel.send(Received(seq=self._seq, arrived_ms=arrived_ms))

    def __repr__(self) -> str:
        return f"<RemoteSession {self.codec} {self.tier} frames={self._n_frames}>"


def _differ(old: WantRate, new: WantRate) -> bool:
    """Tell whether a rate is worth telling: both limits change a little all the time."""
    if old.target_bps is None or (new.hold_ms > 0) != (old.hold_ms > 0):
        return True
    change_bps = abs(cast(float, new.target_bps) - old.target_bps)
    return new.hold_ms > 0 or change_bps > _SAME_RATE * old.target_bps
