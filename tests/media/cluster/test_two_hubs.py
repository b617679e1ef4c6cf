"""A worker's frames on a notebook's pages: two hubs, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gpuview.testing.carrier_page import CarrierPage
from tests.media.cluster.streams import Notebook, WorkerSide, notebook_and_worker
from tests.media.streaming import HEIGHT, WIDTH, elsewhere
from tests.waiting import wait_until_async


def run(
    folder: Path, use: Callable[[Notebook, WorkerSide], Awaitable[None]], **fields: Any
) -> None:
    async def live() -> None:
        for name in ("notebook", "worker"):
            (folder / name).mkdir()
        async with notebook_and_worker(folder, **fields) as (notebook, worker):
            await use(notebook, worker)

    asyncio.run(live())


@contextlib.asynccontextmanager
async def watching(notebook: Notebook, codec: str = "H264") -> AsyncIterator[CarrierPage]:
    page = await elsewhere(notebook.page)
    try:
        page.watch(codec)
        yield page
    finally:
        await elsewhere(page.close)


@pytest.mark.parametrize("codec", ["H264", "VP8", "JPEG"])
def test_page_of_the_notebook_sees_the_worker_s_stream(tmp_path: Path, codec: str) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook, codec) as page:
            image = await elsewhere(page.frames_after, 20)
            assert image.shape == (HEIGHT, WIDTH, 3)
            assert page.headers[0].is_keyframe
            stamps = [each.timestamp for each in page.headers]
            assert stamps == sorted(set(stamps))
            assert worker.views
            (counters,) = worker.stream.hub._streams["s1"].viewers
            assert counters.stats().carrier == "cluster"
            (stats,) = notebook.encodes.stats()
            assert (stats.encoder, stats.width, stats.tier) == ("worker", WIDTH, "full")
        await wait_until_async(lambda: not worker.views, "nobody watches")
        assert notebook.encodes.stats() == []

    run(tmp_path, use)
