"""How many bits a second, over the last moments."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Throughput"]

MOST_PACKETS = 8192
"""0.5 s of 150 Mbit/s: what is beyond is forgotten early, so that memory is bounded."""


class Throughput:
    """The rate of packets over a window of time.

    Args:
        window_s: How long the window is.
        longest_gap_s: After so long without a packet, measuring begins anew: the link stood still,
            or the application did, and neither says what the link takes.
    """

    def __init__(self, window_s: float, *, longest_gap_s: float) -> None:
        self._window_s = window_s
        self._longest_gap_s = longest_gap_s
        self._packets: deque[tuple[float, int]] = deque()
        self._nbytes = 0
        self._began_s = 0.0

    def add(self, at_s: float, nbytes: int) -> None:
        """Take one packet."""
        last_s = self._packets[-1][0] if self._packets else -math.inf
        if abs(at_s - last_s) > self._longest_gap_s or not self._packets:
            self._packets.clear()
            self._nbytes = 0
            self._began_s = at_s
        self._packets.append((at_s, nbytes))
        self._nbytes += nbytes
        while self._packets[0][0] < at_s - self._window_s or len(self._packets) > MOST_PACKETS:
            self._nbytes -= self._packets.popleft()[1]

    @property
    def rate_bps(self) -> float | None:
        """The rate, in bits a second; None before there is half a window to measure."""
        if not self._packets:
            return None
        span_s = min(self._packets[-1][0] - self._began_s, self._window_s)
        return self._nbytes * 8 / span_s if span_s >= self._window_s / 2 else None
