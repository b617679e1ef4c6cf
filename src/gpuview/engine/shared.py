"""The kernel's one engine."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading

from gpuview.engine.engine import Engine
from gpuview.engine.process import MediaProcess
from gpuview.errors import MediaError
from gpuview.wire.messages import Configure

__all__ = ["close_shared_engine", "prestart", "shared_engine"]

_engine: Engine | None = None
_spare: MediaProcess | None = None
_engine_lock = threading.Lock()


def prestart() -> None:
    """Start a media process for the first stream to find, which it then needs not wait for.

    Its imports take as long as the user's own, beside which they run. Where it cannot be started,
    the first stream will say so.
    """
    global _spare
    with _engine_lock, contextlib.suppress(MediaError):
        if _engine is None and _spare is None:
            _spare = MediaProcess()


def shared_engine(configuration: Configure) -> Engine:
    """Return this process's engine, started if need be.

    Raises:
        MediaError: It runs with another configuration for streams that are still open.
    """
    global _engine, _spare
    with _engine_lock:
        if _engine is not None and not _engine.is_closed:
            if _engine.configuration == configuration:
                return _engine
            if _engine.has_streams:
                raise MediaError(
                    f"this kernel's media process runs with {_engine.configuration}, "
                    f"not with {configuration}",
                    expected="the same public_ip and ports for all streams of a kernel",
                    fix="close the other streams first, or use their settings",
                )
        if _engine is not None:
            _engine.close()
        _engine, _spare = Engine(configuration, _spare), None
        return _engine


def close_shared_engine() -> None:
    """End this process's media process; the next stream starts another."""
    global _engine, _spare
    with _engine_lock:
        if _engine is not None:
            _engine.close()
        if _spare is not None:
            _spare.hang_up()
            _spare.reap()
        _engine = _spare = None


def _abandon_in_child() -> None:
    global _engine, _spare, _engine_lock
    _engine_lock = threading.Lock()
    if _engine is not None:
        _engine.abandon()
    if _spare is not None:
        _spare.abandon()
    _engine = _spare = None


atexit.register(close_shared_engine)
os.register_at_fork(after_in_child=_abandon_in_child)
