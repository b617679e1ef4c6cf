"""A stream's packets, encoded by a worker on another machine. Lives on the event loop."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

from gpuview.media.cluster.remote_session import RemoteSession
from gpuview.media.cluster.timeline import Timeline
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.still import Still
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.stats import EncoderStats

__all__ = ["RemoteEncodes"]

_TELL_RATE_EVERY_S = 0.03
_MAX_SIDE = 16_384
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_SIZE = struct.Struct(">II")


class RemoteEncodes:
    """An `Encodes` that asks the worker that it follows for what is wanted.

    While there is none, what was started waits for the next one.

    Args:
        take_packet: As for `MakeEncodes`.
        take_still: As for `MakeEncodes`.
        max_bitrate_bps: The most bits sent to one viewer per second.
        on_error: Called with why there are no packets, and with None when there are again.
        has_webrtc: Whether packets may go over WebRTC, which takes them in pieces.
    """

    def __init__(
        self,
        take_packet: Callable[[Codec, Tier, Packet], None],
        take_still: Callable[[Still | None], None],
        *,
        max_bitrate_bps: int,
        on_error: Callable[[Problem | None], None],
        has_webrtc: bool = True,
    ) -> None:
        self._take_packet = take_packet
        self._take_still = take_still
        self._max_bitrate_bps = max_bitrate_bps
        self._on_error = on_error
        self._has_webrtc = has_webrtc
        self._error: Problem | None = None
        self._timeline = Timeline()
        self._sessions: dict[tuple[Codec, Tier], RemoteSession] = {}
        self._link: WorkerLink | None = None
        self._size = (0, 0)
        self._capture_ns = 0  # of the newest picture
        self._has_still = False  # on the board
        self._wants_stills = False
        self._timer: asyncio.TimerHandle | None = None

    # --- the worker -----------------------------------------------------------------------------

    def follow(self, link: WorkerLink) -> None:
        """Show this worker's packets from now on."""
        self._link = link
        self._timeline.begin()
        self.note_size()
        for session in self._sessions.values():
            session.open(link, self._max_bitrate_bps)
        self._ask_for_stills()

    def lose(self, link: WorkerLink) -> None:
        """Wait for another worker if this is the one; viewers keep the last picture."""
        if link is self._link:
            self._link = None
            for session in self._sessions.values():
                session.lose()

    def note_size(self) -> None:
        """Note the size of the worker's picture, which it may have said."""
        if self._link is not None and self._link.picture_size != (0, 0):
            self._size = self._link.picture_size

    # --- an `Encodes` ---------------------------------------------------------------------------

    @property
    def frames_taken(self) -> int:
        """How many different pictures came."""
        return self._timeline.n_pictures

    @property
    def encoded_seq(self) -> int:
        """0: no ring numbers these frames."""
        return 0

    @property
    def max_bitrate_bps(self) -> int:
        return self._max_bitrate_bps

    @property
    def picture_size(self) -> tuple[int, int]:
        return self._size

    def set_limits(self, fps: float, max_bitrate_bps: int) -> None:
        """Ask for at most so many bits from now on; the worker has a frame rate of its own."""
        self._max_bitrate_bps = max_bitrate_bps

    def start(self, codec: Codec, tier: Tier, wants: Callable[[], Demand]) -> None:
        if (codec, tier) in self._sessions:
            return
        session = self._sessions[codec, tier] = RemoteSession(
            codec,
            tier,
            wants,
            timeline=self._timeline,
            on_packet=self._deliver,
            on_still=self._post,
            on_problem=self._report,
            has_webrtc=self._has_webrtc,
        )
        if self._link is not None:
            session.open(self._link, self._max_bitrate_bps)
            self._ask_for_stills()
        if self._timer is None:
            self._tell_rates()

    def stop(self, codec: Codec, tier: Tier) -> None:
        session = self._sessions.pop((codec, tier), None)
        if session is not None:
            session.end()
            self._ask_for_stills()

    def request_keyframe(self, codec: Codec, spacing_s: float, tier: Tier) -> None:
        if (session := self._sessions.get((codec, tier))) is not None:
            session.request_keyframe(spacing_s)

    def want_stills(self, is_wanted: bool) -> None:
        """Ask for stills from now on; a session that has been asked sends them until it ends."""
        self._wants_stills = is_wanted
        self._ask_for_stills()

    def stats(self) -> list[EncoderStats]:
        return [session.stats() for session in self._sessions.values()]

    def close(self) -> None:
        for codec, tier in list(self._sessions):
            self.stop(codec, tier)
        if self._timer is not None:
            self._timer.cancel()

    # --- what comes -----------------------------------------------------------------------------

    def _deliver(self, codec: Codec, tier: Tier, packet: Packet) -> None:
        if tier is Tier.FULL:
            self._size = packet.width, packet.height
        elif packet.is_keyframe and self._link is not None:
            self._link.ping()  # its answer says the size of the whole picture
        if packet.capture_ns > self._capture_ns:
            self._capture_ns = packet.capture_ns
            if self._has_still:
                self._has_still = False
                self._take_still(None)
        self._take_packet(codec, tier, packet)

    def _post(self, capture_ns: int, png: bytes) -> None:
        """Show a still, if it is of the newest picture.

        Raises:
            ValueError: It is no PNG, or its size is absurd.
        """
        if not png.startswith(_PNG_START) or len(png) < len(_PNG_START) + _PNG_SIZE.size:
            raise ValueError("a still that is no PNG")
        if max(_PNG_SIZE.unpack_from(png, len(_PNG_START))) > _MAX_SIDE:
            raise ValueError("a still of absurd size")
        if capture_ns == self._capture_ns and self._wants_stills:
            self._has_still = True
            self._take_still(Still(capture_ns, png))

    def _report(self, error: Problem | None) -> None:
        if error != self._error:
            self._error = error
            self._on_error(error)

    def _ask_for_stills(self) -> None:
        """See to it that one session brings stills, if they are wanted."""
        sessions = self._sessions.values()
        if self._wants_stills and sessions and not any(each.has_stills for each in sessions):
            next(iter(sessions)).want_stills()

    def _tell_rates(self) -> None:
        self._timer = None
        for session in self._sessions.values():
            if self._link is not None and session.is_overdue:
                session.open(self._link, self._max_bitrate_bps)
                self._ask_for_stills()
            session.tell_rate(self._max_bitrate_bps)
        if self._sessions:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_TELL_RATE_EVERY_S, self._tell_rates)

    def __repr__(self) -> str:
        return f"<RemoteEncodes {self._link or 'without a worker'} {list(self._sessions.values())}>"
