"""Workers of one run that say what they like, without sockets; a stream shows them in a grid."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from gpuview import __version__
from gpuview.media.cluster.grid import Grid
from gpuview.media.cluster.grid_follower import GridFollower
from gpuview.media.cluster.listener import Peer
from gpuview.media.cluster.runs import Run
from gpuview.media.cluster.step_agreement import Agreement
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.protocol.carrier_messages import Tiles
from gpuview.protocol.cluster_messages import Join, OpenRun, WorkersChanged
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Message
from gpuview.protocol.wire import encode_text
from gpuview.protocol.worker_channels import ABOUT_CONNECTION, ChannelMessage
from tests.waiting import wait_until_async

__all__ = ["Crowd"]


class _Peer:
    """One worker's connection."""

    def __init__(self) -> None:
        self.is_there = True

    def send(self, message: ChannelMessage) -> bool:
        return self.is_there

    def dismiss(self) -> None:
        self.is_there = False

    def cut(self) -> None:
        self.is_there = False


class Crowd:
    """A run whose stream is a grid of all that join. On the running event loop."""

    def __init__(self, *ranks: int) -> None:
        self.grid = Grid(max_bitrate_bps=10**7, encoder="auto")
        self.told: list[WorkersChanged] = []
        """What the kernel was told."""
        self.published: list[Tiles] = []
        """What pages were told."""
        opening = OpenRun(run="run1", worker_key="key", rank=None, ranks=list(ranks))
        follower = GridFollower(opening, self.grid, self.told.append, self.published.append)
        self.run = Run("run1", Agreement())
        self.run.add(follower)
        self._peers: dict[int, _Peer] = {}

    def join(self, rank: int, run: str = "run1") -> None:
        """Let a worker of a rank ask to be let in."""
        self._peers[rank] = _Peer()
        who: dict[str, Any] = {"host": "node7", "pid": 100 + rank, "attempt": f"{rank}"}
        join = Join(version=__version__, run=run, rank=rank, world_size=9, **who)
        self._take(rank, ABOUT_CONNECTION, join)

    def say(self, rank: int, message: Message) -> None:
        """Let a worker that is in say something."""
        self._take(rank, ABOUT_CONNECTION + 1, message)

    def link(self, rank: int) -> WorkerLink:
        return self.run._links[rank]

    def leave(self, rank: int) -> None:
        """Cut a worker's connection, and let the run find out."""
        self._peers[rank].is_there = False
        self.run.beat()

    async def until_told(self) -> None:
        """Wait until the kernel and pages know all."""
        await asyncio.sleep(0)
        await wait_until_async(lambda: self.run._timer is None, "all is told")

    def close(self) -> None:
        self.run.close()
        self.grid.close()

    def _take(self, rank: int, channel: int, message: Message) -> None:
        peer = cast(Peer, self._peers[rank])
        self.run.take(peer, ChannelMessage(channel, TEXT, encode_text(message).encode()))
