"""The kernel's one engine."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading

from gpuview.engine.engine import Engine
from gpuview.engine.process import MediaProcess
from gpuview.errors import MediaError
from gpuview.protocol.messages import Configure
from gpuview.settings import Settings

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


def shared_engine(settings: Settings) -> Engine:
    """Return this process's engine, started if need be; looks host names up first.

    Raises:
        MediaError: It runs with other settings for streams that are still open.
        SettingsError: A host name in ``public_ip`` does not resolve.
    """
    global _engine, _spare
    configuration = _configuration(settings)
    with _engine_lock:
        if _engine is not None and not _engine.is_closed:
            difference = _difference(_engine, configuration, settings)
            if not difference:
                _engine.settings = settings  # its function for ICE servers is the newest one
                return _engine
            if _engine.has_streams:
                raise MediaError(
                    f"this kernel's media process runs with {difference}",
                    expected="the same addresses, ports and servers for all streams of a kernel",
                    fix="close the other streams first, or use their settings",
                )
        if _engine is not None:
            _engine.close()
        _engine, _spare = Engine(configuration, settings, _spare), None
        return _engine


def _configuration(settings: Settings) -> Configure:
    return Configure(
        public_ips=list(settings.resolve_public_ips()),
        learns_public_ip=settings.learns_public_ip,
        port_min=settings.port_min,
        port_max=settings.port_max,
        public_port_min=settings.public_port_min,
        keep_private=settings.keep_private,
        ice_transport_policy=settings.kernel_ice_transport_policy,
        has_ice_servers=settings.has_kernel_ice_servers,
    )


def _difference(engine: Engine, configuration: Configure, settings: Settings) -> str:
    """Say in what the engine differs from what is wanted; empty where it does not."""
    if engine.configuration != configuration:
        return f"{engine.configuration}, not with {configuration}"
    if not engine.settings.shares_kernel_ice_servers(settings):
        return "other STUN and TURN servers, or another login for them"
    return ""


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
