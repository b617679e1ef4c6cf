"""When the next frame is due. Pure; times in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["RETRY_S", "Haste", "next_due"]

RETRY_S = 0.5
"""The delay after an error before the source is tried again."""


def next_due(now: float, due: float, period: float) -> float:
    """Return the due time of the frame after the frame that was due at ``due``.

    Due times are multiples of the period apart. After a late frame, the next frame is due at once
    and all others that were missed are skipped: the result is at most a period before ``now``.
    """
    late_periods = math.floor((now - due) / period)
    return due + max(1, late_periods) * period


@dataclass(slots=True)
class Haste:
    """Lets a frame be made at once that shows what a click has done: one in four, at most.

    So a drag, which wakes the source all the time, makes at most a quarter more frames.
    """

    _next_s: float = -math.inf

    def due(self, now: float, due: float, period: float) -> float:
        """Return when the next frame is due after something has happened to the picture."""
        if now >= due or now < self._next_s:
            return due
        self._next_s = now + 4 * period
        return now
