"""Ports that stay free between their choice and their use."""

from __future__ import annotations

import os
import socket
from itertools import count

__all__ = ["free_port"]

_FIRST, _N = 22_000, 5_000
_numbers = count(os.getpid() * 97)  # so that test processes side by side begin elsewhere


def free_port() -> int:
    """Return a port that is free for UDP and TCP, as is the port after it; each call gives another.

    The system itself assigns ports from 32768 on, so this one stays free until it is used. coturn
    also listens on the port after it.
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
