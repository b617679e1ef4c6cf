"""How many bits the next frame may take: pure decisions, in seconds and bits.

Note [bits for each frame]. x264 keeps no clock: it takes each frame for the same part of a second,
so a source of 5 frames a second would get a sixth of its bitrate. Its buffer has a size in bits,
which would be seconds at a low bitrate, and it wastes half of the rate where the buffer has room
for one to two frames. So we do the accounts: before each frame, x264's bitrate is set to what the
link takes in that frame's time, and its buffer is one frame. No frame is larger then, however far
and fast the bitrate falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "KEYFRAME_S",
    "MAX_FRAME_S",
    "MIN_BITRATE_BPS",
    "FrameTime",
    "ceiling_bps",
    "checked_target",
    "is_band_left",
]

KEYFRAME_S = 0.1
"""A keyframe takes the link for at most so long, about; a third of that would blur it."""

MAX_FRAME_S = 0.1
"""The same for any frame after a pause. A repeat follows in this time, with as many bits again."""

MIN_BITRATE_BPS = 50_000
"""No encoder is told a lower bitrate."""

_MAX_BITS_PER_PIXEL = (
    5.5  # random noise is sharper than JPEG of quality 80 then; all else needs less
)
_BAND = 1.25
_REOPEN_S = 2.0


def ceiling_bps(width: int, height: int, fps: float, max_bitrate_bps: int) -> int:
    """Return the highest useful bitrate for a picture of this size, at most ``max_bitrate_bps``."""
    useful = math.ceil(width * height * fps * _MAX_BITS_PER_PIXEL)
    return min(max(useful, MIN_BITRATE_BPS), max_bitrate_bps)


def checked_target(target_bps: float, ceiling_bps: int) -> int:
    """Return a bitrate that an encoder can be told, whatever was reported: NaN and zero, too."""
    if not target_bps > MIN_BITRATE_BPS:
        return min(MIN_BITRATE_BPS, ceiling_bps)
    return int(min(target_bps, ceiling_bps))


@dataclass(slots=True)
class FrameTime:
    """The time that one frame's bits may take on the link: the smoothed time between frames.

    Args:
        seconds: The expected time.
    """

    seconds: float
    _last_s: float | None = None

    def next(self, now_s: float) -> float:
        """Return the time for the frame that is encoded now, at most `MAX_FRAME_S`."""
        if self._last_s is not None:
            gap_s = min(max(now_s - self._last_s, 0.0), MAX_FRAME_S)
            self.seconds += (gap_s - self.seconds) / 2
        self._last_s = now_s
        self.seconds = min(self.seconds, MAX_FRAME_S)
        return self.seconds


def is_band_left(opened_bps: int, target_bps: int, open_for_s: float) -> bool:
    """Tell whether to open an encoder anew that keeps its bitrate: for 25 %, every 2 s at most."""
    return open_for_s >= _REOPEN_S and not 1 / _BAND <= target_bps / opened_bps <= _BAND
