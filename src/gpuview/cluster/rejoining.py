"""Keeps a worker's stream in its run, however late the notebook is and however often it restarts.

A kernel that was restarted has other keys and perhaps another port, and writes another join file.
So a worker that was refused, or hears nothing, looks for what has changed, less and less often. It
does so on a thread of its own, as a shared file system may be slow or hang.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from gpuview.errors import GpuviewError, SignalError
from gpuview.protocol.cluster_messages import JoinChanged
from gpuview.protocol.join_file import JoinFile

__all__ = ["Joining", "look_again_after_s"]

logger = logging.getLogger("gpuview")

_FIRST_S, _LONGEST_S = 1.0, 30.0
_MOST_WARNINGS = 32


def look_again_after_s(n_looks: int) -> float:
    """Return how long to wait after so many looks in vain. Pure."""
    return min(_FIRST_S * 2.0 ** min(n_looks, 10), _LONGEST_S)


class Joining:
    """Looks where the notebook is until it is closed. From any thread.

    Args:
        find: Returns how to join; waits. Raises a `GpuviewError` that says why not.
        join: Takes what was found, whenever it is something else than before.
    """

    def __init__(self, find: Callable[[], JoinFile], join: Callable[[JoinFile], None]) -> None:
        self._find = find
        self._join = join
        self._found: JoinFile | None = None
        self._warned: set[str] = set()
        self._changed = threading.Condition()  # guards the rest
        self._is_connected = False
        self._is_closed = False
        self._owner = os.getpid()
        thread = threading.Thread(target=self._run, name="gpuview-joining", daemon=True)
        thread.start()

    @property
    def is_connected(self) -> bool:
        """Whether the notebook has let this worker in."""
        return self._is_connected

    def take(self, message: JoinChanged) -> None:
        """Take what the media process says."""
        if message.problem is not None:
            problem = message.problem
            self._warn(SignalError(problem.problem, expected=problem.expected, fix=problem.fix))
        with self._changed:
            self._is_connected = message.is_connected
            self._changed.notify_all()

    def close(self) -> None:
        """Look no more. Does not wait for a file system that hangs."""
        self._is_closed = True
        if os.getpid() == self._owner:  # in a forked child, a thread that is gone may have the lock
            with self._changed:
                self._changed.notify_all()

    def _run(self) -> None:
        n_looks = 0
        while not self._is_closed:
            if self._look():
                n_looks = 0
            with self._changed:
                if self._changed.wait_for(self._may_rest, look_again_after_s(n_looks)):
                    n_looks = -1
                    self._changed.wait_for(self._must_look)
            n_looks += 1

    def _may_rest(self) -> bool:
        return self._is_connected or self._is_closed

    def _must_look(self) -> bool:
        return self._is_closed or not self._is_connected

    def _look(self) -> bool:
        """Join what is found; return whether it is something new."""
        try:
            found = self._find()
        except GpuviewError as exc:
            # After a join, the notebook may have been closed, which is nobody's fault.
            if self._found is None:
                self._warn(exc)
            return False
        except Exception:
            logger.exception("gpuview failed inside, please report it")
            return False
        if found == self._found or self._is_closed:
            return False
        self._found = found
        self._join(found)
        return True

    def _warn(self, error: GpuviewError) -> None:
        """Log an error, once."""
        text = str(error)
        if text not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(text)
            logger.warning("nobody can watch this stream yet: %s", text)

    def __repr__(self) -> str:
        return f"<Joining {'connected' if self._is_connected else 'looking'}>"
