"""Finds the processes that hold a UDP port, from ``/proc``, as ``ss -lunp`` does.

It sees only this network namespace, and it names only this user's processes.
"""

from __future__ import annotations

import contextlib
import glob
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Holder", "describe_holders", "holders"]

_TABLES = {socket.AF_INET: "/proc/net/udp", socket.AF_INET6: "/proc/net/udp6"}
_MEDIA_MODULE = "gpuview.media"
_MAX_NAMED = 6
_MAX_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Holder:
    """One UDP socket that holds a port, and its process."""

    port: int
    family: socket.AddressFamily
    pid: int | None
    """None for a process of another user."""
    command: str
    """Its program without the arguments, which may be secret; empty without ``pid``."""
    kernel_pid: int | None = None
    """For a media process of gpuview: the kernel that it serves."""


def holders(port_min: int, port_max: int) -> list[Holder]:
    """List the sockets that hold a UDP port from ``port_min`` to ``port_max``, by port.

    If a port is held, this reads the descriptors of all processes: some 10 ms for 300 processes.
    """
    found = [each for family in _TABLES for each in _bound(family, port_min, port_max)]
    owners = _owners({inode for _, _, inode in found})
    return [
        _holder(port, family, owners.get(inode))
        for port, family, inode in sorted(found, key=lambda each: each[:2])
    ]


def describe_holders(held: Sequence[Holder]) -> str:
    """Return one line of up to some 600 characters; empty if no port is held."""
    entries = list(dict.fromkeys(_entry(holder) for holder in held))  # IPv4 and IPv6 once
    named = ", ".join(entries[:_MAX_NAMED])
    more = len(entries) - _MAX_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _entry(holder: Holder) -> str:
    if holder.pid is None:
        return f"{holder.port}: a process of another user"
    role = "" if holder.kernel_pid is None else f", {_MEDIA_MODULE} of kernel {holder.kernel_pid}"
    return f"{holder.port}: {holder.command} (pid {holder.pid}{role})"


def _bound(
    family: socket.AddressFamily, port_min: int, port_max: int
) -> Iterator[tuple[int, socket.AddressFamily, int]]:
    """Yield port, family and inode of the sockets in the system's table."""
    for line in _read(_TABLES[family]).splitlines()[1:]:
        words = line.split()
        port = int(words[1].rpartition(":")[2], 16)
        if port_min <= port <= port_max:
            yield port, family, int(words[9])


def _owners(inodes: Collection[int]) -> dict[int, int]:
    """Return the process of each socket; if a child inherited the socket, the parent."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, int] = {}
    # Without the processes of other users, whose folders cannot be listed.
    for link in glob.iglob("/proc/[0-9]*/fd/*") if wanted else ():
        with contextlib.suppress(OSError):  # closed meanwhile
            inode = wanted.get(os.readlink(link))
            if inode is not None:
                pid = int(link.split("/")[2])
                owners[inode] = min(pid, owners.get(inode, pid))
    return owners


def _holder(port: int, family: socket.AddressFamily, pid: int | None) -> Holder:
    words = [] if pid is None else _read(f"/proc/{pid}/cmdline").split("\0")
    command = os.path.basename(words[0])[:_MAX_NAME_CHARS] if words else ""
    return Holder(port, family, pid, command, _kernel_pid(words))


def _kernel_pid(words: Sequence[str]) -> int | None:
    """Read ``... gpuview.media FD KERNEL_PID``, as `gpuview.engine.process` starts it."""
    if _MEDIA_MODULE not in words:
        return None
    arguments = words[words.index(_MEDIA_MODULE) + 1 :]
    return int(arguments[1]) if len(arguments) > 1 and arguments[1].isdigit() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""  # the process has ended, or this system has no IPv6
