"""A run, and what its workers and streams are told; without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, cast

import pytest

from gpuview import __version__
from gpuview.errors import SignalError
from gpuview.media.cluster.grid import Grid
from gpuview.media.cluster.grid_follower import GridFollower
from gpuview.media.cluster.listener import Peer
from gpuview.media.cluster.rank_roster import Roster
from gpuview.media.cluster.runs import Runs
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.protocol.cluster_messages import Agreed, Join, OpenRun, Synced
from gpuview.protocol.interaction_messages import Interaction, Knob, SetKnob
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Message, Ping, Problem
from gpuview.protocol.wire import decode_text, encode_text
from gpuview.protocol.worker_channels import ABOUT_CONNECTION, ChannelMessage

BASE = ABOUT_CONNECTION + 1
"""The channel on which a worker's kernel speaks."""
TOLD = (Agreed, Ping, SetKnob)


class FakePeer:
    """A worker's connection, with what the worker was told over it."""

    def __init__(self, runs: Runs, key: str, rank: int) -> None:
        self.key = key
        self.told: list[Message] = []
        self.is_broken = False
        self._runs = runs
        self._join = Join(
            version=__version__, attempt="a", run=key, rank=rank, world_size=2, host="h", pid=rank
        )

    @property
    def agreed(self) -> list[Agreed]:
        return [each for each in self.told if isinstance(each, Agreed)]

    @property
    def epoch(self) -> str:
        return self.agreed[-1].epoch

    @property
    def proposed(self) -> list[str]:
        """The names of the knobs that the last word said are proposed."""
        changes = self.agreed[-1].changes if self.agreed else []
        return [each.name for each in changes if not each.is_final]

    @property
    def turned(self) -> list[SetKnob]:
        return [each for each in self.told if isinstance(each, SetKnob)]

    def join(self) -> None:
        self.say(self._join, ABOUT_CONNECTION)

    def say(self, message: Message, channel: int = BASE) -> None:
        content = encode_text(message).encode()
        self._runs._take(cast(Peer, self), ChannelMessage(channel, TEXT, content).pack())

    def send(self, message: ChannelMessage) -> bool:
        if self.is_broken:
            raise OverflowError("what nobody expects")
        if message.channel == BASE:
            self.told.append(decode_text(message.content.decode(), *TOLD))
        return True

    def cut(self) -> None:
        pass

    def dismiss(self) -> None:
        pass


class FakeFollower:
    """A stream that shows the workers of a run."""

    def __init__(self, run: str) -> None:
        self.opening = OpenRun(run=run, worker_key=run, rank=None)
        self.links: dict[int, WorkerLink] = {}

    def shows(self, rank: int) -> bool:
        return True

    def follow(self, link: WorkerLink) -> None:
        self.links[link.join.rank] = link

    def lose(self, link: WorkerLink) -> None:
        del self.links[link.join.rank]

    def say(self, message: Message) -> None:
        pass

    def hear(self, rank: int, message: Message) -> None:
        pass

    def tell(self, roster: Roster, now_s: float, problem: Problem | None) -> None:
        pass


class FakeGrid:
    """Shows nothing."""

    def encodes_of(self, rank: int) -> FakeGrid:
        return self

    def follow(self, link: WorkerLink) -> None:
        pass

    def lose(self, link: WorkerLink) -> None:
        pass


def on_a_loop(use: Callable[[Runs], Awaitable[None]]) -> None:
    async def live() -> None:
        runs = Runs()
        try:
            await use(runs)
        finally:
            await runs.close()

    asyncio.run(live())


def knobs(**kinds: Literal["slider", "button"]) -> Interaction:
    return Interaction(knobs=[Knob(kind=kind, name=name, value=0) for name, kind in kinds.items()])


def synced(step: int, *held: int, epoch: str = "", period_ms: float | None = 100) -> Synced:
    return Synced(step=step, since_ms=0, period_ms=period_ms, epoch=epoch, held=list(held))


def three_ranks(runs: Runs, follower: FakeFollower) -> list[FakePeer]:
    """Three workers with the same knobs, of which the first two sync."""
    runs.open(follower)
    peers = [FakePeer(runs, "run1", rank) for rank in range(3)]
    for peer in peers:
        peer.join()
        peer.say(knobs(lr="slider", save="button"))
    for peer in peers[:2]:
        peer.say(synced(5))
    return peers


TURNED = SetKnob(view="v", name="lr", value=0.5)
PRESSED = SetKnob(view="v", name="save", value=1)


