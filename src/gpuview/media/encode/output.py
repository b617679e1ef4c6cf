"""One codec and tier of a stream: its encoder, keyframes, counters, and last error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import av

from gpuview.errors import MediaError
from gpuview.media.encode.choice import Line, line_for, why_vp8
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder, Library
from gpuview.media.encode.frame_bits import checked_target
from gpuview.media.encode.keyframe_requests import KeyframeGate
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.media.encode.timestamp import timestamp_of
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.stats import EncoderStats

__all__ = ["RETRY_S", "Output"]

RETRY_S = 1.0
"""The time from a failure to the next attempt."""


class Output:
    """Encodes a stream's frames for the viewers of one codec in one tier.

    `encode` and `give_up` belong to the encode thread; the rest may be called from any thread.

    Args:
        codec: The codec that the viewers negotiated.
        tier: How much smaller the frames are that it is given.
        wants: Tells what the viewers want; called on the encode thread.
        setting: Which encoders may serve.
        fps: The expected frame rate.
        max_bitrate_bps: The most bits sent to one viewer in a second.
    """

    def __init__(
        self,
        codec: Codec,
        tier: Tier = Tier.FULL,
        wants: Callable[[], Demand] = Demand,
        *,
        setting: EncoderSetting = "auto",
        fps: float,
        max_bitrate_bps: int,
    ) -> None:
        self.codec = codec
        self.tier = tier
        self.is_behind = False
        """Whether it has not encoded the newest frame."""
        self.error: Problem | None = None
        self.retry_s = float("-inf")
        """No frame is encoded before this time."""
        self._wants = wants
        self._target_bps = 0.0
        self._quantiser: int | None = None
        self._fps = fps
        self._max_bitrate_bps = max_bitrate_bps
        self._setting: EncoderSetting = setting
        self._line: Line | None = None  # found out by the encode thread
        self._encoder: Encoder | None = None
        self._opened_with: tuple[int, int, float, int, Library] | None = None
        self._timestamp = 0
        self._lock = threading.Lock()  # guards what follows
        self._keyframes = KeyframeGate()
        self._n_frames = 0
        self._n_keyframes = 0
        self._nbytes = 0

    @property
    def keyframe_s(self) -> float:
        """When the next keyframe is due; infinite without a request."""
        return max(self._keyframes.due_s, self.retry_s)

    @property
    def free_s(self) -> float:
        """When the next frame is wanted, other than a keyframe."""
        return max(self._wants().free_s, self.retry_s)

    def set_limits(self, fps: float, max_bitrate_bps: int) -> None:
        """Encode with other limits from the next frame on, which is a keyframe."""
        self._fps = fps
        self._max_bitrate_bps = max_bitrate_bps

    def request_keyframe(self, spacing_s: float) -> None:
        """Request a keyframe, at least ``spacing_s`` after the last one."""
        with self._lock:
            self._keyframes.request(time.monotonic(), spacing_s)

    def encode(
        self, frame: av.VideoFrame, capture_ns: int, shown_ns: int, picture: int
    ) -> Packet | None:
        """Encode a frame of any size, with a new encoder if the size has changed.

        Args:
            frame: ``yuv420p``, limited-range BT.601.
            capture_ns: When the picture was pushed.
            shown_ns: The time that viewers are told: ``capture_ns``, or later for a repeat.
            picture: Counts the stream's pictures; a repeat has the same number.

        Returns:
            The packet, or None if the encoder skipped the frame to keep its bitrate.

        Raises:
            MediaError: The encoder cannot be opened, or has failed.
        """
        now_s = time.monotonic()
        target_bps = self._wants().target_bps
        self._timestamp = timestamp_of(shown_ns, picture, after=self._timestamp)
        self._line = line = self._line or line_for(self.codec, self._setting)
        while True:
            try:
                encoder = self._fitting_encoder(frame.width, frame.height, line.first, target_bps)
                packet = encoder.encode(
                    frame,
                    self._timestamp,
                    capture_ns,
                    is_keyframe=now_s >= self.keyframe_s,
                    target_bps=target_bps,
                )
                break
            except MediaError as exc:
                if not line.pass_on(exc.problem):
                    raise
        self.error = None
        self.is_behind = False
        if packet is None:
            return None
        with self._lock:
            if packet.is_keyframe:
                self._keyframes.done(now_s)
            self._n_frames += 1
            self._n_keyframes += packet.is_keyframe
            self._nbytes += packet.nbytes
            self._target_bps, self._quantiser = target_bps, packet.quantiser
        return packet

    def give_up(self, error: Problem) -> None:
        """Drop the encoder after a failure; the next attempt opens another."""
        self.error = error
        self.retry_s = time.monotonic() + RETRY_S
        self._encoder = None
        self.request_keyframe(0.0)

    def stats(self) -> EncoderStats:
        encoder = self._encoder  # read once: the encode thread may drop it meanwhile
        with self._lock:
            return EncoderStats(
                codec=str(self.codec),
                width=encoder.width if encoder else 0,
                height=encoder.height if encoder else 0,
                frames=self._n_frames,
                keyframes=self._n_keyframes,
                nbytes=self._nbytes,
                tier=str(self.tier),
                target_bps=checked_target(self._target_bps, encoder.ceiling_bps) if encoder else 0,
                quantiser=self._quantiser,
                encoder=encoder.library if encoder else "",
                encoder_reason=self._line.reason if self._line else "",
                why_no_h264=_why_no_h264(self.codec, self._setting),
            )

    def _fitting_encoder(
        self, width: int, height: int, library: Library, target_bps: float
    ) -> Encoder:
        encoder = self._encoder
        wanted = (width, height, self._fps, self._max_bitrate_bps, library)
        if encoder is None or wanted != self._opened_with:
            self._encoder = None  # free the old encoder's memory first
            encoder = self._encoder = Encoder(
                self.codec,
                width,
                height,
                fps=wanted[2],
                max_bitrate_bps=wanted[3],
                target_bps=target_bps,
                library=library,
            )
            self._opened_with = wanted
        return encoder

    def __repr__(self) -> str:
        return f"<Output {self.codec} {self.tier} {self._encoder or self.error or 'idle'}>"


def _why_no_h264(codec: Codec, setting: EncoderSetting) -> str:
    if codec.name == "JPEG":
        return "the page does not decode video: it needs https, or localhost"
    return "" if codec.name == "H264" else why_vp8(setting)
