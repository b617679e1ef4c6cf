"""A grid of ranks in a real kernel, with real workers; the page is one without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gpuview.protocol.carrier_messages import Tile, Tiles
from gpuview.protocol.interaction_messages import SetKnob
from gpuview.testing.carrier_page import CarrierPage, connect
from gpuview.testing.kernel import Kernel
from tests.cluster.jobs import StartJob
from tests.cluster.worker import rank_of
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SHOW = """
from gpuview import GPUStream
stream = GPUStream.remote("run1", ranks={!r})
display(stream)
environment = stream.join()
"""
N_RANKS = 4


def show(kernel: Kernel, ranks: object) -> dict[str, str]:
    kernel.run(SHOW.format(ranks), cell_id="cell")
    environment: dict[str, str] = kernel.evaluate("environment")
    return environment


@contextmanager
def page_of(kernel: Kernel, n_workers: int) -> Iterator[CarrierPage]:
    """Give a page that watches the grid, once so many workers are there: it says nothing before
    it is sent something, and would be taken for gone."""
    kernel.wait_until(f"len(stream.workers) == {n_workers}", timeout_s=120.0)
    with connect(kernel.socket_path, kernel.evaluate("stream._handle.name")) as page:
        page.watch()
        page.want_tier(1, range(16))
        yield page


def tiles_of(page: CarrierPage) -> list[Tile]:
    told = [each for each in page.messages if isinstance(each, Tiles)]
    return told[-1].tiles if told else []


def is_silent(page: CarrierPage, rank: int) -> bool:
    return tiles_of(page)[rank].silent_since is not None


def wait_for_rank(page: CarrierPage, rank: int) -> None:
    """Wait until the tile of a rank shows that rank's picture."""
    assert rank_of(page.frames_after(1, tile=rank, timeout_s=120.0)) == rank


def test_four_ranks_play_and_one_that_is_killed_is_missed_and_returns(
    kernel: Kernel, start_job: StartJob
) -> None:
    environment = show(kernel, "all")
    envs = [{**environment, "RANK": str(rank), "WORLD_SIZE": "4"} for rank in range(N_RANKS)]
    jobs = [start_job(env=env) for env in envs]
    with page_of(kernel, N_RANKS) as page:
        for rank in range(N_RANKS):
            wait_for_rank(page, rank)
        kernel.wait_until("stream.status['state'] == 'live'")
        page.wait_for(lambda: {each.text for each in tiles_of(page)} == {""}, "no tile complains")

        jobs[3].kill()
        page.wait_for(lambda: is_silent(page, 3), "rank 3 is missed")
        for rank in range(3):
            wait_for_rank(page, rank)
        wait_until(lambda: jobs[0].said("is_watched")[-1], "its own side knows that it is watched")

        start_job(env=envs[3]).wait_for("pid")
        page.wait_for(lambda: not is_silent(page, 3), "rank 3 is back", timeout_s=120.0)
        wait_for_rank(page, 3)
    for job in jobs[:3]:
        wait_until(lambda job=job: not job.said("is_watched")[-1], "nobody watches")


def test_chosen_ranks_only_are_shown_and_encoded(kernel: Kernel, start_job: StartJob) -> None:
    environment = show(kernel, [1, 2])
    jobs = [start_job(env={**environment, "RANK": str(rank)}) for rank in range(2)]
    with page_of(kernel, 2) as page:
        wait_for_rank(page, 1)
        page.wait_for(
            lambda: (
                [(each.rank, each.text) for each in tiles_of(page)]
                == [(1, ""), (2, "has not joined yet")]
            ),
            "rank 2 is waited for",
        )
        assert not any(jobs[0].said("is_watched"))
        assert {each.tile for each in page.headers} == {1}


def test_knob_that_is_turned_on_a_grid_reaches_every_rank(
    kernel: Kernel, start_job: StartJob
) -> None:
    environment = show(kernel, "all")
    jobs = [start_job(env={**environment, "RANK": str(rank)}) for rank in range(2)]
    with page_of(kernel, 2) as page:
        for rank in range(2):
            wait_for_rank(page, rank)
        kernel.wait_until("[each['name'] for each in stream.interaction['knobs']] == ['rate']")
        page.say(SetKnob(view=page.view, name="rate", value=0.75))
        for job in jobs:
            wait_until(lambda job=job: job.said("rate")[-1] == 0.75, "each rank has the value")
