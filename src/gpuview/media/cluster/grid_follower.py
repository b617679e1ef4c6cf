"""A stream of the notebook that shows a grid of ranks of a run. Lives on the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpuview.media.cluster.grid import Grid
from gpuview.media.cluster.rank_roster import Roster
from gpuview.media.cluster.tiles import are_alike, tiles_of
from gpuview.media.cluster.worker_link import WorkerLink
from gpuview.protocol.carrier_messages import Tile, Tiles
from gpuview.protocol.cluster_messages import OpenRun, Worker, WorkersChanged
from gpuview.protocol.interaction_messages import SetKnob
from gpuview.protocol.page_messages import Message, Pong, Problem

__all__ = ["GridFollower"]


class GridFollower:
    """An `AnyFollower` that shows several ranks, and those that join later.

    Args:
        opening: What the kernel has said of the stream.
        grid: Asks the workers for packets.
        send: Tells the kernel.
        publish: Tells all pages.
    """

    def __init__(
        self,
        opening: OpenRun,
        grid: Grid,
        send: Callable[[WorkersChanged], None],
        publish: Callable[[Tiles], None],
    ) -> None:
        self.opening = opening
        self._grid = grid
        self._send = send
        self._publish = publish
        self._ranks = frozenset(opening.ranks)
        self._links: dict[int, WorkerLink] = {}
        self._workers: list[Worker] = []
        self._known_ms = 0.0  # Unix time
        self._sizes: dict[int, tuple[int, int]] = {}
        self._problems: dict[int, Problem | None] = {}
        self._tiles: list[Tile] | None = None  # as pages were told last
        grid.on_problem = self._note_problem
        self._tell_pages()  # of the ranks that were asked for, none of which may be there

    def shows(self, rank: int) -> bool:
        return not self._ranks or rank in self._ranks

    def follow(self, link: WorkerLink) -> None:
        rank = link.join.rank
        if self.shows(rank):
            self._links[rank] = link
            self._grid.follow(link)

    def lose(self, link: WorkerLink) -> None:
        rank = link.join.rank
        if self._links.get(rank) is link:
            del self._links[rank]
            self._grid.lose(link)

    def say(self, message: Message) -> None:
        """Pass a turned knob on to all ranks; what is about a place in a picture is of none."""
        if not isinstance(message, SetKnob):
            return
        syncing = [link for link in self._links.values() if link.does_sync()]
        others = [link for link in self._links.values() if not link.does_sync()]
        for link in [*syncing[:1], *others]:  # one of those that sync passes it on to all of them
            link.say(message)

    def hear(self, rank: int, message: Message) -> None:
        if not (self.shows(rank) and isinstance(message, Pong)):
            return
        encodes = self._grid.encodes_of(rank)
        encodes.note_size()
        if encodes.picture_size != self._sizes.get(rank, (0, 0)):
            self._sizes[rank] = encodes.picture_size
            self._tell_pages()

    def tell(self, roster: Roster, now_s: float, problem: Problem | None) -> None:
        self._workers = roster.overview(now_s, self.shows)
        self._known_ms = time.time() * 1000
        for rank in self._grid.fanouts.keys() - {each.rank for each in self._workers}:
            self._forget(rank)
        self._send(WorkersChanged(workers=self._workers, problem=problem))
        self._tell_pages()

    def _forget(self, rank: int) -> None:
        """Forget a rank that the run has forgotten, to make room for another."""
        self._grid.drop(rank)
        self._sizes.pop(rank, None)
        self._problems.pop(rank, None)

    def _note_problem(self, rank: int, problem: Problem | None) -> None:
        self._problems[rank] = problem
        self._tell_pages()

    def _tell_pages(self) -> None:
        shown = [each for each in self._workers if self.shows(each.rank)]
        tiles = tiles_of(
            shown, sorted(self._ranks), self._known_ms, sizes=self._sizes, problems=self._problems
        )
        if self._tiles is None or not are_alike(tiles, self._tiles):
            self._tiles = tiles
            self._publish(Tiles(tiles=tiles))

    def __repr__(self) -> str:
        return f"<GridFollower of {self.opening.run} {self._grid}>"