def test_knob_of_a_rank_that_does_not_sync_changes_at_once_beside_others_that_do() -> None:
    async def use(runs: Runs) -> None:
        follower = FakeFollower("run1")
        peers = three_ranks(runs, follower)
        follower.links[2].say(TURNED)
        assert [each.proposed for each in peers] == [[], [], []]
        assert [each.turned for each in peers] == [[], [], [TURNED]]
        follower.links[1].say(TURNED)
        assert [each.proposed for each in peers] == [["lr"], ["lr"], []]
        assert [each.turned for each in peers] == [[], [], [TURNED]]

    on_a_loop(use)


@pytest.mark.parametrize("message", [TURNED, PRESSED])
def test_grid_turns_a_knob_once_for_all_that_sync_and_tells_every_other_rank(
    message: SetKnob,
) -> None:
    async def use(runs: Runs) -> None:
        follower = FakeFollower("run1")
        peers = three_ranks(runs, follower)
        opening = OpenRun(run="run1", worker_key="run1", rank=None)
        grid = GridFollower(opening, cast(Grid, FakeGrid()), lambda _: None, lambda _: None)
        runs.open(grid)
        grid.say(message)
        assert [each.proposed for each in peers] == [[message.name], [message.name], []]
        assert [each.turned for each in peers] == [[], [], [message]]
        for peer in peers[:2]:
            peer.say(synced(5, 1, epoch=peer.epoch))
        assert [each.proposed for each in peers] == [[], [], []]

    on_a_loop(use)


def test_knob_that_no_rank_has_is_not_agreed_on() -> None:
    async def use(runs: Runs) -> None:
        follower = FakeFollower("run1")
        peers = three_ranks(runs, follower)
        for n in range(1000):
            follower.links[0].say(SetKnob(view="v", name=f"knob {n}", value=1))
        assert peers[0].proposed == []

    on_a_loop(use)


def test_each_press_is_proposed() -> None:
    async def use(runs: Runs) -> None:
        follower = FakeFollower("run1")
        peers = three_ranks(runs, follower)
        for _ in range(3):
            follower.links[0].say(PRESSED)
        assert peers[0].proposed == ["save"]
        epoch = peers[0].epoch
        for peer in peers[:2]:
            peer.say(synced(5, 1, epoch=epoch))
        assert peers[0].proposed == ["save", "save"]

    on_a_loop(use)


def test_rank_that_counts_something_else_is_named_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def use(runs: Runs) -> None:
        follower = FakeFollower("run1")
        peers = three_ranks(runs, follower)
        peers[1].say(synced(50_000))
        for _ in range(2):
            follower.links[0].say(TURNED)
            peers[0].say(synced(5, 1, epoch=peers[0].epoch))
            peers[1].say(synced(50_000, 1, epoch=peers[1].epoch))
        assert [each.step for each in peers[0].agreed[-1].changes if each.is_final] == [0]
        assert caplog.text.count("rank 0 of run run1 is far behind") == 1

    on_a_loop(use)


def test_what_was_agreed_on_outlives_the_streams_of_its_run() -> None:
    async def use(runs: Runs) -> None:
        follower = FakeFollower("run1")
        peers = three_ranks(runs, follower)
        follower.links[0].say(TURNED)
        epoch = peers[0].epoch
        for step in (5, 50):
            for peer in peers[:2]:
                peer.say(synced(step, 1, epoch=epoch))
        runs.discard(follower)
        runs.open(FakeFollower("run1"))
        again = FakePeer(runs, "run1", 0)
        started_anew = FakePeer(runs, "run1", 1)
        for peer in (again, started_anew):
            peer.join()
        again.say(synced(60, 1, epoch=epoch))
        started_anew.say(synced(0, period_ms=None))
        (change,) = started_anew.agreed[-1].changes
        assert (change.value, change.step, change.is_final) == (0.5, 0, True)

    on_a_loop(use)


def test_agreements_of_runs_that_are_not_shown_are_few() -> None:
    async def use(runs: Runs) -> None:
        for n in range(200):
            follower = FakeFollower(f"run {n}")
            runs.open(follower)
            runs.discard(follower)
        assert len(runs._agreements) < 100

    on_a_loop(use)


def test_run_that_fails_leaves_the_heartbeat_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def use(runs: Runs) -> None:
        peers = [FakePeer(runs, name, 0) for name in ("run1", "run2")]
        for peer in peers:
            runs.open(FakeFollower(peer.key))
            peer.join()
        peers[0].is_broken = True
        n_told = len(peers[1].told)
        runs._beat_now()
        assert len(peers[1].told) == n_told + 1
        assert "report it" in caplog.text

    on_a_loop(use)


@pytest.mark.parametrize("period_ms", [0, 1e-9, -1, 1e300])
def test_pace_that_cannot_be_is_no_message(period_ms: float) -> None:
    with pytest.raises(SignalError):
        decode_text(encode_text(synced(1, period_ms=period_ms)), Synced)
