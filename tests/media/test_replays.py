"""Views step back in what was shown, whatever the stream, the others and they themselves do."""

from __future__ import annotations

import asyncio
import io
import threading
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpuview.protocol.interaction_messages import GetReplay, Replay
from gpuview.protocol.media_messages import GetStats, Stats
from gpuview.protocol.page_messages import Ping, Pong
from gpuview.testing.carrier_page import CarrierPage
from tests.media.streaming import Streaming, elsewhere, streaming
from tests.waiting import wait_until_async

STEP = 37  # from one picture's grey to the next one's, modulo 256


def run(folder: Path, use: Callable[[Streaming], Awaitable[None]], **configuration: object) -> None:
    async def main() -> None:
        async with streaming(folder, **configuration) as stream:
            await use(stream)

    asyncio.run(main())


async def ask(page: CarrierPage, time_ms: float | None = None, step: int = 0) -> list[Replay]:
    """Ask, and return all pieces of the answer."""
    ask.seq = seq = getattr(ask, "seq", 0) + 1  # type: ignore[attr-defined]
    page.say(GetReplay(view=page.view, seq=seq, time_ms=time_ms, step=step))

    def whole() -> bool:
        pieces = [each for each in page.messages if isinstance(each, Replay) and each.seq == seq]
        return bool(pieces) and sum(len(b64decode(it.data)) for it in pieces) == pieces[0].nbytes

    await elsewhere(page.wait_for, whole, "the whole answer")
    return [each for each in page.messages if isinstance(each, Replay) and each.seq == seq]


def grey(pieces: list[Replay]) -> float:
    with Image.open(io.BytesIO(b"".join(b64decode(each.data) for each in pieces))) as image:
        return float(np.asarray(image.convert("L")).mean())


def distance(one: float, other: float) -> float:
    """Return how far two greys are from each other, where 255 is beside 0."""
    return abs((one - other + 128) % 256 - 128)


async def watch(page: CarrierPage, codec: str, n: int = 20) -> None:
    page.watch(codec)
    await elsewhere(page.frames_after, n)


async def pause(page: CarrierPage) -> Replay:
    """Pause as a page does, and return what is kept then."""
    page.say(Ping(sent_ms=0, is_paused=True))
    (kept,) = await ask(page)
    return kept


async def replay_nbytes(stream: Streaming) -> int:
    stream.streams.receive("s1", GetStats(request=1), [])
    stats = [message for _, message in stream.said if isinstance(message, Stats)]
    return stats[-1].replay_nbytes


@pytest.mark.parametrize(("codec", "encoder"), [("H264", "x264"), ("VP8", "vp8"), ("JPEG", "auto")])
def test_paused_view_steps_through_what_was_shown(tmp_path: Path, codec: str, encoder: str) -> None:
    async def use(stream: Streaming) -> None:
        with stream.page() as page:
            await watch(page, codec)
            kept = await pause(page)
            assert (kept.nbytes, kept.problem) == (0, "")
            assert kept.time_ms == kept.newest_ms > kept.oldest_ms > 0

            before = await ask(page, kept.newest_ms)
            assert before[0].time_ms == kept.newest_ms
            for _ in range(8):
                after = await ask(page, before[0].time_ms, -1)
                assert after[0].time_ms < before[0].time_ms
                # Frames may be left out before the encoder: so many at most.
                steps = [distance(grey(after), grey(before) - n * STEP) for n in (1, 2, 3)]
                assert min(steps) < 6
                before = after
            forward = await ask(page, before[0].time_ms, 1)
            assert min(distance(grey(forward), grey(before) + n * STEP) for n in (1, 2, 3)) < 6

            first = await ask(page, 0)
            last = await ask(page, 1e12)
            assert (first[0].time_ms, last[0].time_ms) == (kept.oldest_ms, kept.newest_ms)

    run(tmp_path, use, encoder=encoder)


