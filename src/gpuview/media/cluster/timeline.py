"""Puts the timestamps of one worker after another on this process's clock. Pure.

Pages take the time of a frame from its RTP timestamp, on the clock of the media process that they
talk to. A worker's timestamps are on its own, and another worker's on yet another one. So each is
moved by the difference of the clocks, which pings tell, and never back. Only whole multiples of
`PICTURES` are added: the picture's number stays, see Note [picture number] in
``gpuview.media.encode.timestamp``.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from gpuview.media.encode.codec import CLOCK_HZ
from gpuview.media.encode.timestamp import PICTURES

__all__ = ["Placed", "Timeline", "WorkerClock"]

_TICKS_PER_MS = CLOCK_HZ // 1000
_WRAP = 2**32
_AHEAD_MS = 5000.0  # no honest frame is so far in the future
_BASE_MS = 30_000.0  # the shortest round trip of one or two of these counts: clocks drift apart
_STEP_MS = PICTURES / _TICKS_PER_MS


@dataclass(slots=True)
class WorkerClock:
    """How far a worker's clock is ahead of ours, in milliseconds."""

    ahead_ms: float | None = None
    """None before the first pong."""
    _best_ms: float = float("inf")
    _since_ms: float = float("-inf")
    _measured_ms: float = 0.0

    def take_pong(self, sent_ms: float, now_ms: float, clock_ms: float) -> None:
        """Learn from a ping that was sent then and has come back now.

        The first one sets the clock; later ones move it by a fraction of a millisecond each.
        """
        round_trip_ms = now_ms - sent_ms
        if round_trip_ms <= self._best_ms or now_ms - self._since_ms > _BASE_MS:
            self._best_ms, self._since_ms = round_trip_ms, now_ms
            self._measured_ms = clock_ms - (sent_ms + now_ms) / 2
        if self.ahead_ms is None:
            self.ahead_ms = self._measured_ms
        error_ms = self._measured_ms - self.ahead_ms
        self.ahead_ms += min(max(error_ms, -_STEP_MS), _STEP_MS)

    def on_ours(self, theirs_ms: float) -> float:
        """Return a time of the worker's clock on ours; 0, which is none, while that is unknown."""
        return theirs_ms - self.ahead_ms if theirs_ms and self.ahead_ms is not None else 0.0


class Placed(NamedTuple):
    """A packet's times on our clock."""

    timestamp: int
    """90 kHz, greater than the last of its track."""
    capture_ns: int
    """The same for every packet of one picture, in any track."""


class _Picture(NamedTuple):
    ticks: int
    """Of the first packet that showed it, on the worker's clock."""
    capture_ns: int


@dataclass(slots=True)
class Timeline:
    """One stream's time."""

    n_pictures: int = 0
    """How many different ones were placed."""
    _last: dict[Hashable, int] = field(default_factory=dict)
    _newest: int = 0
    _floor: int = 0
    _pictures: list[_Picture] = field(default_factory=list)

    def begin(self) -> None:
        """Go on with another worker: what it made comes after all that was before."""
        self._floor = self._newest
        self._pictures.clear()

    def place(self, track: Hashable, timestamp: int, now_ms: float, ahead_ms: float) -> Placed:
        """Return the times of the next packet of a track.

        Args:
            track: Codec and tier.
            timestamp: The worker's, of 32 bits.
            now_ms: The time.
            ahead_ms: Of the worker's clock.

        Raises:
            ValueError: It is in the future.
        """
        ticks = _unwrapped(timestamp, now_ms + ahead_ms)
        if ticks > (now_ms + ahead_ms + _AHEAD_MS) * _TICKS_PER_MS:
            raise ValueError("a timestamp in the future")
        shift = round(-ahead_ms * _TICKS_PER_MS / PICTURES) * PICTURES
        after = max(self._last.get(track, 0), self._floor)
        earliest = max(ticks + shift, after + 1)
        placed = earliest + (ticks - earliest) % PICTURES
        self._last[track] = placed
        self._newest = max(self._newest, placed)
        return Placed(placed, self._picture(ticks, shift, now_ms).capture_ns)

    def shown_at(self, timestamp: int, now_ms: float, ahead_ms: float) -> int | None:
        """Return the ``capture_ns`` of the picture that a packet has shown; None: it is unknown."""
        found = self._find(_unwrapped(timestamp, now_ms + ahead_ms))
        return found.capture_ns if found is not None else None

    def _picture(self, ticks: int, shift: int, now_ms: float) -> _Picture:
        if (found := self._find(ticks)) is not None:
            return found
        capture_ms = min((ticks + shift) / _TICKS_PER_MS, now_ms)
        picture = _Picture(ticks, round(capture_ms * 1e6))
        insort(self._pictures, picture)
        del self._pictures[:-PICTURES]
        self.n_pictures += 1
        return picture

    def _find(self, ticks: int) -> _Picture | None:
        """Return the newest picture that was there by then, if the number is its own."""
        before = [each for each in self._pictures if each.ticks <= ticks]
        if before and (before[-1].ticks - ticks) % PICTURES == 0:
            return before[-1]
        return None


def _unwrapped(timestamp: int, clock_ms: float) -> int:
    """Return the timestamp with these low 32 bits that is nearest to a time."""
    near = round(clock_ms * _TICKS_PER_MS)
    return near + (timestamp - near + _WRAP // 2) % _WRAP - _WRAP // 2
