"""The checks "UDP ports" and "UDP buffers": can a port be bound, are buffers large enough?"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gpuview.doctor.report import Check
from gpuview.errors import NetworkError
from gpuview.media.ice.port_holders import Holder, describe_holders, holders
from gpuview.media.ice.sockets import bind_sockets
from gpuview.settings import Settings

__all__ = ["ancestors", "bind_range", "check_buffers", "judge_buffers", "judge_range"]

_PORTS, _BUFFERS = "UDP ports", "UDP buffers"
_WANTED_BUFFER_NBYTES = 4 * 1024 * 1024  # as `gpuview.media.ice.sockets` requests
_LIMITS = {"net.core.rmem_max": socket.SO_RCVBUF, "net.core.wmem_max": socket.SO_SNDBUF}


# --- ports --------------------------------------------------------------------------------------


def bind_range(settings: Settings) -> tuple[Check, list[socket.socket]]:
    """Bind the first free port of the range, for the checks that follow.

    Returns:
        The check, and the sockets from `bind_sockets`, which the caller closes; no sockets if all
        ports are held.
    """
    port_min, port_max = settings.port_min, settings.port_max
    held = holders(port_min, port_max) if port_min and port_max else []
    try:
        socks = bind_sockets(port_min, port_max)
    except NetworkError as exc:
        return judge_range(settings, None, held, ancestors(os.getpid()), exc), []
    return judge_range(settings, socks[0].getsockname()[1], held, ()), socks


def judge_range(
    settings: Settings,
    bound: int | None,
    held: Sequence[Holder],
    own_pids: Collection[int],
    error: NetworkError | None = None,
) -> Check:
    """Judge the state of the port range. Pure.

    Args:
        settings: The settings, with the range.
        bound: The port that was bound; None if all are held.
        held: The sockets that hold ports of the range.
        own_pids: This process and its ancestors, which may include a kernel.
        error: Why no port could be bound.
    """
    if settings.port_min is None:
        wide = "any free port; set GPUVIEW_PORT_MIN and GPUVIEW_PORT_MAX for ports to forward"
        return Check(_PORTS, "ok", wide) if error is None else Check.failed(_PORTS, error)
    first, last = settings.port_min, settings.port_max
    text = f"{first}" if first == last else f"{first} to {last}"
    taken = f"; held are {describe_holders(held)}" if held else ""
    if bound is not None:
        return Check(_PORTS, "ok", f"{bound} of {text} can be bound{taken}")
    if any(holder.kernel_pid in own_pids for holder in held if holder.kernel_pid):
        return Check(_PORTS, "ok", f"{text} is held by this kernel's own media process{taken}")
    fix = "shut down a kernel that is not needed, or widen the range: GPUVIEW_PORT_MAX"
    return Check(_PORTS, "fail", f"none of {text} can be bound{taken}", fix)


def ancestors(pid: int) -> list[int]:
    """Return the process and its ancestors."""
    found: list[int] = []
    while pid > 1:
        found.append(pid)
        pid = _parent(pid)
    return found


def _parent(pid: int) -> int:
    try:
        # pid (command) state ppid: the command may hold spaces and brackets.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


# --- buffers ------------------------------------------------------------------------------------


def check_buffers() -> Check:
    """Check the size of UDP buffers: a keyframe for ten viewers leaves in one burst."""
    return judge_buffers({name: _granted(option) for name, option in _LIMITS.items()})


def judge_buffers(granted_nbytes: Mapping[str, int]) -> Check:
    """Judge the granted buffer sizes, by the names of their limits. Pure."""
    small = {name: size for name, size in granted_nbytes.items() if size < _WANTED_BUFFER_NBYTES}
    if not small:
        return Check(_BUFFERS, "ok", "as large as gpuview requests")
    found = ", ".join(f"{name} is {size}" for name, size in small.items())
    fix = "sysctl -w " + " ".join(f"{name}={_WANTED_BUFFER_NBYTES}" for name in small)
    return Check(_BUFFERS, "remark", f"{found}: bursts for many viewers may be lost", fix)


def _granted(option: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, option, _WANTED_BUFFER_NBYTES)
        return (
            sock.getsockopt(socket.SOL_SOCKET, option) // 2
        )  # Linux doubles the value for its own use