def test_what_was_kept_at_the_pause_stays_while_others_watch(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        with stream.page() as page, stream.page() as other:
            await watch(page, "H264")
            await watch(other, "H264")
            kept = await pause(page)
            shown = grey(await ask(page, kept.oldest_ms))
            # For much longer than anything is kept for those who watch.
            await elsewhere(other.frames_after, 60)
            again = await ask(page, kept.oldest_ms)
            assert again[0].oldest_ms == kept.oldest_ms
            assert grey(again) == shown
            (others,) = await ask(other)
            assert others.oldest_ms > kept.newest_ms

            page.say(Ping(sent_ms=0, is_paused=False))
            await elsewhere(page.frames_after, 5)
            assert (await pause(page)).oldest_ms > kept.newest_ms

    run(tmp_path, use, replay_s=0.5)


def test_question_may_overtake_the_news_of_the_pause(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        with stream.page() as page, stream.page() as other:
            await watch(page, "H264")
            await watch(other, "H264")
            (kept,) = await ask(page)
            stream.streams._streams["s1"].reap(0)
            page.say(Ping(sent_ms=0, is_paused=True))
            await elsewhere(page.hear, Pong)
            for _ in range(4):
                await elsewhere(other.frames_after, 15)
                stream.streams._streams["s1"].reap(0)
            assert (await ask(page, kept.oldest_ms))[0].time_ms == kept.oldest_ms

    run(tmp_path, use, replay_s=0.5)


def test_flood_of_questions_costs_one_thread_and_the_newest_is_answered(tmp_path: Path) -> None:
    def threads() -> int:
        return sum(each.name == "gpuview-replay" for each in threading.enumerate())

    async def use(stream: Streaming) -> None:
        with stream.page() as page:
            await watch(page, "H264")
            kept = await pause(page)
            most = 0
            for seq in range(10_000, 10_200):
                page.say(GetReplay(view=page.view, seq=seq, time_ms=kept.newest_ms, step=-seq % 20))
                await asyncio.sleep(0)
                most = max(most, threads())
            assert most <= 1

            def newest() -> int:
                return max(each.seq for each in page.messages if isinstance(each, Replay))

            await wait_until_async(lambda: newest() == 10_199, "the newest is answered")
            await wait_until_async(lambda: threads() == 0, "the thread has ended")

    run(tmp_path, use)


def test_picture_that_cannot_be_decoded_is_answered_with_a_sentence(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        with stream.page() as page:
            await watch(page, "H264")
            kept = await pause(page)
            for group in stream.streams._streams["s1"].replays._history.span(page.view).groups:
                group.packets[:] = [
                    type(each)(b"\xff" * 9, each.timestamp, each.capture_ns)
                    for each in group.packets
                ]
            (answer,) = await ask(page, kept.newest_ms)
            assert "decode" in answer.problem
            assert answer.nbytes == 0

    run(tmp_path, use)


def test_without_viewers_nothing_is_kept_and_nothing_is_encoded_for_it(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        assert await replay_nbytes(stream) == 0
        with stream.page() as page:
            await watch(page, "H264")
            assert await replay_nbytes(stream) > 0
            encoders = stream.streams._streams["s1"].fanout.encodes.stats()
            assert [each.codec for each in encoders] == ["H264 Main"]
        viewers = stream.streams._streams["s1"].viewers
        await wait_until_async(lambda: len(viewers) == 0, "the viewer has gone")
        stream.streams._streams["s1"].reap(0)
        assert await replay_nbytes(stream) == 0
        with stream.page() as page:  # asks although it gets no picture
            (nothing,) = await ask(page)
            (still_nothing,) = await ask(page, 1000.0, -1)
            assert (nothing.oldest_ms, still_nothing.nbytes) == (0, 0)

    run(tmp_path, use)


def test_nothing_is_kept_where_nobody_wants_it(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        with stream.page() as page:
            await watch(page, "H264")
            assert await replay_nbytes(stream) == 0
            assert (await pause(page)).oldest_ms == 0

    run(tmp_path, use, replay_s=0.0)


def test_memory_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = 4000
    monkeypatch.setattr("gpuview.media.replays.MAX_NBYTES", bound)

    async def use(stream: Streaming) -> None:
        with stream.page() as page:
            await watch(page, "JPEG", 5)
            await pause(page)
            page.say(Ping(sent_ms=0, is_paused=False))
            for _ in range(20):
                await elsewhere(page.frames_after, 2)
                assert 0 < await replay_nbytes(stream) <= 2 * bound

    run(tmp_path, use)


def test_a_view_that_speaks_too_much_of_steps_is_refused(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        with stream.page() as page:
            await watch(page, "H264", 1)
            page.say(GetReplay(view=page.view, seq=1, time_ms=1.0, step=10**6))
            (viewer,) = stream.streams._streams["s1"].viewers
            await wait_until_async(lambda: viewer.stats().messages_refused == 1, "it is refused")

    run(tmp_path, use)
