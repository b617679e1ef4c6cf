"""A listening TCP socket that can be shut for a while, without a loss for those who are in.

ZeroMQ limits neither how many connect nor how often, and to unbind a socket would end all of its
connections. So the kernel is told to drop what comes to the listening socket itself. Whoever dials
then tries again by itself, after a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import socket
import struct

__all__ = ["Port"]

logger = logging.getLogger("gpuview.media")

_BACKLOG = 64
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # see socket(7)
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # one instruction of BPF: return 0


class Port:
    """Listens on all addresses, from its construction to `close`.

    Args:
        number: None takes any free one.

    Raises:
        OSError: It cannot be had.
    """

    def __init__(self, number: int | None) -> None:
        self.is_shut = False
        self._sock = _listening(number or 0)
        self.number = int(self._sock.getsockname()[1])

    def descriptor(self) -> int:
        """Return a descriptor of its own for whoever accepts connections."""
        return os.dup(self._sock.fileno())

    def shut(self) -> None:
        """Let nobody in."""
        self.is_shut = True
        program = ctypes.create_string_buffer(_DROP_ALL)
        filters = struct.pack("HP", 1, ctypes.addressof(program))
        self._set(_SO_ATTACH_FILTER, filters)

    def open(self) -> None:
        """Let everybody in again."""
        self.is_shut = False
        self._set(_SO_DETACH_FILTER, struct.pack("i", 0))

    def close(self) -> None:
        self._sock.close()

    def _set(self, option: int, value: bytes) -> None:
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, option, value)
        except OSError as exc:  # a system that has no such filters
            logger.debug("the workers' port cannot be shut or opened: %s", exc)

    def __repr__(self) -> str:
        return f"<Port {self.number} {'shut' if self.is_shut else 'open'}>"


def _listening(number: int) -> socket.socket:
    """Return a socket for IPv6 and IPv4, or for IPv4 where there is no other."""
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as exc:
        if exc.errno != errno.EAFNOSUPPORT:
            raise
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with contextlib.ExitStack() as opened:
        opened.enter_context(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("", number))
        sock.listen(_BACKLOG)
        opened.pop_all()
    return sock
