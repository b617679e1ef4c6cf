"""When a worker dials again: pure, in seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["BackOff"]

_FIRST_S, _LONGEST_S = 0.25, 5.0
_REFUSED_S = 5.0  # whoever is refused is refused again, most likely
_SPREAD = 0.5


@dataclass(slots=True)
class BackOff:
    """Waits longer after each failure, and never for long: the notebook may come back any time.

    By chance, so that a thousand workers of one job do not come all at once.
    """

    _next_s: float = _FIRST_S

    def succeeded(self) -> None:
        """Begin again with a short wait."""
        self._next_s = _FIRST_S

    def wait_s(self, *, was_refused: bool) -> float:
        """Return how long to wait now."""
        wait_s = _REFUSED_S if was_refused else self._next_s
        self._next_s = min(self._next_s * 2, _LONGEST_S)
        return wait_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)
