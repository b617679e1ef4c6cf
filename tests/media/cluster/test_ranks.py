"""Several streams of one run: each shows a rank of its own, and they share the workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from gpuview.protocol.cluster_messages import JoinChanged, Joined, JoinRefused
from gpuview.protocol.interaction_messages import Interaction, SetKnob
from gpuview.protocol.local_socket import BINARY
from gpuview.protocol.media_messages import CloseStream
from gpuview.protocol.page_messages import Status
from gpuview.protocol.worker_channels import ChannelMessage
from gpuview.testing.carrier_page import CarrierPage
from tests.media.cluster.machines import (
    NotebookMachine,
    WorkerMachine,
    assert_goes_on,
    assert_shows,
    wait_for_colour,
    wait_for_views,
)
from tests.media.cluster.streams import Notebook, RawWorker, WorkerSide
from tests.media.streaming import Streaming, elsewhere
from tests.waiting import wait_until, wait_until_async

COLOURS = ((200, 40, 90), (10, 200, 100), (90, 90, 10))


@contextlib.contextmanager
def two_streams(
    folder: Path, n_workers: int = 2
) -> Iterator[tuple[NotebookMachine, list[WorkerMachine]]]:
    """Give a notebook whose streams ``s1`` and ``s2`` show ranks 0 and 1, and the run's workers."""
    with contextlib.ExitStack() as stack:
        notebook = stack.enter_context(NotebookMachine(folder))
        notebook.show("s2", 1)
        workers = [
            stack.enter_context(WorkerMachine(notebook.joining(rank=rank, world_size=n_workers)))
            for rank in range(n_workers)
        ]
        for worker, colour in zip(workers, COLOURS, strict=False):
            worker.colour = colour
        for stream in ("s1", "s2"):
            wait_until(
                partial(lambda stream: len(notebook.present_of(stream)) == n_workers, stream),
                f"{stream} is told of all workers",
            )
        yield notebook, workers


def test_each_stream_shows_its_rank_and_nothing_is_encoded_for_the_others(tmp_path: Path) -> None:
    with two_streams(tmp_path, n_workers=3) as (notebook, workers):
        with notebook.page("s1") as first:
            first.watch()
            wait_for_colour(first, COLOURS[0])
            wait_for_views(workers, 1, 0, 0)
            with notebook.page("s2") as second:
                second.watch()
                wait_for_colour(second, COLOURS[1])
                wait_for_views(workers, 1, 1, 0)
                assert_goes_on(second)
            wait_until(lambda: workers[1].views == [], "nobody watches rank 1")
            assert_shows(first.frames_after(5), COLOURS[0])
            assert_goes_on(first)
        wait_until(lambda: workers[0].views == [], "nobody watches rank 0")


def test_stream_that_is_closed_leaves_the_other_and_its_worker_for_the_next_one(
    tmp_path: Path,
) -> None:
    with two_streams(tmp_path) as (notebook, workers), notebook.page("s1") as first:
        first.watch()
        with notebook.page("s2") as second:
            second.watch()
            wait_for_colour(second, COLOURS[1])
            notebook.say(CloseStream(), stream="s2")
            wait_until(lambda: workers[1].views == [], "nobody watches rank 1")
        assert workers[1].is_joined
        wait_for_colour(first, COLOURS[0])
        notebook.show("s3", 1)
        with notebook.page("s3") as third:
            third.watch()
            wait_for_colour(third, COLOURS[1])
        wait_until(lambda: notebook.present_of("s3") == [0, 1], "both are there")
        assert_shows(first.frames_after(5), COLOURS[0])
        assert_goes_on(first)
        for worker in workers:  # none had to join again
            assert sum(isinstance(each, JoinChanged) for _, each in worker.said) == 1
        notebook.say(CloseStream(), stream="s3")
        notebook.say(CloseStream(), stream="s1")
        wait_until(lambda: not any(each.is_joined for each in workers), "all are sent away")


def test_worker_that_dies_is_missed_in_its_own_stream_while_the_other_plays(
    tmp_path: Path,
) -> None:
    with (
        two_streams(tmp_path) as (notebook, workers),
        notebook.page("s1") as first,
        notebook.page("s2") as second,
    ):
        first.watch()
        second.watch()
        wait_for_colour(first, COLOURS[0])
        wait_for_colour(second, COLOURS[1])
        workers[1].colour = COLOURS[2]
        workers[1].start_again()
        wait_for_colour(second, COLOURS[2])
        assert_shows(first.frames_after(5), COLOURS[0])
        assert sum(each.is_keyframe for each in second.headers) >= 2
        for page in (first, second):
            assert_goes_on(page)
        wait_for_views(workers[:1], 1)


