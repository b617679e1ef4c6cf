"""JPEG, for pages that decode no video: on plain http, browsers have no WebCodecs."""

from __future__ import annotations

from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from gpuview.media.encode.codec import TIME_BASE
from gpuview.media.encode.frame_bits import KEYFRAME_S

__all__ = ["BEST_QUANTISER", "WORST_QUANTISER", "Jpeg"]

BEST_QUANTISER = 3
"""Libavcodec's scale, on which 2 is as good as lossless. 3 is libjpeg's quality 90, about."""

WORST_QUANTISER = 31

_LAMBDA_PER_QUANTISER = 118  # FFmpeg's FF_QP2LAMBDA
_FIRST_BITS_PER_PIXEL = 4.5  # at a quantiser of 1; a photograph's
_TOO_LARGE = 1.5
_SAME = 0.15


class Jpeg:
    """Encodes each picture by itself, as well as its bits allow. One thread at a time.

    A picture takes some constant, which follows from what it shows, divided by the quantiser.
    The constant is learned from the last picture. One that turns out too large is encoded again.
    """

    def __init__(self, width: int, height: int) -> None:
        self.quantiser = 0
        """Of the last picture: `BEST_QUANTISER` to `WORST_QUANTISER`, coarser upwards."""
        self._size = width, height
        self._bits_at_1 = _FIRST_BITS_PER_PIXEL * width * height
        self._reformatter = VideoReformatter()
        self._context: av.VideoCodecContext
        self._open(BEST_QUANTISER)

    def encode(
        self, frame: av.VideoFrame, *, target_bps: int, frame_s: float, is_keyframe: bool
    ) -> list[av.Packet[Any]]:
        """Encode a frame in about the bits that ``target_bps`` gives in ``frame_s``."""
        bits = target_bps * (max(frame_s, KEYFRAME_S) if is_keyframe else frame_s)
        # JPEG has the full range, and browsers take it for that whatever it says.
        full = self._reformatter.reformat(
            frame,
            format="yuvj420p",
            src_colorspace=Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        full.pts, full.time_base = frame.pts, TIME_BASE
        packets = self._encode(full, bits)
        if packets[0].size * 8 > bits * _TOO_LARGE and self.quantiser < WORST_QUANTISER:
            packets = self._encode(full, bits)
        return packets

    def _encode(self, frame: av.VideoFrame, bits: float) -> list[av.Packet[Any]]:
        wanted = min(max(self._bits_at_1 / max(bits, 1.0), BEST_QUANTISER), WORST_QUANTISER)
        if abs(wanted - self.quantiser) > _SAME * self.quantiser:
            self._open(round(wanted))
        packets = self._context.encode(frame)
        self._bits_at_1 = packets[0].size * 8 * self.quantiser
        return packets

    def _open(self, quantiser: int) -> None:
        width, height = self._size
        context = av.CodecContext.create("mjpeg", "w")
        context.width, context.height = width, height
        context.pix_fmt = "yuvj420p"
        context.time_base = TIME_BASE
        context.thread_count = 1
        context.options = {
            "flags": "qscale",
            "global_quality": str(quantiser * _LAMBDA_PER_QUANTISER),
            "qmin": str(quantiser),
            "qmax": str(quantiser),
        }
        context.open()
        self._context, self.quantiser = context, quantiser
