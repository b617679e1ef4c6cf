"""With pytest-asyncio: what is shown comes from the loop that the test runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from glow import heat, plate

from gpuview import GPUStream
from gpuview.testing import AsyncViewer, HeadlessViewer, connect


@pytest_asyncio.fixture
async def heated() -> AsyncIterator[GPUStream]:
    with GPUStream() as stream:
        heating = asyncio.create_task(heat(stream))
        yield stream
        heating.cancel()


async def test_plate_is_seen_while_it_is_heated(heated: GPUStream) -> None:
    async with connect(heated) as viewer:
        await viewer.assert_shows(plate(19), tolerance=12)
        assert await viewer.fps() > 1


@pytest_asyncio.fixture
async def viewer(heated: GPUStream) -> AsyncIterator[AsyncViewer]:
    async with connect(heated) as viewer:
        yield viewer


async def test_two_waits_go_on_together(viewer: AsyncViewer) -> None:
    await asyncio.gather(viewer.wait_for_frames(5), viewer.assert_shows(plate(10), tolerance=12))


async def test_viewer_of_an_async_test_is_closed_at_its_end(
    heated: GPUStream, left_open: list[HeadlessViewer]
) -> None:
    left_open.append(connect(heated))
    await AsyncViewer(left_open[0]).wait_for_frames(3)
