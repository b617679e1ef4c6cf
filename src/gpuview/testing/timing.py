"""How many pictures come, and how old they are. Pure: the caller has the clock.

The RTP timestamp of a frame is the time of its capture on the media process's clock, and a pong
tells that clock. See Note [picture number] in `gpuview.media.encode.timestamp` for the repeats.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from gpuview.media.encode.codec import CLOCK_HZ
from gpuview.media.encode.timestamp import PICTURES
from gpuview.protocol.page_messages import Pong

__all__ = ["Latency", "Timing", "is_picture_of"]

_TICKS_PER_MS = CLOCK_HZ / 1000
_TICKS = 2**32
_PONGS = 10  # the quickest of them counts
_WINDOW_MS = 10_000
_MAX_PICTURES = 4096


class Latency(NamedTuple):
    """How old pictures were when they came, in milliseconds since they were captured."""

    p50: float
    p95: float
    n_pictures: int
    """So many were measured."""


class Timing:
    """Measures one view."""

    def __init__(self) -> None:
        self.n_pictures = 0
        """How many different pictures have come."""
        self._picture: int | None = None
        self._pictures: deque[tuple[float, int]] = deque(maxlen=_MAX_PICTURES)
        self._pongs: deque[tuple[float, float]] = deque(maxlen=_PONGS)

    def begin(self) -> None:
        """Note that another connection begins. Its first picture may be of any age."""
        self._picture = None

    def hear(self, pong: Pong, now_ms: float) -> None:
        """Learn the media process's clock."""
        ahead_ms = pong.clock_ms - (pong.sent_ms + now_ms) / 2
        self._pongs.append((now_ms - pong.sent_ms, ahead_ms))

    def see(self, timestamp: int, now_ms: float) -> None:
        """Note that a frame has come."""
        picture, before = timestamp % PICTURES, self._picture
        if picture == before:
            return
        self._picture = picture
        self.n_pictures += 1
        if before is not None:
            self._pictures.append((now_ms, timestamp))

    def latency(self, now_ms: float) -> Latency | None:
        """Return the latency of the last ten seconds' pictures; None if nothing is known of it."""
        if not self._pongs:
            return None
        _, ahead_ms = min(self._pongs)
        ages = sorted(
            _since_ms(timestamp, came_ms + ahead_ms)
            for came_ms, timestamp in self._pictures
            if came_ms > now_ms - _WINDOW_MS
        )
        if not ages:
            return None
        last = len(ages) - 1
        return Latency(ages[int(0.5 * last)], ages[int(0.95 * last)], len(ages))


def is_picture_of(still: int, frame: int) -> bool:
    """Tell by their timestamps whether a frame shows the picture of a still, or an earlier one.

    A still comes after the first frame that shows its picture, but a frame is decoded only when the
    next one begins.
    """
    since = _difference(frame, still)
    return since < 0 or since % PICTURES == 0


def _since_ms(timestamp: int, clock_ms: float) -> float:
    """Return how long before ``clock_ms`` a timestamp was, 0 if it is later."""
    return max(0.0, _difference(clock_ms * _TICKS_PER_MS, timestamp) / _TICKS_PER_MS)


def _difference(ticks: float, since: float) -> float:
    """Return ``ticks`` - ``since``, both counted modulo 2^32."""
    return (ticks - since + _TICKS / 2) % _TICKS - _TICKS / 2
