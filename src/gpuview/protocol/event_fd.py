"""An eventfd that one thread sleeps on and any thread wakes."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Self

__all__ = ["EventFd"]


class EventFd:
    """Owns the descriptor of an eventfd that does not block.

    Any thread may wake it. `clear` belongs to the thread that sleeps on it, and `close` comes when
    that has ended.

    Once it is closed, its number may be another file's, such as a page's socket: to wake it then
    does nothing, rather than write into that file.

    Args:
        fd: The descriptor; owned from now on.
    """

    def __init__(self, fd: int) -> None:
        self._lock = threading.Lock()  # guards the descriptor
        self._fd = fd

    @classmethod
    def create(cls) -> Self:
        """Make one.

        Raises:
            AttributeError: This Python has no eventfd.
            OSError: No descriptor is left, or the system forbids it.
        """
        return cls(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def fileno(self) -> int:
        """Return the descriptor, to pass it on or to wait for it; -1 once it is closed."""
        return self._fd

    def wake(self) -> None:
        """Make the descriptor readable, unless it is closed."""
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Take all wake-ups, if there are any."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Close the descriptor. Safe to call twice."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def abandon(self) -> None:
        """Close it in a forked child, where a thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self.close()

    def __repr__(self) -> str:
        return f"<EventFd {self._fd if self.is_open else 'closed'}>"