def run(folder: Path, use: Callable[[Notebook, WorkerSide], Awaitable[None]]) -> None:
    """Run with a notebook that shows ranks 0 and 1, and a worker of rank 0."""

    async def live() -> None:
        for name in ("notebook", "worker"):
            (folder / name).mkdir()
        notebook = Notebook(folder / "notebook")
        notebook.open_run("s2", "run1", notebook.worker_keys, 1)
        stream = Streaming(folder / "worker")
        worker = WorkerSide(stream, notebook.joining())
        try:
            await wait_until_async(lambda: notebook.present == [0], "it has joined")
            await use(notebook, worker)
        finally:
            worker.playing.cancel()
            await stream.close()
            await notebook.close()

    asyncio.run(live())


@contextlib.asynccontextmanager
async def watching(notebook: Notebook, stream: str) -> AsyncIterator[CarrierPage]:
    page = await elsewhere(notebook.page, stream)
    try:
        page.watch()
        yield page
    finally:
        await elsewhere(page.close)


def test_worker_that_lies_ends_its_own_stream_s_session_only(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as liar:
            async with watching(notebook, "s1") as page:
                await elsewhere(page.frames_after, 3)
                liar.join(rank=1)
                await liar.hear(Joined)
                liar.send(*ChannelMessage(99, BINARY, b"nobody has asked").pack())
                await liar.hear(JoinRefused)
                await wait_until_async(
                    lambda: "rank 1 on node9 has sent" in problem_of(notebook, "s2"),
                    "the stream of its rank is told why",
                )
                await wait_until_async(
                    lambda: [each.silent_s is None for each in notebook.workers()] == [True, False],
                    "the other one is told that it has gone",
                )
                await elsewhere(page.frames_after, 5)
                assert not any(each.problem for each in notebook.changes("s1"))

    run(tmp_path, use)


def test_why_a_worker_of_a_rank_without_a_stream_is_refused_is_told_to_all(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as stray:
            stray.join(rank=2, run="run2")
            for stream in ("s1", "s2"):
                await wait_until_async(
                    partial(lambda stream: "run2" in problem_of(notebook, stream), stream),
                    f"{stream} is told why",
                )
        with RawWorker(notebook, notebook.worker_keys) as other:
            other.join(rank=1)
            for stream in ("s1", "s2"):
                await wait_until_async(
                    partial(lambda stream: not problem_of(notebook, stream), stream),
                    f"{stream} is told that one was let in",
                )

    run(tmp_path, use)


def problem_of(notebook: Notebook, stream: str) -> str:
    """Return why the last worker was refused, as a stream was told."""
    told = notebook.changes(stream)
    return told[-1].problem.problem if told and told[-1].problem else ""


def test_what_a_worker_s_stream_does_is_told_to_the_stream_of_its_rank(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        failed = Status(state="error", part="source", problem="division by zero")
        worker.stream.streams.receive("s1", failed, [])
        worker.stream.streams.receive("s1", Interaction(events=["wheel"]), [])
        await wait_until_async(
            lambda: notebook.workers()[0].interaction and notebook.workers()[0].status == failed,
            "it is told",
        )
        with RawWorker(notebook, notebook.worker_keys) as other:
            other.join(rank=2)
            await wait_until_async(
                lambda: [each.rank for each in notebook.workers("s2")] == [0, 2],
                "the stream of another rank is told of all workers",
            )
        assert [each.status for each in notebook.workers("s2")] == [None, None]
        turned = SetKnob(view="v2", name="lr", value=0.1)
        notebook.streams.receive("s2", turned, [])
        own = SetKnob(view="v1", name="lr", value=0.2)
        notebook.streams.receive("s1", own, [])
        await wait_until_async(lambda: ("s1", own) in worker.stream.said, "the worker hears it")
        assert ("s1", turned) not in worker.stream.said
        # A stream that is opened later is told at once, and in full.
        notebook.streams.receive("s1", CloseStream(), [])
        notebook.open_run("s3", "run1", notebook.worker_keys, 0)
        await wait_until_async(
            lambda: [each.status for each in notebook.workers("s3")] == [failed, None], "it is told"
        )

    run(tmp_path, use)
