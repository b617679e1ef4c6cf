"""The messages about workers on other machines, between a kernel and its media process.

A run has a name, and any number of workers: the ranks of a training job, or scripts. A notebook's
media process listens for the workers of all its runs at one TCP port, and a worker's media process
dials out to it. Keys are those of CurveZMQ, as 40 characters of Z85. Whoever has a run's worker key
may join that run, and no other.
"""

from __future__ import annotations

from msgspec import Struct

from gpuview.protocol.page_messages import Message, Problem

__all__ = [
    "JoinChanged",
    "JoinRun",
    "ListenForWorkers",
    "Listening",
    "OpenRun",
    "Worker",
    "WorkersChanged",
]


# --- kernel -> media process, in the notebook ---------------------------------------------------


class ListenForWorkers(Message, frozen=True, kw_only=True):
    """Listen at a TCP port from now on; not about a stream. Answered by `Listening`."""

    public_key: str
    """The notebook's own key pair."""
    secret_key: str
    port: int | None = None
    """None takes any free one."""


class OpenRun(Message, frozen=True, kw_only=True):
    """The stream's packets come from a worker of this run. Follows `OpenStream`."""

    run: str
    """Unique among the kernel's open streams."""
    worker_key: str
    """The public key of this run's workers."""
    rank: int
    """Whose packets are shown."""


# --- kernel -> media process, in a worker -------------------------------------------------------


class JoinRun(Message, frozen=True, kw_only=True):
    """A notebook on another machine may ask for the stream's packets. Follows `OpenStream`."""

    endpoints: list[str]
    """Where the notebook listens, as ``tcp://HOST:PORT``: all lead to one port, and are tried."""
    notebook_key: str
    """The notebook's public key."""
    public_key: str
    """The key pair of this run's workers."""
    secret_key: str
    run: str
    rank: int
    world_size: int
    host: str
    """What people call this machine."""


# --- media process -> kernel, in the notebook ---------------------------------------------------


class Listening(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Where workers reach this process, or why they cannot; not about a stream."""

    port: int = 0
    problem: Problem | None = None


class Worker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One worker that has joined a run; part of `WorkersChanged`."""

    rank: int
    world_size: int
    host: str
    pid: int
    silent_s: float | None = None
    """So long ago it said something last, if it should have; None while it is connected."""


class WorkersChanged(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The workers of a stream's run. Sent when one comes, falls silent or returns."""

    workers: list[Worker] = []
    problem: Problem | None = None
    """Why the last worker that tried was refused; None after one was let in."""


# --- media process -> kernel, in a worker -------------------------------------------------------


class JoinChanged(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the notebook is connected."""

    is_connected: bool
    problem: Problem | None = None
    """Why the notebook refused, if it did."""
