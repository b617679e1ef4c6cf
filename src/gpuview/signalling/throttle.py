"""When what changes a thousand times a second is told to the pages: captions and legends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from weakref import ref

__all__ = ["Throttle"]


class Throttle:
    """Calls a function soon after each `ask`, but seldom: one call may answer many.

    `ask` takes a microsecond, or starts a thread for the next call. From any thread; never blocks.
    The thread keeps nobody alive while it waits.

    Args:
        call: Called on a thread of its own, one call at a time.
        period_s: The least time from one call to the next.
    """

    def __init__(self, call: Callable[[], None], period_s: float = 0.1) -> None:
        self._call = call
        self._period_s = period_s
        self._lock = threading.Lock()  # guards what follows
        self._last_s = float("-inf")
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def ask(self) -> None:
        """Let the function be called, once the last call is long enough ago."""
        with self._lock:
            if self._timer is not None or self._is_closed:
                return
            wait_s = max(0.0, self._last_s + self._period_s - time.monotonic())
            timer = threading.Timer(wait_s, _answer, (ref(self),))
            timer.name, timer.daemon = "gpuview-throttle", True
            with contextlib.suppress(RuntimeError):  # no thread is left: the next `ask` tries again
                timer.start()
                self._timer = timer

    def close(self) -> None:
        """Call the function no more."""
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()

    def renew_lock(self) -> None:
        """Make a new lock in a forked child, where the parent's threads are gone."""
        self._lock = threading.Lock()

    def answer(self) -> None:
        """Call the function now."""
        with self._lock:
            self._timer = None  # From now on, what is asked is answered by the next call.
            self._last_s = time.monotonic()
        self._call()


def _answer(throttle: ref[Throttle]) -> None:
    alive = throttle()
    if alive is not None:
        alive.answer()
