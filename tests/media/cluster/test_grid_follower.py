"""What a grid of ranks remembers, and what it tells its pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gpuview.media.cluster import rank_roster, runs
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.tiers import Tier
from gpuview.protocol.page_messages import Status
from tests.media.cluster.crowd import Crowd

MAIN = Codec("H264", "Main")


def run(use: Callable[[Crowd], Awaitable[None]]) -> None:
    async def live() -> None:
        crowd = Crowd()
        try:
            await use(crowd)
        finally:
            crowd.close()

    asyncio.run(live())


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let four workers into a run."""
    for module in (rank_roster, runs):
        monkeypatch.setattr(module, "MAX_WORKERS", 4)


@pytest.mark.usefixtures("small_room")
def test_worker_that_comes_as_another_rank_each_time_is_forgotten_as_each_of_them() -> None:
    async def use(crowd: Crowd) -> None:
        for rank in range(20):
            crowd.join(rank)
            crowd.grid.fanouts[rank].subscribe(MAIN, Tier.FULL)
            crowd.leave(rank)
        await crowd.until_told()
        assert [*crowd.grid.fanouts] == [16, 17, 18, 19]
        assert len(crowd.grid.stats()) == 4  # and nobody is asked for what the others had
        crowd.join(0)
        await crowd.until_told()
        assert [each.rank for each in crowd.published[-1].tiles] == [0, 17, 18, 19]
        assert set(crowd.grid.fanouts) == {0, 17, 18, 19}

    run(use)


def test_pages_are_told_of_their_tiles_when_they_change_and_not_each_time_the_kernel_is() -> None:
    async def use(crowd: Crowd) -> None:
        for rank in range(2):
            crowd.join(rank)
        crowd.leave(1)
        await crowd.until_told()
        n_told, n_published = len(crowd.told), len(crowd.published)
        for step in range(3):
            crowd.say(0, Status(state="waiting", made_ms=step))
            await crowd.until_told()
        assert (len(crowd.told), len(crowd.published)) == (n_told + 3, n_published)
        crowd.say(0, Status(state="live"))
        await crowd.until_told()
        assert [each.text for each in crowd.published[-1].tiles] == ["", ""]
        assert len(crowd.published) == n_published + 1

    run(use)


@pytest.mark.usefixtures("small_room")
def test_refused_workers_of_any_number_of_ranks_are_forgotten_but_for_the_newest() -> None:
    async def use(crowd: Crowd) -> None:
        for rank in [*range(20), 17]:
            crowd.join(rank, run="run2")
        assert [*crowd.run._problems] == [16, 18, 19, 17]

    run(use)
