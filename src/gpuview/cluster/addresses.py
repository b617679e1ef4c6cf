"""Where a worker on another machine may reach this one."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterable

from gpuview.settings import Settings

__all__ = ["endpoints_of", "own_addresses"]

_SIOCGIFADDR = 0x8915
_MOST = 16


def endpoints_of(settings: Settings, port: int) -> list[str]:
    """Return where workers dial, as ``tcp://HOST:PORT``.

    Loopback comes last: it is for workers on this machine, and for those that have an ``ssh -L``
    beside them. Whatever else listens there is of no harm, as it lacks the notebook's key.
    """
    hosts = settings.cluster_hosts or own_addresses()
    return [f"tcp://{_bracketed(host)}:{port}" for host in _unique([*hosts[:_MOST], "127.0.0.1"])]


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses, one for each interface."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):  # it has none
                reply = fcntl.ioctl(sock, _SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(reply[20:24]))
    return [each for each in found if not each.startswith("127.")]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _unique(hosts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(hosts))
