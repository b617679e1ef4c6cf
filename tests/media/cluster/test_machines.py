"""A worker's media process and the notebook's, as on two machines, and what viewers see."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from av import VideoFrame

from gpuview.protocol.page_messages import Answer, Offer, PeerConfig
from gpuview.testing.carrier_page import CarrierPage
from gpuview.testing.connection import Connection
from gpuview.testing.peer import to_rgb
from tests.media.cluster.machines import (
    NotebookMachine,
    Proxy,
    WorkerMachine,
    assert_goes_on,
    assert_shows,
    wait_for_colour,
    wait_for_views,
)
from tests.waiting import wait_until, wait_until_async


@pytest.mark.parametrize("codec", ["H264", "VP8", "JPEG"])
def test_page_shows_the_worker_s_pixels_and_nothing_passes_without_one(
    tmp_path: Path, codec: str
) -> None:
    with (
        NotebookMachine(tmp_path) as notebook,
        Proxy(notebook.port) as proxy,
        WorkerMachine(notebook.joining(proxy.port)) as worker,
    ):
        wait_until(lambda: notebook.present == [0], "the worker has joined")
        assert worker.views == []
        before = proxy.nbytes
        wait_until(lambda: proxy.nbytes > before, "a pong has passed")
        assert proxy.nbytes - before < 1000
        with notebook.page() as page:
            page.watch(codec)
            assert_shows(page.frames_after(5), worker.colour)
            assert page.headers[0].is_keyframe
            worker.colour = (200, 40, 90)
            wait_for_colour(page, worker.colour)
            wait_for_views([worker], 1)
            assert_goes_on(page)
        wait_until(lambda: worker.views == [], "nobody watches")


def test_viewer_by_webrtc_shows_the_worker_s_pixels(tmp_path: Path) -> None:
    async def watch(notebook: NotebookMachine, colour: tuple[int, int, int], codec: str) -> None:
        frames: list[VideoFrame] = []
        connection = Connection(
            [codec],
            PeerConfig(view="v"),
            is_decoding=True,
            on_frame=lambda _, frame: frames.append(frame) if frame is not None else None,
            on_pong=lambda _: None,
            on_still=lambda _, png: None,
            on_loss=lambda: None,
        )
        try:
            offer = Offer(view=f"v-{codec}", seq=1, sdp=await connection.make_offer())
            notebook.say(offer)
            await wait_until_async(
                lambda: (answer := notebook.last(Answer)) and answer.view == offer.view, "answered"
            )
            answer = notebook.last(Answer)
            assert answer is not None
            await connection.accept(answer.sdp)
            await wait_until_async(lambda: len(frames) >= 10, "ten frames came")
            assert_shows(to_rgb(frames[-1]), colour)
        finally:
            await connection.close()

    with (
        NotebookMachine(tmp_path) as notebook,
        WorkerMachine(notebook.joining()) as worker,
    ):
        for codec in ("H264", "VP8"):
            asyncio.run(watch(notebook, worker.colour, codec))
        wait_until(lambda: worker.views == [], "nobody watches")


def test_view_that_is_there_before_the_worker_shows_it_when_it_comes(tmp_path: Path) -> None:
    with NotebookMachine(tmp_path) as notebook, notebook.page() as page:
        page.watch()
        with WorkerMachine(notebook.joining()) as worker:
            assert_shows(page.frames_after(3), worker.colour)


def test_worker_that_was_killed_and_started_anew_goes_on_in_the_same_view(tmp_path: Path) -> None:
    with (
        NotebookMachine(tmp_path) as notebook,
        WorkerMachine(notebook.joining()) as worker,
        notebook.page() as page,
    ):
        page.watch()
        page.frames_after(5)
        worker.colour = (10, 200, 100)
        worker.start_again()
        wait_for_colour(page, worker.colour)
        assert sum(each.is_keyframe for each in page.headers) >= 2
        assert_goes_on(page)
        assert notebook.present == [0]


def test_death_of_a_worker_is_told_and_since_when(tmp_path: Path) -> None:
    with NotebookMachine(tmp_path) as notebook:
        with WorkerMachine(notebook.joining()) as worker:
            wait_until(lambda: notebook.present == [0], "the worker has joined")
            (told,) = notebook.workers
            assert (told.rank, told.host) == (0, "node7")
            del worker
        wait_until(lambda: notebook.present == [], "its death is told")
        (told,) = notebook.workers
        assert told.silent_s is not None


def test_notebook_whose_media_process_died_is_joined_again(tmp_path: Path) -> None:
    with (
        NotebookMachine(tmp_path) as notebook,
        WorkerMachine(notebook.joining()) as worker,
    ):
        wait_until(lambda: notebook.present == [0], "the worker has joined")
        notebook.start_again()
        with notebook.page() as page:
            page.watch()
            assert_shows(page.frames_after(3), worker.colour)


def test_network_that_is_down_for_a_while_is_noticed_on_both_sides_and_the_view_goes_on(
    tmp_path: Path,
) -> None:
    with (
        NotebookMachine(tmp_path) as notebook,
        Proxy(notebook.port) as proxy,
        WorkerMachine(notebook.joining(proxy.port)) as worker,
        notebook.page() as page,
    ):
        page.watch()
        page.frames_after(5)
        proxy.cut()
        wait_until(lambda: notebook.present == [], "the notebook has noticed")
        wait_until(lambda: not worker.is_joined, "the worker has noticed")
        wait_until(lambda: worker.views == [], "the worker encodes for nobody")
        worker.colour = (90, 90, 10)
        proxy.restore()
        wait_for_colour(page, worker.colour)
        assert_goes_on(page)


def test_network_that_is_down_for_a_moment_costs_no_connection(tmp_path: Path) -> None:
    with (
        NotebookMachine(tmp_path) as notebook,
        Proxy(notebook.port) as proxy,
        WorkerMachine(notebook.joining(proxy.port)) as worker,
        notebook.page() as page,
    ):
        page.watch()
        page.frames_after(5)
        n_before = len(page.headers)
        proxy.cut()
        wait_until(lambda: _stands(page), "no packets come")
        proxy.restore()
        worker.colour = (90, 90, 10)
        wait_for_colour(page, worker.colour)
        assert len(page.headers) > n_before
        assert worker.is_joined
        assert len(notebook.workers) == 1
        assert_goes_on(page)


def _stands(page: CarrierPage) -> bool:
    n_before = len(page.headers)
    try:
        page.wait_for(lambda: len(page.headers) > n_before, "a packet", timeout_s=0.3)
    except Exception:
        return True
    return False
