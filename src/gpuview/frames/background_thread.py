"""A thread that works for its owner now and then, without keeping it alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakMethod

__all__ = ["BackgroundThread"]

_JOIN_S = 0.5


class BackgroundThread:
    """A daemon thread that exists while there is work, or there may soon be some.

    The owner's lock is held while a method is called, except for `wait_for_rest`.

    Args:
        work: A method of the owner, called on the thread. It does what there is to do. Then it
            calls `rest` and returns the seconds to rest, or also calls `end` and returns 0, which
            ends the thread.
        name: The thread's name.
    """

    def __init__(self, work: Callable[[], float], name: str) -> None:
        self._work = WeakMethod(work)
        self._name = name
        self._wake = threading.Event()
        self._has_rested = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            RuntimeError: The system starts no further thread; a later call may succeed.
        """
        if self._thread is None:
            thread = threading.Thread(
                target=_run, args=(self._work, self._wake), name=self._name, daemon=True
            )
            thread.start()
            self._thread = thread

    def wake(self) -> None:
        """End a rest at once."""
        self._wake.set()

    def expect_rest(self) -> None:
        """Let `wait_for_rest` wait for the next rest."""
        self._has_rested.clear()

    def rest(self) -> None:
        """Note that all work is done. Called by `work`."""
        self._has_rested.set()
        self._wake.clear()

    def end(self) -> None:
        """Forget the thread, which ends; `start` starts another."""
        self._thread = None

    def wait_for_rest(self, timeout_s: float) -> None:
        """Wait until all work is done since `expect_rest`, for ``timeout_s`` at most."""
        self._has_rested.wait(timeout_s)

    def end_soon(self) -> Callable[[], None]:
        """End a rest for the last time.

        Returns:
            What waits for the thread's end, half a second at most, without the owner's lock.
        """
        self._wake.set()
        thread = self._thread

        def wait() -> None:
            if thread is not None and thread is not threading.current_thread():
                thread.join(_JOIN_S)

        return wait

    def __repr__(self) -> str:
        return f"<BackgroundThread {self._name} {'running' if self.is_running else 'ended'}>"


def _run(work: WeakMethod[Callable[[], float]], wake: threading.Event) -> None:
    while (rest_s := _work_once(work)) > 0:
        wake.wait(rest_s)


def _work_once(work: WeakMethod[Callable[[], float]]) -> float:
    """Work, unless the owner is gone; hold no reference to it afterwards."""
    alive = work()
    return 0.0 if alive is None else alive()
