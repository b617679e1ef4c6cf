"""The key pairs of this kernel and of its runs. The only file here with ZeroMQ's names.

They live as long as the kernel, so that a stream that is made anew, by a cell that runs again,
is joined by the workers of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import zmq

__all__ = ["KeyPair", "notebook_keys", "run_keys"]


@dataclass(frozen=True)
class KeyPair:
    """A key pair of CurveZMQ, in Z85."""

    public: str
    secret: str = field(repr=False)


@cache
def notebook_keys() -> KeyPair:
    """Return this kernel's own, by which workers know it."""
    return _new()


@cache
def run_keys(run: str) -> KeyPair:
    """Return those of a run's workers, by which this kernel knows them."""
    return _new()


def _new() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())
