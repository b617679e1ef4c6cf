"""Can a port of the range be bound, and who has the others?"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

from gpuview.doctor.report import Check
from gpuview.errors import NetworkError
from gpuview.media.ice.port_holders import Holder, describe_holders, holders
from gpuview.media.ice.sockets import bind_sockets
from gpuview.settings import Settings

__all__ = ["ancestors", "bind_range", "judge_range"]

_NAME = "UDP ports"


def bind_range(settings: Settings) -> tuple[Check, list[socket.socket]]:
    """Bind the first free port of the range, for the questions that follow.

    Returns:
        What was found, and the sockets of `bind_sockets`, the caller's to close; none where all
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
    """Say what the state of the range means. Pure.

    Args:
        settings: With the range.
        bound: The port that could be bound; None where none could.
        held: Who holds ports of the range.
        own_pids: This process and those above it; one may be a kernel.
        error: Why no port could be bound.
    """
    if settings.port_min is None:
        wide = "any free port; a range is what can be forwarded: GPUVIEW_PORT_MIN, GPUVIEW_PORT_MAX"
        return Check(_NAME, "ok", wide) if error is None else Check.failed(_NAME, error)
    text = _range(settings)
    taken = f"; held are {describe_holders(held)}" if held else ""
    if bound is not None:
        return Check(_NAME, "ok", f"{bound} of {text} can be bound{taken}")
    if any(holder.kernel_pid in own_pids for holder in held if holder.kernel_pid):
        return Check(_NAME, "ok", f"{text} is held by this kernel's own media process{taken}")
    fix = "shut a kernel down that is not needed, or widen the range: GPUVIEW_PORT_MAX"
    return Check(_NAME, "fail", f"none of {text} can be bound{taken}", fix)


def _range(settings: Settings) -> str:
    if settings.port_min == settings.port_max:
        return f"{settings.port_min}"
    return f"{settings.port_min} to {settings.port_max}"


def ancestors(pid: int) -> list[int]:
    """Return the process and those that it descends from."""
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
