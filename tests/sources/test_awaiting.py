"""Async functions and iterables as sources."""

import asyncio
import functools
import gc
import threading
from collections.abc import AsyncIterator

import pytest
import torch

from gpuview.sources.awaiting import awaiting
from gpuview.sources.parse import parse_source


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

    assert next_frame()[0, 0] == 2


def test_an_async_iterable_stops_at_its_end():
    (next_frame,) = parse_source(pictures).polled.values()

    assert [next_frame()[0, 0].item() for _ in range(2)] == [2, 3]
    with pytest.raises(StopIteration):
        next_frame()


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

    call = awaiting(next_frame)
    loop = call()
    assert call() is loop
    assert set(ticks) == {loop}


def test_a_frame_can_be_awaited_where_a_loop_runs_already():
    call = awaiting(picture)

    async def cell() -> object:
        return call()

    assert asyncio.run(cell())[0, 0] == 2


def test_what_an_async_source_raises_is_raised_by_the_call():
    async def fails() -> None:
        raise ValueError("no camera")

    with pytest.raises(ValueError, match="no camera"):
        awaiting(fails)()


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
    call = awaiting(next_frame)
    call()
    del call
    gc.collect()

    assert ended.wait(30)


def test_what_is_not_awaitable_is_returned_without_a_loop():
    assert awaiting(lambda: 3)() == 3
    assert not [each for each in threading.enumerate() if each.name == "gpuview-event-loop"]
