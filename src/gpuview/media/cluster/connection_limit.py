"""How many may come to the workers' port, and how often: pure, in seconds.

Whoever reaches the port may connect and say nothing, or connect again and again. So while there are
too many connections, or too many came in the last second, the port is shut for a second. Those who
are in stay in.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_CONNECTIONS", "Gate"]

MAX_CONNECTIONS = 512
"""At a time, workers and strangers together: each takes a descriptor of this process."""

_MAX_PER_S = 100
_SHUT_S = 1.0


@dataclass(slots=True)
class Gate:
    """Counts connections."""

    n_open: int = 0
    n_shut: int = 0
    """How often the port was shut."""
    _window_s: float = float("-inf")
    _n_in_window: int = 0
    _shut_until_s: float = float("-inf")

    def came(self, now_s: float) -> None:
        """Note a connection."""
        self.n_open += 1
        if now_s - self._window_s >= 1.0:
            self._window_s, self._n_in_window = now_s, 0
        self._n_in_window += 1
        if self._n_in_window > _MAX_PER_S and now_s >= self._shut_until_s:
            self._shut_until_s = now_s + _SHUT_S
            self.n_shut += 1

    def went(self) -> None:
        """Note the end of one."""
        self.n_open = max(self.n_open - 1, 0)

    def is_open(self, now_s: float) -> bool:
        """Tell whether the port is to be open."""
        return now_s >= self._shut_until_s and self.n_open < MAX_CONNECTIONS
