"""When to encode: pure decisions about times, in seconds on one clock that only moves forward.

Frames are dropped here, before the encoder, and never after it. A browser cannot tell that a packet
was encoded and not sent.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "JOIN_SPACING_S",
    "LOSS_SPACING_S",
    "KeyframeGate",
    "LookClock",
    "RefreshClock",
    "earliest_start",
]

JOIN_SPACING_S = 0.1
"""The keyframe for a joining viewer comes at least this long after the last one."""

LOSS_SPACING_S = 0.5
"""The same for a viewer that lost packets: browsers repeat the request, and keyframes are large."""

_LOOK_S, _LOOK_LATE_S = 0.001, 0.005
_REFRESH_AFTER_S = (0.1, 0.25, 0.5, 1.0)


@dataclass(slots=True)
class KeyframeGate:
    """Answers many requests with one keyframe, and forgets none of them."""

    last_s: float = float("-inf")
    due_s: float | None = None
    """When the next keyframe is to be made; None while nobody wants one."""

    def request(self, now_s: float, spacing_s: float) -> None:
        """Ask for a keyframe, at least ``spacing_s`` after the last one."""
        due_s = max(now_s, self.last_s + spacing_s)
        self.due_s = due_s if self.due_s is None else min(self.due_s, due_s)

    def is_due(self, now_s: float) -> bool:
        return self.due_s is not None and now_s >= self.due_s

    def done(self, now_s: float) -> None:
        """Note that a keyframe was made, wanted or not."""
        self.last_s = now_s
        self.due_s = None


@dataclass(slots=True)
class RefreshClock:
    """Repeats a picture that has stopped changing.

    The repeats sharpen it, and let a browser notice that the last packets were lost: it sees a gap
    only when something follows. Four in the first two seconds, then one a second; a repeat costs
    some 100 bytes.
    """

    due_s: float = float("inf")
    _repeats: int = 0

    def changed(self, now_s: float) -> None:
        """Note that a new picture was encoded."""
        self._repeats = 0
        self.due_s = now_s + _REFRESH_AFTER_S[0]

    def repeated(self, now_s: float) -> None:
        """Note that the old picture was encoded once more."""
        self._repeats = min(self._repeats + 1, len(_REFRESH_AFTER_S) - 1)
        self.due_s = now_s + _REFRESH_AFTER_S[self._repeats]


@dataclass(slots=True)
class LookClock:
    """Says when to look for a frame that a device writes, which wakes nobody.

    At first every millisecond, as a copy takes less. Later after an eighth of the time waited so
    far, up to 5 ms: the device is busy with something else, and this costs 1 % of a core. After 5 s
    it is a thousandth of that time, so that a frame which never comes, as from a device that
    failed, costs less and less.
    """

    _since_s: float | None = None

    def arrived(self) -> None:
        """Start anew, as a frame came and another may be close behind."""
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


def earliest_start(last_start_s: float, fps: float) -> float:
    """Return when the next new frame may be encoded.

    Three quarters of a period after the last one: a source that keeps its rate but wobbles is shown
    whole, and one that is much faster loses its older frames.
    """
    return last_start_s + 0.75 / fps
