"""The kernel's one engine."""

from __future__ import annotations

import atexit
import os
import threading

from gpuview.engine.engine import Engine
from gpuview.engine.spare import drop_spare, take_spare
from gpuview.errors import SettingsError
from gpuview.ipykernel_compat import kernel_place
from gpuview.protocol.local_socket import socket_files
from gpuview.protocol.media_messages import Configure
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import has_same_kernel_servers
from gpuview.signalling.public_ips import public_ips_of

__all__ = ["close_shared_engine", "shared_engine"]

# Fields of `Configure`, and the settings that users know them by.
_SETTING_OF = {
    "public_ips": "public_ip",
    "learns_public_ip": "public_ip",
    "ice_transport_policy": "kernel_ice_transport_policy",
    "has_ice_servers": "kernel_ice_servers",
    "has_webrtc": "carriers",
    "socket_path": "carriers",
}

_engine: Engine | None = None
_engine_lock = threading.Lock()


def shared_engine(settings: Settings) -> Engine:
    """Return this process's engine, started if necessary; resolves host names first.

    Raises:
        MediaError: The media process cannot be started.
        SettingsError: Open streams use it with other settings, or a host name in ``public_ip``
            does not resolve.
    """
    global _engine
    configuration = _configuration(settings)
    with _engine_lock:
        if _engine is not None and not _engine.is_closed:
            difference = _difference(_engine, configuration, settings)
            if not difference:
                _engine.settings = settings  # a cell that ran again has a new function object
                return _engine
            if _engine.has_streams:
                raise SettingsError(
                    f"this kernel's media process runs with {difference}",
                    expected="the same addresses, ports and servers for all streams of a kernel",
                    fix="close the other streams first, or use their settings",
                )
        if _engine is not None:
            _engine.close()
        _engine = Engine(configuration, settings, take_spare())
        return _engine


def _configuration(settings: Settings) -> Configure:
    place = kernel_place() if "socket" in settings.carriers else None
    files = socket_files(place.runtime_dir, place.kernel_id) if place else None
    return Configure(
        public_ips=list(public_ips_of(settings)),
        learns_public_ip=settings.learns_public_ip,
        port_min=settings.port_min,
        port_max=settings.port_max,
        public_port_min=settings.public_port_min,
        keep_private=settings.keep_private,
        ice_transport_policy=settings.kernel_ice_transport_policy,
        has_ice_servers=settings.has_kernel_ice_servers,
        encoder=settings.encoder,
        max_bitrate_bps=settings.max_bitrate_bps,
        replay_s=settings.replay_s,
        has_webrtc="webrtc" in settings.carriers,
        socket_path=str(files.socket) if files else "",
    )


def _difference(engine: Engine, wanted: Configure, settings: Settings) -> str:
    """Describe the first setting that differs; empty if all are equal."""
    running = engine.configuration
    for field in Configure.__struct_fields__:
        current, new = getattr(running, field), getattr(wanted, field)
        if current != new:
            name = _SETTING_OF.get(field, field)
            if name == "carriers":
                return "other carriers"
            return f"{name} = {current}, not with {name} = {new}"
    if not has_same_kernel_servers(engine.settings, settings):
        return "other STUN and TURN servers, or another login for them"
    return ""


def close_shared_engine() -> None:
    """End the media process; the next stream starts another."""
    global _engine
    with _engine_lock:
        if _engine is not None:
            _engine.close()
        _engine = None
    drop_spare()


def _abandon_in_child() -> None:
    global _engine, _engine_lock
    _engine_lock = threading.Lock()
    if _engine is not None:
        _engine.abandon()
    _engine = None


atexit.register(close_shared_engine)
os.register_at_fork(after_in_child=_abandon_in_child)
