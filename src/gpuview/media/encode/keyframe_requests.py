"""When a keyframe that viewers ask for is made: pure, in seconds on one monotonic clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["JOIN_SPACING_S", "LOSS_SPACING_S", "KeyframeGate", "LossRequests"]

JOIN_SPACING_S = 0.1
"""The keyframe for a joining viewer comes at least this long after the last keyframe."""

LOSS_SPACING_S = 0.5
"""The same for lost packets; longer, as browsers repeat the request and keyframes are large."""

_OFTEN_SPACING_S = 2.0
_OFTEN_WITHIN_S = 6.0
_OFTEN = 3


@dataclass(slots=True)
class KeyframeGate:
    """Serves many requests with one keyframe, without losing a request."""

    last_s: float = float("-inf")
    due_s: float = float("inf")
    """When the next keyframe is due; infinite without a request."""

    def request(self, now_s: float, spacing_s: float) -> None:
        """Request a keyframe, at least ``spacing_s`` after the last one."""
        self.due_s = min(self.due_s, max(now_s, self.last_s + spacing_s))

    def done(self, now_s: float) -> None:
        """Note that a keyframe was made, requested or not."""
        self.last_s = now_s
        self.due_s = float("inf")


@dataclass(slots=True)
class LossRequests:
    """One viewer's requests for keyframes: whoever asks again and again is served more seldom.

    Such a viewer is overloaded. More keyframes would overload it further, and cost the others.
    """

    _times_s: deque[float] = field(default_factory=lambda: deque(maxlen=_OFTEN))

    def spacing_s(self, now_s: float) -> float:
        """Note a request; return how long after the last keyframe it may be served."""
        times = self._times_s
        if not times or now_s - times[-1] >= LOSS_SPACING_S:
            times.append(now_s)
        is_often = len(times) == _OFTEN and now_s - times[0] <= _OFTEN_WITHIN_S
        return _OFTEN_SPACING_S if is_often else LOSS_SPACING_S
