"""Encoders that keep the bitrate with which they were opened: libvpx, and NVENC as we use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import av
from av.video.frame import PictureType

from gpuview.media.encode.codec import CLOCK_HZ
from gpuview.media.encode.frame_bits import is_band_left

__all__ = ["FixedRate"]


class FixedRate:
    """Opens its encoder anew when the bitrate has moved; see `is_band_left`.

    Args:
        open_context: Opens the encoder for a bitrate.
        bitrate_bps: The first one.
    """

    def __init__(
        self, open_context: Callable[[int], av.VideoCodecContext], bitrate_bps: int
    ) -> None:
        self._open_context = open_context
        self._context: av.VideoCodecContext | None = None
        self._library_time = 0  # 90 kHz
        self._open(bitrate_bps)

    def encode(
        self, frame: av.VideoFrame, *, target_bps: int, frame_s: float, is_keyframe: bool
    ) -> list[av.Packet[Any]]:
        """Encode a frame, which may take the bits of ``frame_s``.

        The libraries know that by the frames' times. The true ones would give a frame that comes
        late more bits, which take longer to encode, so that the next one comes later still.
        """
        if is_band_left(self._bps, target_bps, time.monotonic() - self._opened_s):
            self._open(target_bps)
        frame.pict_type = PictureType.I if is_keyframe else PictureType.NONE
        timestamp, frame.pts = frame.pts, self._library_time
        self._library_time += max(1, round(frame_s * CLOCK_HZ))
        assert self._context is not None
        packets = self._context.encode(frame)
        for packet in packets:
            packet.pts = timestamp
        return packets

    def _open(self, bitrate_bps: int) -> None:
        self._context = None  # free the old one's memory first
        self._context = self._open_context(bitrate_bps)
        self._bps, self._opened_s = bitrate_bps, time.monotonic()
