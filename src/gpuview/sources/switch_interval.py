"""A shorter switch interval of the interpreter while a source makes a frame."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["short_switch_interval"]

_SHORT_S = 0.0002


class _ShortSwitchInterval:
    """Shortens the switch interval while at least one thread needs that.

    A thread that waits for the GIL gets it from running Python code after this interval. At the
    default of 5 ms, a source loses 5 ms in each of its torch operations while a cell is busy, and
    a frame may take 80 of them. Even 1 ms left 15 of 30 frames a second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_holders = 0
        self._before = 0.0
        self._shortened = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._n_holders += 1
            if self._n_holders == 1:
                self._before = sys.getswitchinterval()
                _set_switch_interval(min(self._before, _SHORT_S))
                self._shortened = sys.getswitchinterval()
        try:
            yield
        finally:
            with self._lock:
                self._n_holders -= 1
                # A value that the user has set meanwhile stays.
                if self._n_holders == 0 and sys.getswitchinterval() == self._shortened:
                    _set_switch_interval(self._before)


def _set_switch_interval(interval: float) -> None:
    # Python truncates it to microseconds. The extra half keeps a restore from losing one.
    sys.setswitchinterval(interval + 0.5e-6)


short_switch_interval = _ShortSwitchInterval()
"""Context manager: inside, threads of this process wait at most 0.2 ms for the GIL."""
