"""When the next frame is due. Pure; times in seconds."""

from __future__ import annotations

import math

__all__ = ["RETRY_S", "next_due"]

RETRY_S = 0.5
"""The delay after an error before the source is tried again."""


def next_due(now: float, due: float, period: float) -> float:
    """Return the due time of the frame after the frame that was due at ``due``.

    Due times are multiples of the period apart. After a late frame, the next frame is due at once
    and all others that were missed are skipped: the result is at most a period before ``now``.
    """
    late_periods = math.floor((now - due) / period)
    return due + max(1, late_periods) * period
