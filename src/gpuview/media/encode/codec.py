"""The types and settings that all encoders share: codec, packet, clock.

Note [one colour matrix]: every codec is fed limited-range BT.601. VP8 cannot signal its
matrix, and Chromium assumes BT.601 for it. H.264 signals its matrix in the VUI, and Chromium
honours it (without a VUI it assumes BT.709 and shows red as (255, 24, 0)). So one conversion serves
all viewers. The ring's I420 pictures use the same matrix.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from aiortc import RTCRtpCodecParameters

__all__ = [
    "CLOCK_HZ",
    "TIME_BASE",
    "Codec",
    "Packet",
    "codec_of",
    "new_context",
    "threads",
]

CLOCK_HZ = 90_000
"""RTP's clock for video, and every encoder's time base."""

TIME_BASE = Fraction(1, CLOCK_HZ)

_NO_PERIODIC_KEYFRAME = 1_000_000


@dataclass(frozen=True, slots=True)
class Codec:
    """A negotiated codec; frames are encoded once for all its viewers."""

    name: str
    """``"H264"`` or ``"VP8"``; ``"JPEG"`` for pages that decode no video."""
    profile: str = ""
    """For H.264: ``"Main"`` or ``"Constrained Baseline"``."""

    def __str__(self) -> str:
        return f"{self.name} {self.profile}".strip()


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded frame, whole and split for RTP."""

    data: bytes
    """The bitstream; Annex B for H.264."""
    payloads: list[bytes]
    """Empty for JPEG, which goes over other carriers only."""
    timestamp: int
    """90 kHz on the clock of ``capture_ns``; grows from packet to packet. See Note [picture number]
    in ``gpuview.media.encode.timestamp``."""
    capture_ns: int
    """When the picture was pushed, on ``time.monotonic_ns``; repeats of a picture keep it."""
    is_keyframe: bool
    width: int
    """Pixels."""
    height: int
    quantiser: int | None
    """The frame's mean: 0 to 51 in H.264, 0 to 63 in VP8, 3 to 31 in JPEG, coarser upwards; None if
    unknown."""

    @property
    def nbytes(self) -> int:
        return len(self.data)


def codec_of(parameters: RTCRtpCodecParameters) -> Codec:
    """Return the codec for negotiated RTP parameters."""
    name = parameters.mimeType.partition("/")[2].upper()
    if name != "H264":
        return Codec("VP8")
    profile_level_id = str(parameters.parameters.get("profile-level-id", "42e01f"))
    is_main = profile_level_id.lower().startswith("4d")
    return Codec("H264", "Main" if is_main else "Constrained Baseline")


def new_context(
    library: str, width: int, height: int, fps: float, bitrate_bps: int
) -> av.VideoCodecContext:
    """Return an encoder with our common settings, not open yet."""
    context = cast(av.VideoCodecContext, av.CodecContext.create(library, "w"))
    context.width = width
    context.height = height
    context.pix_fmt = "yuv420p"
    context.time_base = TIME_BASE
    context.framerate = Fraction(fps).limit_denominator(1000)
    context.gop_size = _NO_PERIODIC_KEYFRAME
    context.thread_count = threads(width, height, os.cpu_count() or 1)
    context.bit_rate = bitrate_bps
    return context


def threads(width: int, height: int, cores: int) -> int:
    """Return how many threads encode one frame: few, because slices cost bits and wake-ups.

    By default the library would use all cores, even on a 128-core server.
    """
    pixels = width * height
    wanted = 1 if pixels <= 960 * 540 else 2 if pixels <= 1920 * 1080 else 4
    return max(1, min(wanted, cores))
