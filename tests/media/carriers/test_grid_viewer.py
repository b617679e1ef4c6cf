"""What one view of a grid costs, and how it shares out its link."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from gpuview.media.carriers import grid_viewer, link
from gpuview.media.carriers.grid_viewer import GridViewer
from gpuview.media.cluster.grid import Grid
from gpuview.media.cluster.remote_encodes import RemoteEncodes
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.tiers import Member, Tier
from gpuview.media.page_channel import PageChannel
from gpuview.protocol.carrier_messages import Received
from gpuview.protocol.carrier_packets import PacketHeader, ViewerCarrier
from gpuview.protocol.page_messages import Message
from tests.waiting import wait_until_async

MAIN = Codec("H264", "Main")
CEILING_BPS = 8_000_000


class Page:
    """An `AnyConnection` that takes everything."""

    is_open = has_room = True
    unsent_nbytes = 0

    def __init__(self) -> None:
        self.on_room: Callable[[], None] = lambda: None
        self.headers: list[PacketHeader] = []

    @property
    def n_packets(self) -> int:
        return len(self.headers)

    def send(self, message: Message) -> None:
        raise AssertionError("a viewer says nothing")

    def send_binary(self, content: bytes) -> None:
        self.headers.append(PacketHeader.parse(content))

    def close(self) -> None:
        self.is_open = False


def run(
    use: Callable[[Grid, GridViewer, Page], Awaitable[None]],
    n_ranks: int,
    carrier: ViewerCarrier = "socket",
) -> None:
    """Run with a page that is sent a grid of ranks without workers."""

    async def live() -> None:
        grid, page = Grid(max_bitrate_bps=CEILING_BPS, encoder="auto"), Page()
        for rank in range(n_ranks):
            grid.encodes_of(rank)
        viewer = GridViewer(
            "v",
            carrier,
            MAIN,
            connection=page,
            channel=PageChannel(lambda: (0, 0), lambda: None, lambda: None),
            grid=grid,
            acknowledged_every_s=0.02,
            on_failure=lambda _: None,
        )
        viewer.want_tier(Tier.FULL, range(n_ranks))
        try:
            await use(grid, viewer, page)
        finally:
            await viewer.close()
            grid.close()

    asyncio.run(live())


def deliver(grid: Grid, rank: int, *, is_keyframe: bool = True) -> None:
    """Bring a packet of a rank."""
    packet = Packet(
        b"x" * 100, [], 1, 1, is_keyframe=is_keyframe, width=64, height=48, quantiser=30
    )
    grid.fanouts[rank]._deliver(MAIN, Tier.FULL, packet)


def test_what_the_link_takes_is_reported_once_for_a_size_however_many_tiles_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[float] = []
    report = Member.report

    def note(member: Member, target_bps: float, free_s: float, now_s: float) -> None:
        reports.append(target_bps)
        report(member, target_bps, free_s, now_s)

    async def use(grid: Grid, viewer: GridViewer, page: Page) -> None:
        deliver(grid, 5)
        await wait_until_async(lambda: page.n_packets == 1, "it is sent")
        monkeypatch.setattr(Member, "report", note)
        viewer.take_received(Received(seq=0, arrived_ms=[1.0]))
        assert len(reports) == len(Tier)
        wanted = [fanout._groups[MAIN].demand(Tier.FULL) for fanout in grid.fanouts.values()]
        assert {each.target_bps for each in wanted} == set(reports)

    run(use, 32)


def test_ranks_that_have_gone_leave_the_link_to_those_that_are_there() -> None:
    async def use(grid: Grid, viewer: GridViewer, page: Page) -> None:
        grid.present.update(range(4))
        viewer.take_received(Received(seq=-1, arrived_ms=[]))
        wanted = grid.fanouts[0]._groups[MAIN].demand(Tier.FULL)
        assert wanted.target_bps * 4 == viewer.stats().estimate_bps

    run(use, 64)


def test_rank_that_is_dropped_is_sent_no_more_and_comes_back_as_a_new_one() -> None:
    async def use(grid: Grid, viewer: GridViewer, page: Page) -> None:
        deliver(grid, 0)
        grid.drop(0)
        deliver(grid, 1)
        await wait_until_async(lambda: page.n_packets == 1, "rank 1 is sent")
        viewer.take_received(Received(seq=0, arrived_ms=[1.0]))
        grid.encodes_of(0)
        deliver(grid, 0)
        await wait_until_async(lambda: page.n_packets == 2, "rank 0 is sent again")

    run(use, 2)


def test_page_that_does_not_answer_gets_a_keyframe_of_each_tile_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_DEAF_S", 0.05)
    requested: set[RemoteEncodes] = set()
    monkeypatch.setattr(RemoteEncodes, "request_keyframe", lambda self, *_: requested.add(self))

    async def make_packets(grid: Grid) -> None:
        while True:
            for rank in range(3):
                is_due = grid.encodes_of(rank) in requested
                requested.discard(grid.encodes_of(rank))
                deliver(grid, rank, is_keyframe=is_due)
            await asyncio.sleep(0.005)

    async def use(grid: Grid, viewer: GridViewer, page: Page) -> None:
        for rank in range(3):
            deliver(grid, rank)
        making = asyncio.create_task(make_packets(grid))
        await wait_until_async(
            lambda: len(page.headers) > 12 and all(each.is_keyframe for each in page.headers[-9:]),
            "there were three rounds",
        )
        making.cancel()
        n_of = Counter(each.tile for each in page.headers[-9:])
        assert min(n_of[rank] for rank in range(3)) >= 2  # a fourth round may be under way

    run(use, 3, "comm")


def test_keyframe_that_comes_late_is_sent_in_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_DEAF_S", 0.05)
    monkeypatch.setattr(grid_viewer, "_ROUND_S", 0.01)
    requested: set[RemoteEncodes] = set()
    monkeypatch.setattr(RemoteEncodes, "request_keyframe", lambda self, *_: requested.add(self))

    async def make_packets(grid: Grid) -> None:
        ages = [0, 0]  # of the requests, in steps of 5 ms
        while True:
            for rank, least in enumerate((0, 5)):  # rank 1 is too late for the round
                encodes = grid.encodes_of(rank)
                is_due = encodes in requested and ages[rank] >= least
                ages[rank] = ages[rank] + 1 if encodes in requested and not is_due else 0
                if is_due:
                    requested.discard(encodes)
                deliver(grid, rank, is_keyframe=is_due)
            await asyncio.sleep(0.005)

    async def use(grid: Grid, viewer: GridViewer, page: Page) -> None:
        making = asyncio.create_task(make_packets(grid))
        await wait_until_async(
            lambda: (
                len(page.headers) > 9
                and all(each.is_keyframe for each in page.headers[-6:])
                and Counter(each.tile for each in page.headers[-6:])[1] >= 2
            ),
            "both ranks are sent",
        )
        making.cancel()

    run(use, 2, "comm")


def test_page_that_does_not_answer_may_lose_all_its_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_DEAF_S", 0.0)
    monkeypatch.setattr(grid_viewer, "_ROUND_S", 0.001)
    monkeypatch.setattr(link, "_LONGEST_UNHEARD_S", -1.0)  # nothing but keyframes, from the second

    async def use(grid: Grid, viewer: GridViewer, page: Page) -> None:
        deliver(grid, 0)
        await wait_until_async(lambda: page.n_packets == 1, "it is sent")
        grid.drop(0)
        for _ in range(20):  # rounds; the event loop must go on
            await asyncio.sleep(0.001)
        grid.encodes_of(0)
        deliver(grid, 0)
        await wait_until_async(lambda: page.n_packets == 2, "it is sent again")

    run(use, 1, "comm")
