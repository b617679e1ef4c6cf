"""A grid of ranks: real media processes, one connection for all that a page shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpuview.protocol.carrier_messages import RequestKeyframe, Tile, Tiles
from gpuview.protocol.media_messages import CloseStream
from gpuview.protocol.page_messages import Offer, Ping, Pong, Refusal
from gpuview.testing.carrier_page import CarrierPage
from tests.media.cluster.machines import (
    HEIGHT,
    WIDTH,
    NotebookMachine,
    WorkerMachine,
    wait_for_colour,
    wait_for_views,
)
from tests.waiting import wait_until

RANKS = range(64)
COLOURS = ((200, 40, 90), (10, 200, 100), (90, 90, 10), (30, 60, 220))


@contextlib.contextmanager
def grid_of(folder: Path, *ranks: int) -> Iterator[NotebookMachine]:
    """Give a notebook whose stream ``grid`` shows these ranks, or all."""
    with NotebookMachine(folder) as notebook:
        notebook.say(CloseStream())  # the usual stream of rank 0
        notebook.show("grid", None, ranks)
        yield notebook


@contextlib.contextmanager
def worker_of(notebook: NotebookMachine, rank: int) -> Iterator[WorkerMachine]:
    with WorkerMachine(notebook.joining(rank=rank, world_size=4)) as worker:
        worker.colour = COLOURS[rank]
        wait_until(lambda: rank in notebook.present_of("grid"), f"rank {rank} is there")
        yield worker


@contextlib.contextmanager
def two_ranks_of(folder: Path) -> Iterator[tuple[CarrierPage, list[WorkerMachine]]]:
    """Give a page of a grid, and the workers of its ranks 0 and 1."""
    with (
        grid_of(folder) as notebook,
        worker_of(notebook, 0) as first,
        worker_of(notebook, 1) as second,
        notebook.page("grid") as page,
    ):
        yield page, [first, second]


def watch(page: CarrierPage, codec: str = "H264") -> None:
    page.watch(codec)
    page.want_tier(1, RANKS)


def tiles_of(page: CarrierPage) -> list[Tile]:
    """Return the tiles as the page was told last."""
    told = [each for each in page.messages if isinstance(each, Tiles)]
    return told[-1].tiles if told else []


def sizes_of(page: CarrierPage, rank: int) -> list[tuple[int, int]]:
    return [(each.width, each.height) for each in page.headers if each.tile == rank]


def test_every_rank_plays_over_one_connection_and_is_encoded_once(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        notebook = stack.enter_context(grid_of(tmp_path))
        workers = [stack.enter_context(worker_of(notebook, rank)) for rank in range(3)]
        pages = [stack.enter_context(notebook.page("grid")) for _ in range(2)]
        for page in pages:
            watch(page)
        for rank in range(3):
            for page in pages:
                wait_for_colour(page, COLOURS[rank], tile=rank)
        wait_for_views(workers, 1, 1, 1)
        for page in pages:
            assert [each.seq for each in page.headers] == list(range(len(page.headers)))
            assert [(each.rank, each.text) for each in tiles_of(page)] == [
                (rank, "waiting for its first frame") for rank in range(3)
            ]  # these workers have no kernel, which would say more
            page.wait_for(
                lambda page=page: (
                    {(each.width, each.height) for each in tiles_of(page)} == {(WIDTH, HEIGHT)}
                ),
                "all sizes are known",
            )


def test_nothing_is_sent_before_the_page_has_said_how_large_its_tiles_are(tmp_path: Path) -> None:
    with (
        grid_of(tmp_path) as notebook,
        worker_of(notebook, 0) as worker,
        notebook.page("grid") as page,
    ):
        page.watch()
        page.say(Ping(sent_ms=1))
        page.hear(Pong)
        assert page.headers == []
        assert worker.views == []
        page.want_tier(4, RANKS)
        page.frames_after(3)
        assert set(sizes_of(page, 0)) == {(WIDTH // 4, HEIGHT // 4)}


def test_tiles_that_grow_get_larger_pictures_and_the_small_ones_end(tmp_path: Path) -> None:
    with two_ranks_of(tmp_path) as (page, workers):
        page.watch()
        page.want_tier(4, RANKS)
        for rank in range(2):
            page.frames_after(2, tile=rank)
        page.want_tier(2, RANKS)
        for rank in range(2):
            page.wait_for(
                lambda rank=rank: sizes_of(page, rank)[-1] == (WIDTH // 2, HEIGHT // 2),
                f"rank {rank} is larger",
            )
            before, *_, last = sorted(set(sizes_of(page, rank)))
            assert (before, last) == ((WIDTH // 4, HEIGHT // 4), (WIDTH // 2, HEIGHT // 2))
        wait_for_views(workers, 1, 1)  # one size


def test_each_rank_comes_in_the_size_that_its_tile_needs(tmp_path: Path) -> None:
    with two_ranks_of(tmp_path) as (page, workers):
        page.watch()
        page.want_tier(4, [0])
        page.want_tier(1, [1])
        for rank in range(2):
            page.frames_after(3, tile=rank)
        assert set(sizes_of(page, 0)) == {(WIDTH // 4, HEIGHT // 4)}
        assert set(sizes_of(page, 1)) == {(WIDTH, HEIGHT)}
        page.want_tier(2, [0])
        page.wait_for(
            lambda: sizes_of(page, 0)[-1] == (WIDTH // 2, HEIGHT // 2), "rank 0 is larger"
        )
        assert set(sizes_of(page, 1)) == {(WIDTH, HEIGHT)}
        wait_for_views(workers, 1, 1)


def test_rank_that_joins_later_appears_by_itself(tmp_path: Path) -> None:
    with (
        grid_of(tmp_path) as notebook,
        worker_of(notebook, 2),
        notebook.page("grid") as page,
    ):
        watch(page)
        wait_for_colour(page, COLOURS[2], tile=2)
        assert [each.rank for each in tiles_of(page)] == [2]
        with worker_of(notebook, 1):
            wait_for_colour(page, COLOURS[1], tile=1)
            assert [each.rank for each in tiles_of(page)] == [1, 2]
            page.frames_after(3, tile=2)


def test_worker_that_dies_is_missed_in_its_tile_and_plays_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    with (
        grid_of(tmp_path) as notebook,
        worker_of(notebook, 0),
        worker_of(notebook, 1) as worker,
        notebook.page("grid") as page,
    ):
        watch(page)
        for rank in range(2):
            wait_for_colour(page, COLOURS[rank], tile=rank)
        worker.colour = COLOURS[3]
        worker.kill_only()
        page.wait_for(lambda: tiles_of(page)[1].silent_since, "rank 1 is silent")
        assert tiles_of(page)[0].silent_since is None
        page.frames_after(5, tile=0)
        worker.begin_again()
        wait_for_colour(page, COLOURS[3], tile=1)
        wait_until(lambda: tiles_of(page)[1].silent_since is None, "rank 1 is there again")


def test_chosen_ranks_are_shown_before_they_join_and_no_others(tmp_path: Path) -> None:
    with grid_of(tmp_path, 3, 1) as notebook, worker_of(notebook, 0) as other:
        with notebook.page("grid") as page:
            page.wait_for(lambda: [each.rank for each in tiles_of(page)] == [1, 3], "both tiles")
            assert {each.text for each in tiles_of(page)} == {"has not joined yet"}
        with worker_of(notebook, 1), notebook.page("grid") as page:
            watch(page)
            wait_for_colour(page, COLOURS[1], tile=1)
            assert [(each.rank, each.host, each.text) for each in tiles_of(page)] == [
                (1, "node7", "waiting for its first frame"),
                (3, "", "has not joined yet"),
            ]
            assert other.views == []
            assert {each.tile for each in page.headers} == {1}


def test_grid_stands_beside_a_stream_of_one_of_its_ranks(tmp_path: Path) -> None:
    with grid_of(tmp_path) as notebook, worker_of(notebook, 0) as worker:
        notebook.show("s2", 0)
        with notebook.page("grid") as grid, notebook.page("s2") as single:
            watch(grid)
            single.watch()
            wait_for_colour(grid, COLOURS[0])
            wait_for_colour(single, COLOURS[0])
            wait_for_views([worker], 2)
            notebook.say(CloseStream(), stream="grid")
            wait_for_views([worker], 1)  # the grid watches no more
            single.frames_after(5)


def test_page_that_looks_away_is_sent_nothing_and_then_all_tiles(tmp_path: Path) -> None:
    with (
        grid_of(tmp_path) as notebook,
        worker_of(notebook, 0) as worker,
        notebook.page("grid") as page,
    ):
        watch(page)
        page.frames_after(2)
        page.say(Ping(sent_ms=1, is_paused=True))
        wait_until(lambda: worker.views == [], "nobody watches")
        with worker_of(notebook, 1) as late:
            assert late.views == []
            page.say(Ping(sent_ms=2))
            for rank in range(2):
                page.frames_after(2, tile=rank)


def test_keyframe_is_made_for_the_tile_that_asks(tmp_path: Path) -> None:
    def keyframes(page: CarrierPage, rank: int) -> int:
        return sum(each.is_keyframe for each in page.headers if each.tile == rank)

    with two_ranks_of(tmp_path) as (page, _):
        watch(page)
        for rank in range(2):
            page.frames_after(3, tile=rank)
        before = [keyframes(page, rank) for rank in range(2)]
        page.say(RequestKeyframe(tile=1))
        page.wait_for(lambda: keyframes(page, 1) > before[1], "a keyframe of rank 1")
        assert keyframes(page, 0) == before[0]


def test_page_without_webcodecs_gets_images(tmp_path: Path) -> None:
    with (
        grid_of(tmp_path) as notebook,
        worker_of(notebook, 1),
        notebook.page("grid") as page,
    ):
        watch(page, "JPEG")
        wait_for_colour(page, COLOURS[1], tile=1)
        assert {each.codec for each in page.headers} == {"JPEG"}


def test_grid_is_not_sent_by_webrtc(tmp_path: Path) -> None:
    with grid_of(tmp_path) as notebook, notebook.page("grid") as page:
        page.say(Offer(view=page.view, seq=1, sdp="v=0"))
        refusal = page.hear(Refusal)
        assert isinstance(refusal, Refusal)
        assert "WebRTC" in refusal.problem
