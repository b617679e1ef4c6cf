"""Which viewers share an encode: pure decisions, in seconds on one monotonic clock."""

from __future__ import annotations

import enum

__all__ = ["Tier"]


class Tier(enum.IntEnum):
    """How much smaller the picture is that a viewer gets; the value divides both sides."""

    FULL = 1
    HALF = 2
    QUARTER = 4

    def __str__(self) -> str:
        return self.name.lower()
