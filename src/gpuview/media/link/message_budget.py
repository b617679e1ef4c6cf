"""How much of what a page asks for is worked on. Pure."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """So much a second, and as much at once after a second of less.

    Args:
        now_s: The time, on the clock of all other times here.
        per_s: How much.
    """

    def __init__(self, now_s: float, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._at_s = now_s

    def spend(self, now_s: float, amount: int) -> bool:
        """Take so much if there is as much left; return whether there was."""
        self._left = min(self._per_s, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def __repr__(self) -> str:
        return f"<Budget {self._left:.0f} of {self._per_s:.0f}>"
