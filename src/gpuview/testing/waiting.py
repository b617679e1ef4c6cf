"""State that one thread changes and others wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gpuview.testing.errors import WaitTimeoutError

__all__ = ["Changing"]

T = TypeVar("T")


class Changing:
    """Guards state. Change it inside `change`, and all waiting threads check it again."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold the lock, then wake all threads that wait."""
        with self._condition:
            yield
            self._condition.notify_all()

    def wait_for(
        self, look: Callable[[], T | None], *, timeout_s: float, what: Callable[[], str]
    ) -> T:
        """Return what ``look`` returns as soon as that is true.

        Args:
            look: Called with the lock held, now and after every change; may raise.
            timeout_s: How long to wait.
            what: Returns a description of the condition, for the error.

        Raises:
            WaitTimeoutError: It did not become true in time.
        """
        with self._condition:
            found = self._condition.wait_for(look, timeout_s)
            if found:
                return found
            raise WaitTimeoutError(
                f"waited {round(timeout_s, 3):g} s in vain",
                expected=what(),
                fix="find out why, or raise timeout_s on a slow machine",
            )
