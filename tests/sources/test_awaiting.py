"""Async functions and iterables as sources."""

import asyncio
import functools
import gc
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
import torch

from gpuview.sources.awaiting import Awaiting
from gpuview.sources.context import FrameContexts
from gpuview.sources.parse import parse_source

CONTEXT = FrameContexts().next()


async def picture(value: float = 2.0) -> torch.Tensor:
    await asyncio.sleep(0)
    return torch.full((4, 4), value)


async def pictures() -> AsyncIterator[torch.Tensor]:
    for value in (2.0, 3.0):
        yield await picture(value)


class Camera:
    async def __call__(self) -> torch.Tensor:
        return await picture()


@pytest.mark.parametrize(
    "source",
    [
        picture,
        functools.partial(picture, 2.0),
        lambda: picture(2.0),
        Camera(),
        pictures,
        pictures(),
    ],
    ids=["function", "partial", "lambda", "object", "generator function", "generator"],
)
def test_an_async_source_gives_a_frame(source):
    (next_frame,) = parse_source(source).polled.values()

    assert next_frame(CONTEXT)[0, 0] == 2


def test_an_async_iterable_stops_at_its_end():
    (next_frame,) = parse_source(pictures).polled.values()

    assert [next_frame(CONTEXT)[0, 0].item() for _ in range(2)] == [2, 3]
    with pytest.raises(StopIteration):
        next_frame(CONTEXT)


def test_a_source_has_one_loop_which_goes_on_between_frames():
    ticks = []

    async def tick() -> None:
        while True:
            ticks.append(asyncio.get_running_loop())
            await asyncio.sleep(0)

    async def next_frame() -> object:
        if not ticks:
            next_frame.task = asyncio.create_task(tick())
            await asyncio.sleep(0)
        return asyncio.get_running_loop()

    call = Awaiting(lambda _: next_frame())
    loop = call(CONTEXT)
    assert call(CONTEXT) is loop
    assert set(ticks) == {loop}


def test_a_frame_can_be_awaited_where_a_loop_runs_already():
    call = Awaiting(lambda _: picture())

    async def cell() -> object:
        return call(CONTEXT)

    assert asyncio.run(cell())[0, 0] == 2


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_an_async_source_raises_is_raised_by_the_call_and_the_loop_goes_on(kind):
    async def fails() -> str:
        if errors:
            raise errors.pop()
        return "a frame"

    errors = [kind("no camera")]
    call = Awaiting(lambda _: fails())
    with pytest.raises(kind, match="no camera"):
        call(CONTEXT)
    assert call(CONTEXT) == "a frame"


def test_the_loop_and_its_tasks_end_with_the_source():
    ended = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def next_frame() -> None:
        tasks.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    call = Awaiting(lambda _: next_frame())
    call(CONTEXT)
    del call
    gc.collect()

    assert ended.wait(30)


def test_closing_ends_a_frame_that_never_comes_and_the_next_call_starts_anew():
    waiting = threading.Event()

    async def next_frame() -> str:
        if not waiting.is_set():
            waiting.set()
            await asyncio.Event().wait()
        return "a frame"

    call = Awaiting(lambda _: next_frame())
    with ThreadPoolExecutor(1) as pool:
        frame = pool.submit(call, CONTEXT)
        assert waiting.wait(30)
        call.close()
        assert isinstance(frame.exception(30), CancelledError)
    assert call(CONTEXT) == "a frame"


def test_what_is_not_awaitable_is_returned_without_a_loop():
    assert Awaiting(lambda _: 3)(CONTEXT) == 3
    assert not [each for each in threading.enumerate() if each.name == "gpuview-event-loop"]
