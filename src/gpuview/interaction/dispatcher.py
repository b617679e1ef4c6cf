"""Where a user's handlers run: between frames on the source's thread, or on one of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gpuview.interaction.events import Waiting, Work

__all__ = ["SLOW_S", "Dispatcher", "Host"]

SLOW_S = 0.5
"""A handler that runs for longer is called slow, and the picture goes on without it."""

_IDLE_S = 5.0  # so long a thread waits for work before it ends


class Host(Protocol):
    """A thread that makes frames."""

    def wake(self) -> bool:
        """Have it call `Dispatcher.run_waiting` soon; return False if there is no such thread."""

    def go_on(self) -> None:
        """Make frames on another thread: this one is in a handler that does not return."""


class _Running(NamedTuple):
    began_s: float
    name: str


class Dispatcher:
    """Runs handlers one at a time, in the order of what they are for. Any thread.

    Args:
        on_slow: Called with a sentence when a handler has run for long, and with "" at its end. On
            a thread of its own.
    """

    def __init__(self, on_slow: Callable[[str], None]) -> None:
        self.waiting = Waiting()
        self.host: Host | None = None
        self._on_slow = on_slow
        self._is_closed = False
        self._running: _Running | None = None
        self._is_slow = False
        self._busy = threading.Lock()  # held while handlers run
        self._changed = threading.Condition()  # guards the threads
        self._thread: threading.Thread | None = None
        self._watchdog: threading.Thread | None = None

    def put(self, work: Work) -> None:
        """Let work be done soon. Never waits."""
        if self._is_closed:
            return
        self.waiting.put(work)
        if self.host is not None and self.host.wake():
            return
        with self._changed:
            self._changed.notify_all()  # who looks for slow handlers waits here, too
            if self._thread is None:
                self._thread = self._start(self._run, "gpuview-handlers")

    def run_waiting(self) -> None:
        """Do what waits, in this thread, unless another one is at it."""
        if len(self.waiting) and self._busy.acquire(blocking=False):
            self._run_all()

    def call(self, name: str, handler: Callable[[], None]) -> None:
        """Call a handler from within work; ``name`` is what a person is told of it."""
        self._running = _Running(time.monotonic(), name)
        if self._watchdog is None:
            with self._changed:
                self._watchdog = self._start(self._watch, "gpuview-slow-handlers")
        try:
            handler()
        finally:
            self._running = None
            if self._is_slow:
                self._is_slow = False
                self._on_slow("")

    def close(self) -> None:
        """Call no more handlers. Does not wait for the one that runs."""
        self._is_closed = True
        self.waiting.clear()
        with self._changed:
            self._changed.notify_all()

    def abandon(self) -> None:
        """End in a forked child, whose other threads are gone."""
        self._is_closed = True
        self._changed, self._busy = threading.Condition(), threading.Lock()
        self.waiting.renew_lock()

    def _run_all(self) -> None:
        """Do what waits; the lock `_busy` is held, and released."""
        try:
            while not self._is_closed and (work := self.waiting.take()) is not None:
                work.run(work.what)
        finally:
            self._busy.release()

    def _run(self) -> None:
        while self._has_work():
            self._busy.acquire()  # while a slow handler runs elsewhere, the others wait
            self._run_all()

    def _has_work(self) -> bool:
        """Wait for work; return False, and end this thread, if there is none for a while."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.waiting) or self._is_closed, _IDLE_S)
            if len(self.waiting) and not self._is_closed:
                return True
            self._thread = None
            return False

    def _watch(self) -> None:
        """Look now and then whether a handler does not return, while any are called."""
        idle_since_s = time.monotonic()
        while not self._is_closed:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, SLOW_S / 2)
                now_s, running = time.monotonic(), self._running
                if running is None and now_s - idle_since_s > _IDLE_S:
                    self._watchdog = None
                    return
            if running is None:
                continue
            idle_since_s = now_s
            if now_s - running.began_s > SLOW_S and not self._is_slow:
                self._say_slow(running)

    def _say_slow(self, running: _Running) -> None:
        self._is_slow = True
        self._on_slow(
            f"{running.name} has been running for more than {SLOW_S:g} s; "
            "other handlers wait for it, and the picture goes on"
        )
        if self._running is not running:  # it has just returned
            self._on_slow("")
        elif self.host is not None:
            self.host.go_on()

    def _start(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def __repr__(self) -> str:
        running = self._running
        state = f"in {running.name}" if running is not None else "idle"
        return f"<Dispatcher {state} waiting={len(self.waiting)}>"
