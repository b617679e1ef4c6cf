"""Ports that stay free between their choice and their use."""

from __future__ import annotations

import os
import socket
from itertools import count

__all__ = ["free_port"]

_FIRST, _N = 22_000, 5_000
_numbers = count(os.getpid() * 97)  # test runs side by side begin at different ones


def free_port() -> int:
    """Return a port that nobody has over UDP or TCP, nor the one after it; each call gives another.

    The system hands out ports from 32768 on to whoever names none, so that nobody gets it by
    chance before it is used. The one after it is left to coturn, which listens there as well.
    """
    while True:
        port = _FIRST + 2 * (next(_numbers) % _N)
        if _is_free(port) and _is_free(port + 1):
            return port


def _is_free(port: int) -> bool:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
    ):
        try:
            for sock in (udp, tcp):
                sock.bind(("", port))
        except OSError:
            return False
    return True
