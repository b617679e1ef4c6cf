"""How much was sent lately. Pure."""

from __future__ import annotations

__all__ = ["Rate"]


class Rate:
    """A bitrate over the last second or two.

    Args:
        now_s: The time, in seconds on the clock of all other times here.
    """

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._nbytes = 0
        self._last_bps = 0.0

    def add(self, now_s: float, nbytes: int) -> None:
        self._turn(now_s)
        self._nbytes += nbytes

    def bps(self, now_s: float) -> float:
        self._turn(now_s)
        return self._last_bps

    def _turn(self, now_s: float) -> None:
        passed_s = now_s - self._since_s
        if passed_s >= 1.0:
            self._last_bps = self._nbytes * 8 / passed_s
            self._since_s, self._nbytes = now_s, 0
