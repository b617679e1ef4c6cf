"""Memory order between two processes.

Note [fences]: on x86, stores become visible in program order, and loads happen in it. On aarch64
(GH200, Jetson) another process could see a number before the pixels that it vouches for. So both
ends of a ring have a fence between number and pixels:

    writer   number = 0; fence; pixels and header; fence; number = n
    reader   number; fence; header and pixels; fence; number again

Python has no memory fence, but its locks have what is needed. Releasing a lock is a store-release
and acquiring it a load-acquire, both on glibc's semaphores and on CPython's own mutexes (3.13 on).
The Arm memory model orders every access before a store-release before it, a store-release before a
later load-acquire, and a load-acquire before every access after it. So a release followed by an
acquire, by one thread on a lock that it holds, is a full fence, also for memory that processes
share. The opposite order is no fence: accesses may move into a critical section.

A number is one aligned 8-byte store or load, as `memoryview` copies 8 bytes at once. What a device
writes is ordered by its stream, so it arrives in order, and the reader's fences hold for it too. A
reader that was woken sees the number: the system guards an eventfd by a lock, which orders both
sides.
"""

from __future__ import annotations

import threading

__all__ = ["Fence"]


class Fence:
    """Orders all memory accesses before a call before all after it. One thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def __call__(self) -> None:
        self._lock.release()
        self._lock.acquire()
