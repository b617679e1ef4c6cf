"""The notebook's runs: their workers, and the streams that show them. Lives on the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial

from gpuview import __version__
from gpuview.errors import NetworkError, SignalError, shorten
from gpuview.media.cluster.follower import AnyFollower
from gpuview.media.cluster.listener import Listener, Peer
from gpuview.media.cluster.rank_roster import MAX_WORKERS, Roster, read_join
from gpuview.media.cluster.step_agreement import Agreement
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.media.internal_error import log_fault, problem_of
from gpuview.protocol.cluster_messages import (
    Join,
    Joined,
    JoinRefused,
    ListenForWorkers,
    Listening,
    Synced,
)
from gpuview.protocol.interaction_messages import Interaction, SetKnob
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Message, Problem, Status
from gpuview.protocol.wire import encode_text
from gpuview.protocol.worker_channels import ABOUT_CONNECTION, ChannelMessage

__all__ = ["Run", "Runs"]

logger = logging.getLogger("gpuview.media")

_BEAT_S = 1.0
_TELL_EVERY_S = 0.1
_MAX_KEPT = 64
"""Runs that no stream shows any more, and whose agreements are kept."""
_GONE_AFTER_S = 0.1
"""ZeroMQ tells of an end before it forgets the peer."""


class Run:
    """One run: its workers, and the streams that show them, which share the workers.

    Args:
        name: Its name.
        agreement: Of its ranks, which may outlive it.
    """

    def __init__(self, name: str, agreement: Agreement) -> None:
        self._name = name
        self._followers: list[AnyFollower] = []
        self._roster = Roster(name)
        self._agreement = agreement
        agreement.resume(time.monotonic())
        self._links: dict[int, WorkerLink] = {}
        self._problems: dict[int | None, Problem] = {}  # None: of a rank that no stream shows
        self._untold: set[AnyFollower] = set()
        self._last_sent_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_followed(self) -> bool:
        """Whether any stream shows it."""
        return bool(self._followers)

    def add(self, follower: AnyFollower) -> None:
        """Show it workers, some of which may be there already."""
        self._followers.append(follower)
        for link in self._links.values():
            follower.follow(link)
        if len(self._followers) > 1:  # there may be workers, of whom the others have been told
            self._tell_later([follower])

    def remove(self, follower: AnyFollower) -> None:
        """Show it no workers any more; they stay, and their sessions end with the stream."""
        if follower in self._followers:
            self._followers.remove(follower)
        self._untold.discard(follower)
        for rank in [*self._problems]:
            if rank is not None and not self._followers_of(rank):
                del self._problems[rank]

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
        self._agree()

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
        rank: int | None = None
        try:
            join = read_join(message.content, __version__)
            rank = join.rank
            if self._roster.is_again(join):
                peer.cut()
                return
            self._roster.admit(join, time.monotonic())
        except SignalError as exc:
            self._refuse(peer, problem_of(exc), rank)
            return
        if (previous := self._links.get(join.rank)) is not None:
            self._replace(previous, join)
        self._problems.pop(None, None)
        self._problems.pop(join.rank, None)
        _say(peer, Joined())
        hear = partial(self._hear, join.rank)
        does_sync = partial(self._agreement.has, join.rank)
        self._greet(WorkerLink(peer, join, hear, does_sync, on_turned=self._turn))

    def _greet(self, link: WorkerLink) -> None:
        rank = link.join.rank
        self._links[rank] = link
        logger.info("%r has joined run %s", link, self._name)
        link.ping()  # before all else: its answer says the time
        for follower in self._followers:
            follower.follow(link)
        self._tell()

    def _hear(self, rank: int, message: Message) -> None:
        if isinstance(message, Synced):
            self._hear_step(rank, message)
            return
        if isinstance(message, Status | Interaction):
            self._roster.note(rank, message)
            if isinstance(message, Status) and message.state == "closed":
                self._agreement.leave(rank)
            self._tell_later(self._followers_of(rank))
            return
        for follower in self._followers:
            follower.hear(rank, message)

    def _turn(self, message: SetKnob) -> None:
        """Have the ranks that sync agree on a knob that was turned."""
        syncing = [rank for rank, link in self._links.items() if link.does_sync()]
        knob = self._roster.knob(message.name, syncing)
        if knob is None:
            return  # of a page that shows what is no more
        if knob.kind == "button":
            self._agreement.press(message.name)
        else:
            self._agreement.turn(message.name, message.value)
        self._agree()
        self._tell()

    def _hear_step(self, rank: int, message: Synced) -> None:
        is_new = self._agreement.hear(rank, message, time.monotonic())
        if not self._agree() and is_new:
            self._links[rank].say(self._agreement.answer_for(rank))

    def _agree(self) -> bool:
        """Tell the ranks at which step they take knobs, if that has changed."""
        behind = self._agreement.behind
        has_changed = self._agreement.decide(time.monotonic())
        for rank in sorted(self._agreement.behind - behind):
            logger.warning(
                "rank %d of run %s is far behind the others in its steps: knobs change there as "
                "soon as it hears of them; view.sync(step) says where it is",
                rank,
                self._name,
            )
        self._roster.turned = self._agreement.awaited
        if has_changed:
            for rank in self._agreement.ranks & self._links.keys():
                self._links[rank].say(self._agreement.answer_for(rank))
        return has_changed

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
            link.join.rank,
        )

    def _refuse(self, peer: Peer, problem: Problem, rank: int | None) -> None:
        """Refuse a worker, and say why: to the streams of its rank, or to all if there is none."""
        _refuse(peer, problem)
        has_followers = rank is not None and self._followers_of(rank)
        addressee = rank if has_followers else None
        if (
            self._problems.get(addressee) != problem
        ):  # a worker that is refused tries again for ever
            logger.warning("run %s: %s", self._name, problem.problem)
        self._problems.pop(addressee, None)  # so that the newest comes last
        self._problems[addressee] = problem
        if len(self._problems) > MAX_WORKERS:
            del self._problems[next(iter(self._problems))]
        self._tell()

    def _lose(self, link: WorkerLink) -> None:
        del self._links[link.join.rank]
        self._roster.lost(link.join.rank)
        self._agreement.lose(link.join.rank, time.monotonic())
        for follower in self._followers:
            follower.lose(link)

    def _followers_of(self, rank: int) -> list[AnyFollower]:
        return [each for each in self._followers if each.shows(rank)]

    def _tell(self) -> None:
        self._tell_later(self._followers)

    def _tell_later(self, followers: Iterable[AnyFollower]) -> None:
        """Tell streams how the workers are, ten times a second at most."""
        self._untold.update(followers)
        if self._timer is None:
            delay_s = max(0.0, self._last_sent_s + _TELL_EVERY_S - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        self._last_sent_s = now_s = time.monotonic()
        untold, self._untold = self._untold, set()
        for follower in untold:
            follower.tell(self._roster, now_s, self._problem_for(follower))

    def _problem_for(self, follower: AnyFollower) -> Problem | None:
        own = [
            problem
            for rank, problem in self._problems.items()
            if rank is not None and follower.shows(rank)
        ]
        return own[-1] if own else self._problems.get(None)

    def __repr__(self) -> str:
        return f"<Run {self._name} {list(self._links.values())}>"


class Runs:
    """All runs of a kernel, and the port that their workers come to."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}  # by the public key of their workers
        self._agreements: dict[str, Agreement] = {}  # of these, and of runs that are not shown now
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

    def open(self, follower: AnyFollower) -> None:
        """Let workers into the run of a stream, until `discard`."""
        opening = follower.opening
        key = opening.worker_key
        if key not in self._runs:
            agreement = self._agreements.setdefault(key, Agreement())
            self._runs[key] = Run(opening.run, agreement)
        self._runs[key].add(follower)

    def discard(self, follower: AnyFollower) -> None:
        """Forget a stream. After the last of a run, its workers are sent away, and none let in.

        What they have agreed on is kept, as the notebook's cell may run again.
        """
        key = follower.opening.worker_key
        run = self._runs.get(key)
        if run is None:
            return
        run.remove(follower)
        if not run.is_followed:
            run.close()
            del self._runs[key]
            self._agreements[key] = self._agreements.pop(key)  # the newest is the last
            for old in [each for each in self._agreements if each not in self._runs][:-_MAX_KEPT]:
                del self._agreements[old]

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
            try:
                run.beat()
            except Exception as exc:  # the other runs' workers must not be lost by it
                log_fault(exc)

    def __repr__(self) -> str:
        return f"<Runs {list(self._runs.values())} {self._listener}>"


def _say(peer: Peer, message: Message) -> None:
    peer.send(ChannelMessage(ABOUT_CONNECTION, TEXT, encode_text(message).encode()))


def _refuse(peer: Peer, problem: Problem) -> None:
    _say(peer, JoinRefused(problem=problem))
    peer.dismiss()
