"""Processes by their id, from ``/proc``: their descendants, their ends, their waits for a core."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["CoreWaits", "command_line", "descendants", "wait_until_gone"]


def descendants(pid: int) -> tuple[int, ...]:
    """Return the ids of the children of ``pid``, of their children, and so on."""
    children = [int(child) for task in _tasks(pid) for child in _read(task / "children").split()]
    return tuple(each for child in children for each in (child, *descendants(child)))


def command_line(pid: int) -> str:
    """Return the command line of a process; empty when it has ended."""
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()


class CoreWaits:
    """How long the threads of some processes could have run, and had no core.

    Args:
        pids: The processes.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._waits_ns = self._read()

    def take_s(self) -> float:
        """Return the seconds since the last call, of all threads together."""
        before, self._waits_ns = self._waits_ns, self._read()
        # What ended meanwhile is left out.
        waits_ns = (now - before.get(task, 0) for task, now in self._waits_ns.items())
        return sum(waits_ns) / 1e9

    def _read(self) -> dict[Path, int]:
        files = (task / "schedstat" for pid in self._pids for task in _tasks(pid))
        found = ((file, _read(file).split()) for file in files)
        return {file: int(fields[1]) for file, fields in found if fields}


def wait_until_gone(pids: Iterable[int], *, timeout_s: float) -> None:
    """Wait until all of ``pids`` have ended; they need not be this process's children.

    Raises:
        TimeoutError: One of them still runs.
    """
    deadline = time.monotonic() + timeout_s
    for pid in pids:
        if not _is_gone_by(pid, deadline):
            raise TimeoutError(f"process {pid} still runs: {command_line(pid)}")


def _is_gone_by(pid: int, deadline: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # A pidfd becomes readable when its process ends, also while it is still a zombie.
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(fd)


def _tasks(pid: int) -> list[Path]:
    # Linux lists a child under the thread that forked it.
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
