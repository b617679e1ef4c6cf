"""A media process that is started before the first stream needs it. Imports next to nothing."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading

from gpuview.engine.process import MediaProcess
from gpuview.errors import MediaError

__all__ = ["drop_spare", "prestart", "take_spare"]

_spare: MediaProcess | None = None
_is_used = False
_lock = threading.Lock()


def prestart() -> None:
    """Start a media process early, so that the first stream does not wait for it.

    Its imports run in parallel with the user's, and take as long. If it cannot be started, the
    first stream raises the error. Does nothing once a stream has been made.
    """
    global _spare
    with _lock, contextlib.suppress(MediaError):
        if _spare is None and not _is_used:
            _spare = MediaProcess()


def take_spare() -> MediaProcess | None:
    """Hand over the process that was started early, if there is one."""
    global _spare, _is_used
    with _lock:
        spare, _spare, _is_used = _spare, None, True
    return spare


def drop_spare() -> None:
    """End the process that was started in vain, and let `prestart` start another."""
    global _spare, _is_used
    with _lock:
        spare, _spare, _is_used = _spare, None, False
    if spare is not None:
        spare.reap()


def _abandon_in_child() -> None:
    global _spare, _is_used, _lock
    _lock = threading.Lock()
    if _spare is not None:
        _spare.abandon()
    _spare, _is_used = None, False


atexit.register(drop_spare)
os.register_at_fork(after_in_child=_abandon_in_child)
