"""The notebook's runs: each stream whose packets come from workers. Lives on the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from gpuview import __version__
from gpuview.errors import NetworkError, SignalError, shorten
from gpuview.media.cluster.listener import Listener, Peer
from gpuview.media.cluster.remote_encodes import RemoteEncodes
from gpuview.media.cluster.roster import Roster, read_join
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.media.internal_error import problem_of
from gpuview.protocol.channels import ABOUT_CONNECTION, ChannelMessage
from gpuview.protocol.cluster_messages import (
    Join,
    Joined,
    JoinRefused,
    ListenForWorkers,
    Listening,
    OpenRun,
    WorkersChanged,
)
from gpuview.protocol.interaction_messages import Interaction, ToView
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Message, Problem, Status
from gpuview.protocol.wire import encode_text

__all__ = ["Run", "Runs"]

logger = logging.getLogger("gpuview.media")

_BEAT_S = 1.0
_TELL_EVERY_S = 0.1
_GONE_AFTER_S = 0.1
"""ZeroMQ tells of an end before it forgets the peer."""


class Run:
    """One run: its workers, and the one whose packets are shown. See `Runs.open`.

    Args:
        opening: What the kernel has said of it.
        encodes: Follows the worker whose packets are shown.
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
        self._encodes = encodes
        self._send = send
        self._on_said = on_said
        self._roster = Roster(opening.run)
        self._links: dict[int, WorkerLink] = {}
        self._problem: Problem | None = None
        self._told_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def say(self, message: Message) -> None:
        """Pass on what a view says to the worker whose packets are shown."""
        if (link := self._links.get(self.opening.rank)) is not None:
            link.say(message)

    def take(self, peer: Peer, message: ChannelMessage) -> None:
        """Act on a message of one who has the run's key."""
        link = next((each for each in self._links.values() if each.peer is peer), None)
        if link is None:
            self._let_in(peer, message)
            return
        self._roster.heard(link.join.rank, time.monotonic())
        try:
            link.take(message)
        except ValueError as exc:
            self._send_away(link, exc)

    def beat(self) -> None:
        """Ping all workers, and let go of those that are silent."""
        now_s = time.monotonic()
        for rank, link in list(self._links.items()):
            link.ping()
            if link.is_lost or self._roster.is_silent(rank, now_s):
                logger.warning("%r has gone silent", link)
                self._lose(link)
                link.peer.cut()
                self._tell()

    def close(self) -> None:
        """Send all workers away."""
        for link in list(self._links.values()):
            self._lose(link)
            link.peer.cut()
        if self._timer is not None:
            self._timer.cancel()

    def _let_in(self, peer: Peer, message: ChannelMessage) -> None:
        if message.channel != ABOUT_CONNECTION:
            peer.cut()  # it was here before, and begins again
            return
        try:
            join = read_join(message.content, __version__)
            if self._roster.is_again(join):
                peer.cut()
                return
            self._roster.admit(join, time.monotonic())
        except SignalError as exc:
            self._refuse(peer, problem_of(exc))
            return
        if (previous := self._links.get(join.rank)) is not None:
            self._replace(previous, join)
        self._problem = None
        _say(peer, Joined())
        self._greet(WorkerLink(peer, join, lambda said: self._hear(join.rank, said)))

    def _greet(self, link: WorkerLink) -> None:
        rank = link.join.rank
        self._links[rank] = link
        logger.info("%r has joined run %s", link, self.opening.run)
        link.ping()  # before all else: its answer says the time
        if rank == self.opening.rank:
            self._encodes.follow(link)
        self._tell()

    def _hear(self, rank: int, message: Message) -> None:
        if isinstance(message, Status | Interaction):
            self._roster.note(rank, message)
            self._tell()
        elif isinstance(message, ToView) and rank == self.opening.rank:
            self._on_said(message)

    def _replace(self, link: WorkerLink, join: Join) -> None:
        """Send a worker away whose place another one of its rank takes."""
        self._lose(link)
        _refuse(
            link.peer,
            Problem(
                problem=f"process {join.pid} on {join.host} has taken the place of rank "
                f"{join.rank}",
                expected="one worker of each rank",
                fix="nothing, if the job was started anew; else give each its rank",
            ),
        )

    def _send_away(self, link: WorkerLink, exc: ValueError) -> None:
        """End a worker's session, which has lied."""
        self._lose(link)
        self._refuse(
            link.peer,
            Problem(
                problem=shorten(f"rank {link.join.rank} on {link.join.host} has sent {exc}", 500),
                expected="what was asked for",
                fix="start it again; if it does the same, please report it",
            ),
        )

    def _refuse(self, peer: Peer, problem: Problem) -> None:
        logger.warning("run %s: %s", self.opening.run, problem.problem)
        _refuse(peer, problem)
        self._problem = problem
        self._tell()

    def _lose(self, link: WorkerLink) -> None:
        del self._links[link.join.rank]
        self._roster.lost(link.join.rank)
        self._encodes.lose(link)

    def _tell(self) -> None:
        """Tell the kernel, ten times a second at most."""
        if self._timer is None:
            delay_s = max(0.0, self._told_s + _TELL_EVERY_S - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        self._told_s = now_s = time.monotonic()
        workers = self._roster.workers(now_s, self.opening.rank)
        self._send(WorkersChanged(workers=workers, problem=self._problem))

    def __repr__(self) -> str:
        return f"<Run {self.opening.run} {list(self._links.values())}>"


class Runs:
    """All runs of a kernel, and the port that their workers come to."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}  # by the public key of their workers
        self._listener: Listener | None = None
        self._beating: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def listen(self, message: ListenForWorkers) -> Listening:
        """Listen from now on; return where, or why not. A second time, nothing changes."""
        try:
            if self._listener is None:
                self._listener = Listener(
                    public_key=message.public_key,
                    secret_key=message.secret_key,
                    port=message.port,
                    is_known=lambda key: key in self._runs,
                    on_message=self._take,
                    on_gone=self._beat_soon,
                )
                self._beating = asyncio.get_running_loop().create_task(self._beat())
        except NetworkError as exc:
            return Listening(problem=problem_of(exc))
        return Listening(port=self._listener.port)

    def open(self, run: Run) -> None:
        """Let workers into a run, until `discard`."""
        self._runs[run.opening.worker_key] = run

    def discard(self, run: Run) -> None:
        """Send a run's workers away, and let none in."""
        run.close()
        if self._runs.get(run.opening.worker_key) is run:
            del self._runs[run.opening.worker_key]

    async def close(self) -> None:
        """Send all workers away, and free the port."""
        for run in list(self._runs.values()):
            run.close()
        if self._beating is not None:
            self._beating.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            await self._listener.close()

    def _take(self, peer: Peer, parts: list[bytes]) -> None:
        run = self._runs.get(peer.key)
        try:
            message = ChannelMessage.parse(parts)
        except ValueError as exc:
            logger.warning("a worker has sent %s", exc)
            peer.cut()
            return
        if run is None:  # it has been closed
            peer.cut()
            return
        run.take(peer, message)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self._beat_now()

    def _beat_soon(self) -> None:
        """Find out who has gone: whom a ping cannot be sent to."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GONE_AFTER_S, self._beat_now)

    def _beat_now(self) -> None:
        self._timer = None
        for run in list(self._runs.values()):
            run.beat()

    def __repr__(self) -> str:
        return f"<Runs {list(self._runs.values())} {self._listener}>"


def _say(peer: Peer, message: Message) -> None:
    peer.send(ChannelMessage(ABOUT_CONNECTION, TEXT, encode_text(message).encode()))


def _refuse(peer: Peer, problem: Problem) -> None:
    _say(peer, JoinRefused(problem=problem))
    peer.dismiss()
