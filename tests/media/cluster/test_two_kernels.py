"""A worker's frames on a notebook's pages: two kernels' streams, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gpuview.media.cluster import runs
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.protocol.carrier_messages import RequestKeyframe
from gpuview.protocol.interaction_messages import (
    Element,
    Events,
    Interaction,
    RenderEvent,
    SetKnob,
)
from gpuview.protocol.media_messages import EncodeFailed, SetLimits
from gpuview.protocol.page_messages import Ping, Pong, Status
from gpuview.testing.carrier_page import CarrierPage
from tests.media.cluster.streams import Notebook, WorkerSide, notebook_and_worker
from tests.media.streaming import HEIGHT, WIDTH, elsewhere
from tests.waiting import wait_until_async

MAIN = Codec("H264", "Main")


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


def cluster_viewers(worker: WorkerSide) -> list[Any]:
    return [each.stats() for each in worker.stream.streams._streams["s1"].viewers]


@pytest.mark.parametrize("codec", ["H264", "VP8", "JPEG"])
def test_page_of_the_notebook_sees_the_worker_s_stream(tmp_path: Path, codec: str) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook, codec) as page:
            image = await elsewhere(page.frames_after, 20)
            assert image.shape == (HEIGHT, WIDTH, 3)
            assert page.headers[0].is_keyframe
            stamps = [each.timestamp for each in page.headers]
            assert stamps == sorted(set(stamps))
            await wait_until_async(lambda: worker.views, "it is watched")
            (viewer,) = cluster_viewers(worker)
            assert viewer.carrier == "cluster"
            assert viewer.state == "connected"
            assert viewer.round_trip_ms is not None
            (stats,) = notebook.encodes.stats()
            assert (stats.encoder, stats.width, stats.tier) == ("worker", WIDTH, "full")
            assert stats.quantiser is not None
            # A picture that was encoded twice counts once.
            await wait_until_async(lambda: notebook.encodes.frames_taken >= 20, "20 pictures")
        await wait_until_async(lambda: not worker.views, "nobody watches")
        assert notebook.encodes.stats() == []

    run(tmp_path, use)


def test_without_a_viewer_there_is_no_traffic_and_no_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_BEAT_S", 0.2)

    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        taken: list[int] = []
        runs_take = notebook.streams._runs._take  # type: ignore[union-attr]

        def count(peer: Any, parts: list[bytes]) -> None:
            taken.append(sum(map(len, parts)))
            runs_take(peer, parts)

        notebook.streams._runs._listener._on_message = count  # type: ignore[union-attr]
        n_pushed = worker.stream.n_pushed
        await wait_until_async(lambda: worker.stream.n_pushed > n_pushed + 30, "frames are pushed")
        await wait_until_async(lambda: len(taken) >= 3, "three pongs came")
        assert max(taken) < 200
        assert worker.views == []
        assert worker.stream.streams._streams["s1"].fanout.encodes.frames_taken == 0
        async with watching(notebook) as page:
            await elsewhere(page.frames_after, 5)
        await wait_until_async(lambda: not worker.views, "nobody watches")
        taken.clear()
        await wait_until_async(lambda: len(taken) >= 3, "three pongs came")
        assert max(taken[1:]) < 200

    run(tmp_path, use)


def test_two_viewers_share_one_encode_and_one_way(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook) as one:
            await elsewhere(one.frames_after, 5)
            async with watching(notebook) as other:
                await elsewhere(other.frames_after, 5)
                assert other.headers[0].is_keyframe
                await wait_until_async(lambda: len(worker.views) == 1, "one is watched")
                (encoder,) = worker.stream.streams._streams["s1"].fanout.encodes.stats()
                assert encoder.codec == "H264 Main"

    run(tmp_path, use)


def test_page_that_asks_gets_a_keyframe(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook) as page:
            await elsewhere(page.frames_after, 3)
            before = len(page.headers)
            page.say(RequestKeyframe())
            await elsewhere(
                page.wait_for,
                lambda: any(each.is_keyframe for each in page.headers[before:]),
                "another keyframe",
            )

    run(tmp_path, use)


def test_time_of_a_frame_is_on_the_clock_that_the_page_is_told(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook) as page:
            await elsewhere(page.frames_after, 10)
            page.say(Ping(sent_ms=1.0))
            pong = await elsewhere(page.hear, Pong)
            assert isinstance(pong, Pong)
            age = (round(pong.clock_ms * 90) - page.headers[-1].timestamp + 2**31) % 2**32 - 2**31
            assert -50 < age / 90 < 1000
            assert (pong.width, pong.height) == (WIDTH, HEIGHT)

    run(tmp_path, use)


def test_tier_is_encoded_at_the_worker_at_its_own_size(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        fanout = notebook.streams._streams["s1"].fanout
        subscription = fanout.subscribe(MAIN, Tier.HALF)
        packet = await asyncio.wait_for(subscription.next(), 60)
        assert (packet.width, packet.height) == (WIDTH // 2, HEIGHT // 2)
        assert packet.payloads
        (encoder,) = worker.stream.streams._streams["s1"].fanout.encodes.stats()
        assert encoder.tier == "half"
        await wait_until_async(
            lambda: fanout.encodes.picture_size == (WIDTH, HEIGHT), "the whole size is known"
        )
        fanout.unsubscribe(subscription)
        await wait_until_async(lambda: not worker.views, "nobody watches")

    run(tmp_path, use)


def test_worker_encodes_at_the_rate_that_the_notebook_s_viewers_take(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        fanout = notebook.streams._streams["s1"].fanout
        subscription = fanout.subscribe(MAIN)
        await asyncio.wait_for(subscription.next(), 60)
        viewer = next(iter(worker.stream.streams._streams["s1"].viewers))
        subscription.report(target_bps=123_456.0, free_s=0.0)
        await wait_until_async(
            lambda: viewer._subscription.member.target_bps == 123_456.0,  # type: ignore[attr-defined]
            "the worker knows",
        )
        notebook.streams.receive("s1", SetLimits(fps=30, max_bitrate_bps=99_000), [])
        await wait_until_async(
            lambda: viewer._subscription.member.target_bps == 99_000.0,  # type: ignore[attr-defined]
            "the worker knows the limit",
        )
        fanout.unsubscribe(subscription)

    run(tmp_path, use)


def test_no_frame_is_made_while_the_notebook_s_viewers_take_none(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        encodes = notebook.encodes
        packets = 0
        deliver = encodes._take_packet

        def count(*args: Any) -> None:
            nonlocal packets
            packets += 1
            deliver(*args)

        encodes._take_packet = count
        hold = Demand(free_s=float("inf"))
        encodes.start(MAIN, Tier.FULL, lambda: hold)
        await wait_until_async(lambda: packets >= 1, "the keyframe came")
        await asyncio.sleep(0.5)
        before = packets
        n_pushed = worker.stream.n_pushed
        await wait_until_async(lambda: worker.stream.n_pushed > n_pushed + 20, "frames are pushed")
        assert packets - before <= 2

    run(tmp_path, use)


def test_picture_that_stands_still_is_exact(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook) as page:
            await elsewhere(page.frames_after, 3)
            worker.playing.cancel()
            await elsewhere(page.wait_for, lambda: page.stills, "a still")
            assert page.stills[-1].startswith(b"\x89PNG")
            worker.stream.push()
            before = len(page.stills)
            await elsewhere(page.wait_for, lambda: len(page.stills) > before, "another still")

    run(tmp_path, use)


def test_stills_are_not_made_where_nobody_can_show_them(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        subscription = notebook.streams._streams["s1"].fanout.subscribe(MAIN)
        await asyncio.wait_for(subscription.next(), 60)
        assert not worker.stream.streams._streams["s1"].fanout.encodes._stills.is_wanted
        notebook.streams._streams["s1"].fanout.unsubscribe(subscription)

    run(tmp_path, use)


def test_what_the_worker_s_stream_is_doing_is_told_to_the_notebook_s_kernel(
    tmp_path: Path,
) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        failed = Status(state="error", part="source", problem="division by zero")
        knobs = Interaction(events=["wheel"])
        worker.stream.streams.receive("s1", failed, [])
        worker.stream.streams.receive("s1", knobs, [])
        await wait_until_async(
            lambda: (
                (notebook.workers()[0].status, notebook.workers()[0].interaction) == (failed, knobs)
            ),
            "it is told",
        )

    run(tmp_path, use)


def test_what_a_view_says_reaches_the_worker_s_kernel_and_the_answer_the_view(
    tmp_path: Path,
) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook) as page:
            turned = SetKnob(view=page.view, name="lr", value=0.1)
            page.say(turned)
            await wait_until_async(
                lambda: ("s1", turned) in worker.stream.said, "the worker's kernel hears it"
            )
            assert not any(isinstance(each, SetKnob) for _, each in notebook.said)
            answer = Element(view=page.view, seq=1, problem="outside")
            worker.stream.streams.receive("s1", answer, [])
            assert await elsewhere(page.hear, Element) == answer
            # From a page that only its kernel hears.
            events = Events(view="v2", events=[RenderEvent(type="wheel", timestamp=1.0)])
            notebook.streams.receive("s1", events, [])
            await wait_until_async(
                lambda: ("s1", events) in worker.stream.said, "the worker's kernel hears it"
            )

    run(tmp_path, use)


def test_codec_that_the_worker_has_not_is_said_so_in_the_notebook(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        worker.stream.streams._streams["s1"].fanout.encoder = "vp8"
        async with watching(notebook):
            await wait_until_async(
                lambda: any(isinstance(each, EncodeFailed) for _, each in notebook.said),
                "the kernel is told",
            )
            assert "does not encode H264" in notebook.last(EncodeFailed).problem

    run(tmp_path, use)


def test_worker_that_begins_anew_goes_on_in_the_same_view(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        async with watching(notebook) as page:
            await elsewhere(page.frames_after, 5)
            worker.join(notebook.joining(host="node8"))
            await wait_until_async(
                lambda: [each.host for each in notebook.workers()] == ["node8"], "it has joined"
            )
            await elsewhere(page.frames_after, 10)
            assert sum(each.is_keyframe for each in page.headers) >= 2
            stamps = [each.timestamp for each in page.headers]
            assert stamps == sorted(set(stamps))
            assert [each.seq for each in page.headers] == list(range(len(page.headers)))

    run(tmp_path, use)


def test_other_ranks_join_and_are_not_watched(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        assert notebook.present == [3]
        async with watching(notebook) as page:
            page.say(Ping(sent_ms=1.0))
            await elsewhere(page.hear, Pong)
            worker.join(notebook.joining(rank=0))
            await elsewhere(page.frames_after, 3)
            await wait_until_async(lambda: notebook.present == [0], "the other one has gone")

    run(tmp_path, use, rank=3)
