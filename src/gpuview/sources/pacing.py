"""When the next frame is due. Pure; times in seconds."""

from __future__ import annotations

import math

__all__ = ["RETRY_S", "next_due"]

RETRY_S = 0.5
"""How long after an error the source is tried again."""


def next_due(now: float, due: float, period: float) -> float:
    """Return when the frame after the one due at ``due`` is due.

    Due times are multiples of the period apart. After a late frame the next one is due at once, but
    only that one: the result is never more than a period before ``now``, and frames that were due
    before that are skipped.
    """
    late_periods = math.floor((now - due) / period)
    return due + max(1, late_periods) * period
