"""How often something may happen, of the times that it is told."""

from __future__ import annotations

__all__ = ["RateLimit"]


class RateLimit:
    """A token bucket: lets ``burst`` pass at once, and ``per_s`` a second after that.

    One thread at a time.
    """

    def __init__(self, *, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._tokens = float(burst)
        self._last_s = 0.0
        self._n_stopped = 0

    def stops(self, now_s: float) -> bool:
        """Tell whether one more at this time, in seconds, is too many."""
        gained = (now_s - self._last_s) * self._per_s
        self._tokens = min(self._tokens + gained, self._burst)
        self._last_s = now_s
        if self._tokens < 1:
            self._n_stopped += 1
            return True
        self._tokens -= 1
        return False

    def take_stopped(self) -> int:
        """Return how many were stopped since the last call."""
        n_stopped, self._n_stopped = self._n_stopped, 0
        return n_stopped
