"""How often each user may ask. Pure."""

from __future__ import annotations

from collections import OrderedDict

from gpuview.signalling.rate_limit import RateLimit

__all__ = ["UserLimits"]

_MINUTE_S = 60.0


class UserLimits:
    """A `RateLimit` for each user: ``per_minute`` at once, and as many a minute after that.

    A user who has not asked for a minute is forgotten, because the limit would be full again.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._limits: OrderedDict[str, tuple[RateLimit, float]] = OrderedDict()

    def stops(self, user: str, now_s: float) -> bool:
        """Tell whether one more of this user's, at this time in seconds, is too many."""
        self._forget(now_s - _MINUTE_S)
        limit, _ = self._limits.pop(user, (None, 0.0))
        if limit is None:
            limit = RateLimit(burst=self._per_minute, per_s=self._per_minute / _MINUTE_S)
        self._limits[user] = limit, now_s
        return limit.stops(now_s)

    def _forget(self, before_s: float) -> None:
        while self._limits:
            user, (_, last_s) = next(iter(self._limits.items()))
            if last_s > before_s:
                return
            del self._limits[user]

    def __len__(self) -> int:
        return len(self._limits)
