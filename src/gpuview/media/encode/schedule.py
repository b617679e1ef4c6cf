"""When to encode: pure decisions about times, in seconds on one monotonic clock.

Frames are dropped here, before the encoder, and never after it. A browser needs every
packet that was encoded: the next one refers to it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "LookClock",
    "RefreshClock",
    "StartClock",
    "StillClock",
]

_LOOK_S, _LOOK_LATE_S = 0.001, 0.005
_REFRESH_AFTER_S = (0.1, 0.25, 0.5, 1.0)
_STILL_AFTER_S = 0.3


@dataclass(slots=True)
class RefreshClock:
    """Repeats a picture that has stopped changing.

    Each repeat sharpens the picture. It also reveals a loss: a browser notices that packets are
    missing only when another packet follows. There are four repeats in the first two seconds, then
    one a second; each costs some 100 bytes.
    """

    due_s: float = float("inf")
    _repeats: int = 0

    def changed(self, now_s: float) -> None:
        """Note that a new picture was encoded."""
        self._repeats = 0
        self.due_s = now_s + _REFRESH_AFTER_S[0]

    def repeated(self, now_s: float) -> None:
        """Note that the old picture was encoded again."""
        self._repeats = min(self._repeats + 1, len(_REFRESH_AFTER_S) - 1)
        self.due_s = now_s + _REFRESH_AFTER_S[self._repeats]


@dataclass(slots=True)
class StillClock:
    """Says when a picture has stood still for long enough to be sent without loss: once, 0.3 s.

    So at more than three pictures a second there is none.
    """

    due_s: float = float("inf")

    def changed(self, now_s: float) -> None:
        """Note that a new picture was encoded."""
        self.due_s = now_s + _STILL_AFTER_S

    def done(self) -> None:
        """Note that this picture needs no more."""
        self.due_s = float("inf")


@dataclass(slots=True)
class LookClock:
    """Says when to look for a frame that a device writes without a wake-up.

    At first it looks every millisecond, because a copy takes less. Then the interval grows to an
    eighth of the time waited so far, up to 5 ms: the device is busy, and this costs 1 % of a core.
    After 5 s the interval is a thousandth of the time waited, so that a frame that never comes, for
    example from a device that failed, costs less and less.
    """

    _since_s: float | None = None

    def arrived(self) -> None:
        """Start again at the shortest interval: the next frame may follow soon."""
        self._since_s = None

    def next_s(self, now_s: float, *, is_expecting: bool) -> float | None:
        """Return when to look again; None if no frame is expected."""
        if not is_expecting:
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = now_s
        waited_s = now_s - self._since_s
        return now_s + min(max(_LOOK_S, waited_s / 8), max(_LOOK_LATE_S, waited_s / 1000))


@dataclass(slots=True)
class StartClock:
    """Says when the next new frame may be encoded: three quarters of a period after the last.

    So a source with the right rate but some jitter keeps every frame, and a much faster source
    loses its older frames. A source that has kept its rate may be early once: a frame that shows
    what a click has done does not wait.
    """

    _spent_s: float = float("-inf")
    """When all starts so far would have been, three quarters of a period apart."""

    def earliest_s(self, fps: float) -> float:
        """Return when the next new frame may be encoded."""
        return self._spent_s - 0.75 / fps

    def started(self, now_s: float, fps: float) -> None:
        """Note that a new frame is encoded."""
        self._spent_s = max(self._spent_s, now_s) + 0.75 / fps
