"""A stream of the notebook that shows one rank of a run. Lives on the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gpuview.media.cluster.rank_roster import Roster
from gpuview.media.cluster.remote_encodes import RemoteEncodes
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.protocol.cluster_messages import OpenRun, WorkersChanged
from gpuview.protocol.interaction_messages import ToView
from gpuview.protocol.page_messages import Message, Pong, Problem

__all__ = ["AnyFollower", "Follower"]


class AnyFollower(Protocol):
    """A stream that shows workers of a run, from `Runs.open` to `Runs.discard`."""

    @property
    def opening(self) -> OpenRun:
        """What the kernel has said of it."""

    def shows(self, rank: int) -> bool:
        """Tell whether it shows the worker of a rank, if there is one."""

    def follow(self, link: WorkerLink) -> None:
        """Show this worker's packets from now on, if its rank is shown."""

    def lose(self, link: WorkerLink) -> None:
        """Wait for another worker of its rank: this one has gone."""

    def say(self, message: Message) -> None:
        """Pass on what a view says."""

    def hear(self, rank: int, message: Message) -> None:
        """Take what a worker says, other than of its stream's state."""

    def tell(self, roster: Roster, now_s: float, problem: Problem | None) -> None:
        """Tell the kernel, and pages, how the workers are.

        Args:
            roster: The workers.
            now_s: The time.
            problem: Why the last one that tried was not let in.
        """


class Follower:
    """An `AnyFollower` that shows one rank.

    Args:
        opening: What the kernel has said of it.
        encodes: Asks the worker of its rank for packets.
        send: Tells the kernel.
        on_said: Called with what that worker says to one view.
    """

    def __init__(
        self,
        opening: OpenRun,
        encodes: RemoteEncodes,
        send: Callable[[WorkersChanged], None],
        on_said: Callable[[ToView], None],
    ) -> None:
        assert opening.rank is not None
        self.opening = opening
        self._rank = opening.rank
        self._send = send
        self._encodes = encodes
        self._on_said = on_said
        self._link: WorkerLink | None = None

    def shows(self, rank: int) -> bool:
        return rank == self._rank

    def follow(self, link: WorkerLink) -> None:
        if self.shows(link.join.rank):
            self._link = link
            self._encodes.follow(link)

    def lose(self, link: WorkerLink) -> None:
        if link is self._link:
            self._link = None
            self._encodes.lose(link)

    def say(self, message: Message) -> None:
        if self._link is not None:
            self._link.say(message)

    def hear(self, rank: int, message: Message) -> None:
        if not self.shows(rank):
            return
        if isinstance(message, Pong):
            self._encodes.note_size()
        elif isinstance(message, ToView):
            self._on_said(message)

    def tell(self, roster: Roster, now_s: float, problem: Problem | None) -> None:
        self._send(WorkersChanged(workers=roster.workers(now_s, self._rank), problem=problem))

    def __repr__(self) -> str:
        return f"<Follower of rank {self._rank} of {self.opening.run}>"
