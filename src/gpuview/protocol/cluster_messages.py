"""The messages about workers on other machines.

A run has a name, and any number of workers: the ranks of a training job, or scripts. A notebook's
media process listens for the workers of all its runs at one TCP port, and a worker's media process
dials out to it. Keys are those of CurveZMQ, as 40 characters of Z85. Whoever has a run's worker key
may join that run, and no other.

A kernel talks with its media process as ever. The two media processes talk over channels, see
`gpuview.protocol.worker_channels`: on channel 0 a worker says `Join`. On each other one, the
notebook is to the worker what a page is at the end of a carrier: it pings, says what its views say,
and where it wants packets it says `WatchTier` in place of a page's Watch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gpuview.protocol.interaction_messages import FromView, Interaction, KnobValue
from gpuview.protocol.page_messages import Message, Problem, Status, ViewId

__all__ = [
    "Agreed",
    "Change",
    "Join",
    "JoinChanged",
    "JoinRefused",
    "JoinRun",
    "Joined",
    "ListenForWorkers",
    "Listening",
    "OpenRun",
    "Synced",
    "WantKeyframe",
    "WantRate",
    "WantStills",
    "WatchTier",
    "Worker",
    "WorkersChanged",
]

_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Rank = Annotated[int, Meta(ge=0, lt=2**31)]
_Duration = Annotated[float, Meta(ge=0, le=1e12)]
_Period = Annotated[float, Meta(ge=1e-3, le=1e12)]


# --- kernel -> media process, in the notebook ---------------------------------------------------


class ListenForWorkers(Message, frozen=True, kw_only=True):
    """Listen at a TCP port from now on; not about a stream. Answered by `Listening`."""

    public_key: str
    """The notebook's own key pair."""
    secret_key: str
    port: int | None = None
    """None takes any free one."""

    def __repr__(self) -> str:
        return f"ListenForWorkers(public_key={self.public_key!r}, port={self.port})"


class OpenRun(Message, frozen=True, kw_only=True):
    """The stream's packets come from workers of this run. Follows `OpenStream`."""

    run: str
    worker_key: str
    """The public key of this run's workers, the same in all streams of the run."""
    rank: int | None
    """Whose packets are shown. Unique among the kernel's open streams of the run. None: a grid."""
    ranks: list[int] = []
    """Those of the grid; empty: all that join."""


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

    def __repr__(self) -> str:
        return f"JoinRun(run={self.run!r}, rank={self.rank}, endpoints={self.endpoints})"


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
    status: Status | None = None
    """What its stream is doing: whether its source has failed, for example. None: not told yet, or
    its packets are not shown. In a grid, it holds only the state, the problem and the size."""
    interaction: Interaction | None = None
    """Its knobs, and the events that it wants; None as for ``status``. In a grid, the first one
    that is there has it."""


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


# --- a worker's media process -> the notebook's --------------------------------------------------


class Join(Message, frozen=True, kw_only=True):
    """A worker says who it is, at first; answered by `Joined` or `JoinRefused`."""

    version: _Name
    """Of gpuview. Other versions may have other fields, so this one is read before the rest."""
    attempt: _Name
    """The same over every route that is tried at a time; the first one that arrives is answered."""
    run: _Name
    rank: _Rank
    world_size: _Rank
    host: _Name
    pid: _Rank


class Synced(Message, frozen=True, kw_only=True):
    """Where a job is that calls `sync` at each step. From its kernel, now and then and after each
    `Agreed`, so that the notebook can agree with all ranks on the step at which knobs change."""

    step: Annotated[int, Meta(ge=0, lt=2**53)]
    since_ms: _Duration
    """How long ago that step began."""
    period_ms: _Period | None
    """The median of the last few steps; None: there was only one."""
    epoch: Annotated[str, Meta(max_length=64)]
    """Of the newest `Agreed`; empty: none has come."""
    held: Annotated[list[int], Meta(max_length=1024)]
    """The numbers of its changes."""


# --- the notebook's media process -> a worker's --------------------------------------------------


class Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A knob that was turned; part of `Agreed`."""

    number: int
    """Changes of one number are decided on together, the higher ones later."""
    step: int
    """At which each rank turns it, if it is final by then; 0: at once, as all others have."""
    name: Annotated[str, Meta(max_length=128)]
    value: KnobValue
    is_final: bool


class Agreed(FromView, frozen=True, kw_only=True):
    """All changes that count, in place of those that were told before. For the job's kernel."""

    epoch: Annotated[str, Meta(max_length=64)]
    """The numbers begin anew with it."""
    changes: Annotated[list[Change], Meta(max_length=1024)]

    @property
    def may_be_lost(self) -> bool:
        return False


class Joined(Message, frozen=True):
    """The worker is let in."""


class JoinRefused(Message, frozen=True, kw_only=True):
    """The worker is not let in."""

    problem: Problem


class WatchTier(Message, frozen=True, kw_only=True):
    """Send packets of one codec and tier over this channel, beginning with a keyframe."""

    view: ViewId
    codec: Literal["H264", "VP8", "JPEG"]
    profile: Literal["", "Main", "Constrained Baseline"]
    """Of H.264."""
    tier: Literal[1, 2, 4]
    """What the picture's sides are divided by."""


class WantRate(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What those who watch in the notebook take. The newest counts."""

    target_bps: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    """None: whatever there is."""
    hold_ms: Annotated[float, Meta(ge=0, le=1000)] = 0
    """No frame is wanted for so long, other than a keyframe."""


class WantStills(Message, frozen=True):
    """Send pictures that stand still over this channel as well."""


class WantKeyframe(Message, frozen=True, kw_only=True):
    """Send a keyframe soon."""

    spacing_s: Annotated[float, Meta(ge=0, le=10)]
    """At least so long after the last one."""
