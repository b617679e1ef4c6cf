"""Ports that stay free between their choice and their use."""

from __future__ import annotations

import os
import socket
from itertools import count

__all__ = ["free_port"]

_FIRST, _N = 22_000, 5_040  # 5,040: it divides by any small number of workers
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RUN = os.getppid() if _WORKERS > 1 else os.getpid()
# Each worker has numbers of its own, and runs side by side begin at different ones.
_numbers = count(_RUN * 97 * _WORKERS + _WORKER, _WORKERS)


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
