"""The key pairs of this kernel and of its runs. The only file here with ZeroMQ's names.

They live as long as the kernel, so that a stream that is made anew, by a cell that runs again,
is joined by the workers of the one before.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import zmq

__all__ = ["KeyPair", "notebook_keys", "run_keys"]


@dataclass(frozen=True)
class KeyPair:
    """A key pair of CurveZMQ, in Z85."""

    public: str
    secret: str = field(repr=False)


def notebook_keys() -> KeyPair:
    """Return this kernel's own, by which workers know it. From any thread."""
    return _kept("")


def run_keys(run: str) -> KeyPair:
    """Return those of a run's workers, by which this kernel knows them. From any thread.

    Args:
        run: Its name, which is not empty.
    """
    return _kept(run)


_lock = threading.Lock()  # guards what follows
_pairs: dict[str, KeyPair] = {}


def _kept(name: str) -> KeyPair:
    with _lock:
        if name not in _pairs:
            public, secret = zmq.curve_keypair()
            _pairs[name] = KeyPair(public.decode(), secret.decode())
        return _pairs[name]
