"""The workers of one run: who is let in, who is silent. Pure, in seconds on one monotonic clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gpuview.errors import SignalError, shorten
from gpuview.protocol.cluster_messages import Join, Worker
from gpuview.protocol.interaction_messages import Interaction, Knob, KnobValue
from gpuview.protocol.page_messages import Status
from gpuview.protocol.wire import decode_text

__all__ = ["MAX_WORKERS", "SILENT_S", "Roster", "read_join"]

MAX_WORKERS = 256
"""Of one run."""

SILENT_S = 4.0
"""A worker that has said nothing for so long is gone; it answers pings every second."""

_MAX_CHARS = 200


def read_join(content: bytes, version: str) -> Join:
    """Read a worker's first message.

    Args:
        content: What it sent; nothing about it is trusted.
        version: Ours.

    Raises:
        SignalError: It is something else, or of another version of gpuview.
    """
    try:
        fields = json.loads(content)
        other = fields.get("version") if isinstance(fields, dict) else None
    except (ValueError, RecursionError):
        other = None
    if isinstance(other, str) and other != version:
        theirs = shorten(other, _MAX_CHARS)
        raise SignalError(
            f"the worker has gpuview {theirs}, and the notebook has gpuview {version}",
            expected="the same version on both machines",
            fix=f"pip install gpuview=={version} where the worker runs",
        )
    try:
        join = decode_text(content.decode(), Join)
    except ValueError as exc:
        raise SignalError(
            "a worker's first message is no text",
            expected="a Join",
            fix="install the same version of gpuview on both machines",
        ) from exc
    assert isinstance(join, Join)
    return join


@dataclass(slots=True)
class _Seat:
    """One rank."""

    join: Join
    heard_s: float
    is_connected: bool = True
    status: Status | None = None
    interaction: Interaction | None = None
    ousted: set[tuple[str, int]] = field(default_factory=set)
    """Those whose place it has taken; they may come back when it is gone."""

    def worker(
        self, now_s: float, status: Status | None = None, interaction: Interaction | None = None
    ) -> Worker:
        return Worker(
            rank=self.join.rank,
            world_size=self.join.world_size,
            host=self.join.host,
            pid=self.join.pid,
            silent_s=None if self.is_connected else round(now_s - self.heard_s, 3),
            status=status,
            interaction=interaction,
        )


@dataclass(slots=True)
class Roster:
    """The workers of a run, by rank."""

    run: str
    turned: Mapping[str, KnobValue] = field(default_factory=dict)
    """What people have turned knobs to that some rank has not taken yet."""
    _seats: dict[int, _Seat] = field(default_factory=dict)

    def is_again(self, join: Join) -> bool:
        """Tell whether a worker that is in says the same over another route."""
        seat = self._seats.get(join.rank)
        return seat is not None and seat.is_connected and seat.join.attempt == join.attempt

    def admit(self, join: Join, now_s: float) -> None:
        """Let a worker in; it takes the place of an earlier one of its rank.

        Raises:
            SignalError: Why not.
        """
        if join.run != self.run:
            raise SignalError(
                f"the worker's key is that of run {self.run}, and it asks for {join.run}",
                expected="the key of the run that it joins",
                fix="start it with the join file of its run",
            )
        seat, who = self._seats.get(join.rank), (join.host, join.pid)
        if seat is not None and seat.is_connected and who in seat.ousted:
            raise SignalError(
                f"another worker of rank {join.rank} is there: process {seat.join.pid} on "
                f"{seat.join.host}",
                expected="one worker of each rank",
                fix="give each its rank: RANK, or publish(..., rank=)",
            )
        if seat is None and len(self._seats) >= MAX_WORKERS and not self._drop_silent():
            raise SignalError(
                f"{MAX_WORKERS} workers have joined the run",
                expected="fewer",
                fix="publish from some ranks only",
            )
        ousted = set()
        if seat is not None and seat.is_connected and who != (seat.join.host, seat.join.pid):
            ousted = {*list(seat.ousted)[:MAX_WORKERS], (seat.join.host, seat.join.pid)}
        self._seats[join.rank] = _Seat(join, now_s, ousted=ousted)

    def heard(self, rank: int, now_s: float) -> None:
        """Note that a worker that is in has said something."""
        self._seats[rank].heard_s = now_s

    def is_silent(self, rank: int, now_s: float) -> bool:
        """Tell whether a worker that is in has said nothing for too long."""
        return now_s - self._seats[rank].heard_s > SILENT_S

    def note(self, rank: int, message: Status | Interaction) -> None:
        """Note what a worker says of its stream."""
        if isinstance(message, Status):
            self._seats[rank].status = message
        else:
            self._seats[rank].interaction = message

    def knob(self, name: str, ranks: Iterable[int]) -> Knob | None:
        """Return a knob of this name that one of these ranks has."""
        said = (self._seats[rank].interaction for rank in ranks if rank in self._seats)
        knobs = (knob for each in said if each is not None for knob in each.knobs)
        return next((knob for knob in knobs if knob.name == name), None)

    def lost(self, rank: int) -> None:
        """Note that a worker has gone."""
        self._seats[rank].is_connected = False

    def workers(self, now_s: float, shown_rank: int) -> list[Worker]:
        """Return all that have ever been there, by rank; of one, what its stream is doing, too."""
        return [
            seat.worker(now_s, seat.status, self._with_turned(seat.interaction))
            if rank == shown_rank
            else seat.worker(now_s)
            for rank, seat in sorted(self._seats.items())
        ]

    def overview(self, now_s: float, shows: Callable[[int], bool]) -> list[Worker]:
        """Return all as `workers` does; of each that is shown, in short what its stream is doing.

        The knobs are those of the first shown one that is there.
        """
        shown = sorted(rank for rank in self._seats if shows(rank))
        first = next((rank for rank in shown if self._seats[rank].is_connected), None)
        return [
            seat.worker(
                now_s,
                _in_short(seat.status) if rank in shown else None,
                self._with_turned(seat.interaction) if rank == first else None,
            )
            for rank, seat in sorted(self._seats.items())
        ]

    def _with_turned(self, said: Interaction | None) -> Interaction | None:
        """Return what a worker has said, its knobs as people see them."""
        return said and said.with_values(self.turned)

    def _drop_silent(self) -> bool:
        """Forget the worker that has been gone for longest; return whether there was one."""
        gone = [rank for rank, seat in self._seats.items() if not seat.is_connected]
        if not gone:
            return False
        del self._seats[min(gone, key=lambda rank: self._seats[rank].heard_s)]
        return True


def _in_short(status: Status | None) -> Status | None:
    """Return what a tile tells of a stream: the kernel is told of hundreds in one message."""
    if status is None:
        return None
    problem = shorten(status.problem, _MAX_CHARS)
    return Status(state=status.state, problem=problem, width=status.width, height=status.height)
