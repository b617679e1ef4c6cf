"""A stream of the notebook that shows one rank of a run. Lives on the event loop."""

from __future__ import annotations

from collections.abc import Callable

from gpuview.media.cluster.remote_encodes import RemoteEncodes
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.protocol.cluster_messages import OpenRun, WorkersChanged
from gpuview.protocol.interaction_messages import ToView
from gpuview.protocol.page_messages import Message, Pong

__all__ = ["Follower"]


class Follower:
    """Such a stream, from `Runs.open` to `Runs.discard`.

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
        self.opening = opening
        self.send = send
        self._encodes = encodes
        self._on_said = on_said
        self._link: WorkerLink | None = None

    def follow(self, link: WorkerLink) -> None:
        """Show this worker's packets from now on."""
        self._link = link
        self._encodes.follow(link)

    def lose(self, link: WorkerLink) -> None:
        """Wait for another worker: this one has gone."""
        self._link = None
        self._encodes.lose(link)

    def say(self, message: Message) -> None:
        """Pass on what a view says to the worker."""
        if self._link is not None:
            self._link.say(message)

    def hear(self, message: Message) -> None:
        """Take what the worker says, other than of its stream's state."""
        if isinstance(message, Pong):
            self._encodes.note_size()
        elif isinstance(message, ToView):
            self._on_said(message)

    def __repr__(self) -> str:
        return f"<Follower of rank {self.opening.rank} of {self.opening.run}>"
