"""A run, and what its workers and streams are told; without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from gpuview import __version__
from gpuview.errors import SignalError
from gpuview.media.cluster.listener import Peer
from gpuview.media.cluster.roster import Roster
from gpuview.media.cluster.runs import Runs
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.protocol.channels import ABOUT_CONNECTION, ChannelMessage
from gpuview.protocol.cluster_messages import Join, OpenRun, Synced
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Message, Ping, Problem
from gpuview.protocol.wire import decode_text, encode_text

BASE = ABOUT_CONNECTION + 1
"""The channel on which a worker's kernel speaks."""
TOLD = (Ping,)


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


def on_a_loop(use: Callable[[Runs], Awaitable[None]]) -> None:
    async def live() -> None:
        runs = Runs()
        try:
            await use(runs)
        finally:
            await runs.close()

    asyncio.run(live())


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
    synced = Synced(step=1, since_ms=0, period_ms=period_ms, epoch="", held=[])
    with pytest.raises(SignalError):
        decode_text(encode_text(synced), Synced)
