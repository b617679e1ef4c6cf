"""How long packets wait in the link's queue: what they take now, less what they took at best."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["QueueDelay"]

RECENT_S = 0.05
"""The least of so recent delays counts: of a radio's jitter, that is next to nothing."""
MOST_RECENT = 32
BASE_S = 10.0
"""The best delay is that of the last one or two such spans: clocks drift, and paths change."""


class QueueDelay:
    """Follows the delay of packets above its base. The peer's clock may have any origin."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float]] = deque(maxlen=MOST_RECENT)
        self._base_began_s = -math.inf
        self._base_s = math.inf
        self._base_before_s = math.inf

    def add(self, sent_s: float, arrived_s: float) -> None:
        """Take one packet."""
        delay_s = arrived_s - sent_s
        if arrived_s - self._base_began_s > BASE_S:
            self._base_before_s, self._base_s = self._base_s, math.inf
            self._base_began_s = arrived_s
        self._base_s = min(self._base_s, delay_s)
        self._recent.append((arrived_s, delay_s))
        while arrived_s - self._recent[0][0] > RECENT_S:
            self._recent.popleft()

    @property
    def queue_s(self) -> float:
        """How long packets wait, in seconds; 0 until there is one."""
        if not self._recent:
            return 0.0
        base_s = min(self._base_s, self._base_before_s)
        return min(delay_s for _, delay_s in self._recent) - base_s
