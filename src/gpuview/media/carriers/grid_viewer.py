"""One view that is sent a grid of ranks, all over one connection. Lives on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gpuview.media.carriers.connection import AnyConnection
from gpuview.media.carriers.outlet import Outlet
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.fanout import Fanout, Subscription
from gpuview.media.encode.tiers import Member, Tier
from gpuview.media.page_channel import PageChannel
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.carrier_messages import MAX_RANKS, Received
from gpuview.protocol.carrier_packets import ViewerCarrier
from gpuview.protocol.stats import ViewerStats

if TYPE_CHECKING:
    from gpuview.media.cluster.grid import Grid

__all__ = ["GridViewer"]

_ROUND_S = 0.5
"""How long a round waits for the keyframes of all tiles."""


class GridViewer:
    """Sends the ranks of one grid to one view, from its construction to `close`.

    Each rank begins when the page has said how large its tile is. The ranks that are there share
    the link evenly, and each tile has a queue of its own, so that one of them delays no other.

    Args:
        view: The view's id.
        carrier: How it is reached.
        codec: What its page decodes.
        connection: The way to it; closed together with this.
        channel: What its page says of itself.
        grid: The source of its packets.
        acknowledged_every_s: As for `CarrierLink`.
        on_failure: Called once, with what ended the sending.
    """

    def __init__(
        self,
        view: str,
        carrier: ViewerCarrier,
        codec: Codec,
        *,
        connection: AnyConnection,
        channel: PageChannel,
        grid: Grid,
        acknowledged_every_s: float,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.view = view
        self.carrier: ViewerCarrier = carrier
        self._codec = codec
        self._connection = connection
        self._channel = channel
        self._grid = grid
        self._outlet = Outlet(
            connection,
            carrier,
            ceiling_bps=grid.max_bitrate_bps,
            acknowledged_every_s=acknowledged_every_s,
            on_change=self._tell_room,
        )
        self._tiers: dict[int, Tier] = {}  # that the page wants, also of ranks that are not there
        self._members = {tier: Member(tier) for tier in Tier}  # of all its tiles: they share a link
        self._tiles: dict[int, _Tile] = {}
        self._due: dict[int, None] = {}  # the ranks that have packets, in their order
        self._has_packets = asyncio.Event()
        connection.on_room = self._outlet.have_room
        grid.viewers.add(self)
        self._tasks = BackgroundTasks()
        self._tasks.spawn(self._send_packets(), on_failure)

    @property
    def is_paused(self) -> bool:
        """Whether its page wants no picture now."""
        return self._channel.is_paused

    def follow_paused(self) -> None:
        """Send what its page wants now."""
        for rank, tile in self._tiles.items():
            fanout = self._grid.fanouts[rank]
            follow = fanout.pause if self.is_paused else fanout.resume
            follow(tile)

    def want_tier(self, tier: Tier, ranks: Sequence[int]) -> None:
        """Send pictures of these ranks in this size from now on."""
        for rank in ranks:
            if len(self._tiers) >= MAX_RANKS and rank not in self._tiers:
                continue
            self._tiers[rank] = tier
            if (fanout := self._grid.fanouts.get(rank)) is not None:
                self.show(rank, fanout)

    def show(self, rank: int, fanout: Fanout) -> None:
        """Send a rank as well, if it is known how large."""
        tier = self._tiers.get(rank)
        if tier is None:
            return
        if (tile := self._tiles.get(rank)) is not None:
            if tile.member.tier is not tier:
                tile.member = self._members[tier]
                fanout.move(tile, tier)
            return
        self._tiles[rank] = fanout.add(
            self._codec,
            partial(_Tile, member=self._members[tier], on_packet=partial(self._note_packet, rank)),
        )
        if self.is_paused:
            fanout.pause(self._tiles[rank])
        self._outlet.link.set_tiles(len(self._tiles))
        self._tell_room(time.monotonic())

    def drop(self, rank: int) -> None:
        """Send a rank no more. If it comes back, its tile has the size that it had."""
        if (tile := self._tiles.pop(rank, None)) is not None:
            self._grid.fanouts[rank].unsubscribe(tile)
            self._due.pop(rank, None)
            self._outlet.link.set_tiles(len(self._tiles))

    def take_received(self, message: Received) -> None:
        """Learn what has arrived."""
        self._outlet.take_received(message)

    def request_keyframe(self, rank: int) -> None:
        """Act on the page's request for a keyframe of one tile."""
        if (tile := self._tiles.get(rank)) is not None:
            tile.request_keyframe()

    def set_ceiling(self, max_bitrate_bps: int) -> None:
        """Never send more than this from now on."""
        self._outlet.link.set_ceiling(max_bitrate_bps)

    def check(self, now_s: float) -> None:
        """Do nothing: the connection is watched for silence, whether or not it is sent a stream."""

    async def close(self) -> None:
        """End the connection and unsubscribe from the workers. Safe to call twice."""
        self._grid.viewers.discard(self)
        for rank in list(self._tiles):
            self.drop(rank)
        self._connection.close()
        await self._tasks.cancel()

    def stats(self) -> ViewerStats:
        tiers = {each.tier for each in self._tiles.values()}
        return self._outlet.stats(
            self.view,
            self._codec,
            tier=tiers.pop() if len(tiers) == 1 else None,
            n_dropped=sum(each.n_dropped for each in self._tiles.values()),
            channel=self._channel,
        )

    async def _send_packets(self) -> None:
        while True:
            needs_keyframe = await self._outlet.wait_for_room()
            if needs_keyframe and self._tiles and not self.is_paused:
                await self._send_round()
            else:
                self._send(*await self._next())

    async def _send_round(self) -> None:
        """Send a keyframe of each tile that has one soon, to a page that does not answer now.

        One that comes later is kept for the next round.
        """
        for tile in self._tiles.values():
            if not tile.begins_with_keyframe and not tile.awaits_keyframe:
                tile.begin_again()
                tile.request_keyframe()
        waiting = set(self._tiles)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ROUND_S):
                while waiting & self._tiles.keys() and self._has_room:
                    rank, packet = await self._next(waiting)
                    waiting.discard(rank)
                    self._send(rank, packet)

    @property
    def _has_room(self) -> bool:
        return self._connection.has_room and not self._outlet.link.is_full

    def _send(self, rank: int, packet: Packet) -> None:
        self._outlet.send(packet, self._codec.name, tile=rank)

    async def _next(self, among: Container[int] | None = None) -> tuple[int, Packet]:
        """Wait for a packet of any of these tiles, or of all; those that have some take turns."""
        while True:
            while (rank := self._first_due(among)) is not None:
                del self._due[rank]
                packet = self._tiles[rank].take()
                if packet is not None:
                    self._due[rank] = None
                    return rank, packet
            self._has_packets.clear()
            await self._has_packets.wait()

    def _first_due(self, among: Container[int] | None) -> int | None:
        return next((each for each in self._due if among is None or each in among), None)

    def _note_packet(self, rank: int) -> None:
        self._due.setdefault(rank)
        self._has_packets.set()

    def _tell_room(self, now_s: float) -> None:
        link, n_ranks = self._outlet.link, max(len(self._grid.present), 1)
        for member in self._members.values():
            member.report(link.target_bps / n_ranks, link.free_s(now_s), now_s)

    def __repr__(self) -> str:
        return f"<GridViewer {self.view} {self.carrier} {self._codec} tiles={len(self._tiles)}>"


class _Tile(Subscription):
    """One rank's queue of packets; says when one waits in it."""

    def __init__(
        self,
        codec: Codec,
        request: Callable[[float], None],
        *,
        member: Member,
        on_packet: Callable[[], None],
    ) -> None:
        super().__init__(codec, request, fixed_tier=member.tier)
        self.member = member
        self._on_packet = on_packet

    def put(self, packet: Packet) -> None:
        super().put(packet)
        self._on_packet()
