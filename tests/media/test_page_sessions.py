"""Pages that are reached over the media process's socket: what they are sent, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gpuview.media import page_sessions
from gpuview.media.carriers.link import MAX_UNHEARD_NBYTES
from gpuview.protocol.carrier_messages import Received, RequestKeyframe
from gpuview.protocol.interaction_messages import Interaction, SetKnob
from gpuview.protocol.local_socket import BINARY, TEXT, frame_message
from gpuview.protocol.media_messages import CloseStream, Health, OpenCarrier, Viewers
from gpuview.protocol.page_messages import (
    Answer,
    Bye,
    Candidates,
    GetPeerConfig,
    Message,
    PageLog,
    PeerConfig,
    Ping,
    Pong,
    Refusal,
    Status,
)
from gpuview.testing.carrier_page import CarrierPage
from tests.media.streaming import HEIGHT, WIDTH, Streaming, elsewhere, streaming
from tests.media.test_streams import page_offer
from tests.waiting import wait_until_async


def run(folder: Path, use: Callable[[Streaming], Awaitable[None]], **configuration: object) -> None:
    async def live() -> None:
        async with streaming(folder, **configuration) as stream:
            await use(stream)

    asyncio.run(live())


@contextlib.asynccontextmanager
async def watching(stream: Streaming, codec: str = "H264"):  # type: ignore[no-untyped-def]
    """Give a page that is sent the stream."""
    page = await elsewhere(stream.page)
    try:
        page.watch(codec)
        yield page
    finally:
        await elsewhere(page.close)


def views(stream: Streaming) -> list[str]:
    """Return the views that the kernel knows of."""
    told = [message for _, message in stream.said if isinstance(message, Viewers)]
    return told[-1].views if told else []


async def until_all_have_gone(stream: Streaming) -> None:
    pages = stream.streams._streams["s1"].pages
    await wait_until_async(lambda: not pages and not views(stream), "all pages have gone")


@pytest.mark.parametrize("codec", ["H264", "VP8", "JPEG"])
def test_page_sees_the_stream(tmp_path: Path, codec: str) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream, codec) as page:
            image = await elsewhere(page.frames_after, 10)
            assert image.shape == (HEIGHT, WIDTH, 3)
            first, *rest = page.headers
            assert first.is_keyframe
            assert (first.codec, first.width, first.height) == (codec, WIDTH, HEIGHT)
            assert [each.seq for each in page.headers] == list(range(len(page.headers)))
            assert all(each.timestamp > first.timestamp for each in rest)
            assert views(stream) == [page.view]
            (counters,) = stream.streams._streams["s1"].viewers
            stats = counters.stats()
            assert (stats.view, stats.carrier, stats.state) == (page.view, "socket", "connected")
            assert stats.frames_sent >= 10
            assert stats.codec.startswith(codec)
            assert stats.round_trip_ms is not None
        await until_all_have_gone(stream)

    run(tmp_path, use)


def test_viewers_of_one_codec_share_an_encoder(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as one, watching(stream) as other:
            for page in (one, other):
                await elsewhere(page.frames_after, 5)
            encoders = stream.streams._streams["s1"].fanout.encodes.stats()
            assert [each.codec for each in encoders] == ["H264 Main"]
            assert sorted(views(stream)) == sorted([one.view, other.view])

    run(tmp_path, use)


def test_page_gets_a_keyframe_when_it_asks(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as page:
            await elsewhere(page.frames_after, 3)
            before = len(page.headers)
            page.say(RequestKeyframe())
            await elsewhere(
                page.wait_for,
                lambda: any(each.is_keyframe for each in page.headers[before:]),
                "another keyframe",
            )

    run(tmp_path, use)


def test_picture_that_stands_still_is_exact(tmp_path: Path) -> None:
    async def live() -> None:
        stream = Streaming(tmp_path)
        try:
            async with watching(stream) as page:
                stream.push()
                await elsewhere(page.wait_for, lambda: page.stills, "a still")
        finally:
            await stream.close()

    asyncio.run(live())


def test_page_that_acknowledges_nothing_gets_little(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as deaf, watching(stream) as page:
            deaf.acknowledges = False
            await elsewhere(page.frames_after, 60)
            viewers = stream.streams._streams["s1"].viewers
            deaf_now = next(each.stats() for each in viewers if each.view == deaf.view)
            assert deaf_now.frames_sent < 30
            assert deaf.nbytes <= MAX_UNHEARD_NBYTES

    run(tmp_path, use)


def test_page_that_acknowledges_what_was_never_sent_gets_no_more(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as liar, watching(stream) as page:
            liar.acknowledges = False
            for n in range(60):
                liar.say(Received(seq=10**6 + n, arrived_ms=[n]))
                await elsewhere(page.frames_after, 1)
            viewers = stream.streams._streams["s1"].viewers
            liar_now = next(each.stats() for each in viewers if each.view == liar.view)
            assert liar_now.frames_sent < 30

    run(tmp_path, use)


def test_page_that_reads_nothing_is_bounded(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        ours, theirs = socket.socketpair()
        stream.streams.receive("s1", OpenCarrier(view="blind"), [theirs.detach()])
        ours.setblocking(False)
        message = b'{"type": "Watch", "view": "blind", "codec": "H264"}'
        ours.send(frame_message(TEXT, message))
        async with watching(stream) as page:
            for n in range(60):
                ours.send(
                    frame_message(TEXT, b'{"type": "Received", "seq": %d, "arrived_ms": [1]}' % n)
                )
                await elsewhere(page.frames_after, 1)
            sessions = stream.streams._streams["s1"].pages._sessions
            (blind,) = (each for each in sessions if each._carrier == "comm")
            assert blind._connection.unsent_nbytes < 1_000_000
        ours.close()
        await until_all_have_gone(stream)

    run(tmp_path, use)


def test_silent_page_is_sent_away_and_one_that_pings_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(page_sessions._SILENCE_TIMEOUT_S, "socket", 2.0)

    async def use(stream: Streaming) -> None:
        async with watching(stream) as silent, watching(stream) as page:
            silent.acknowledges = page.acknowledges = False

            def ping() -> bool:
                page.say(Ping(sent_ms=1.0))
                return not silent.is_open

            await wait_until_async(ping, "the silent one is sent away")
            assert page.is_open
            await wait_until_async(lambda: views(stream) == [page.view], "one view is left")

    run(tmp_path, use)


def test_ping_is_answered_with_the_size_of_the_picture(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as page:
            await elsewhere(page.frames_after, 1)
            page.say(Ping(sent_ms=4.5, latency_p50_ms=30.0))
            pong = await elsewhere(page.hear, Pong)
            assert isinstance(pong, Pong)
            assert (pong.sent_ms, pong.width, pong.height) == (4.5, WIDTH, HEIGHT)
            (viewer,) = stream.streams._streams["s1"].viewers
            assert viewer.stats().latency_p50_ms == 30.0

    run(tmp_path, use)


def test_page_that_nobody_sees_is_sent_nothing_and_the_kernel_knows(tmp_path: Path) -> None:
    def paused(stream: Streaming) -> list[str]:
        return [m for _, m in stream.said if isinstance(m, Viewers)][-1].paused

    async def use(stream: Streaming) -> None:
        async with watching(stream) as page, watching(stream) as other:
            await elsewhere(page.frames_after, 1)
            page.say(Ping(sent_ms=1, is_paused=True))
            await wait_until_async(lambda: paused(stream) == [page.view], "the page is paused")
            n_packets = len(page.headers)
            await elsewhere(other.frames_after, 10)
            assert len(page.headers) == n_packets
            page.say(Ping(sent_ms=2))
            await elsewhere(page.frames_after, 5)
            assert page.headers[n_packets].is_keyframe
            assert paused(stream) == []

    run(tmp_path, use)


def test_offer_over_the_socket_is_answered_there_and_nowhere_else(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        page = await elsewhere(stream.page)
        offer = await page_offer()
        page.say(offer)
        answer = await elsewhere(page.hear, Answer)
        assert isinstance(answer, Answer)
        assert (answer.view, answer.seq) == ("v", 1)
        assert not [each for _, each in stream.said if isinstance(each, Answer)]
        stream.streams.receive("s1", offer, [])  # the kernel was busy until now
        assert [each for _, each in stream.said if isinstance(each, Answer)] == [answer]
        page.say(
            Candidates(view="v", seq=1, candidates=["candidate:1 1 udp 1 127.0.0.1 9 typ host"])
        )
        page.say(Bye(view="v"))
        await wait_until_async(lambda: not views(stream), "the view has gone")
        await elsewhere(page.close)
        await until_all_have_gone(stream)
        known = stream.streams._streams["s1"].negotiation._views["v"]
        assert len(known.askers) == 1  # the kernel's way: the page's has ended

    run(tmp_path, use)


def test_offer_is_refused_where_webrtc_is_left_out(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        page = await elsewhere(stream.page)
        page.say(await page_offer())
        refusal = await elsewhere(page.hear, Refusal)
        assert isinstance(refusal, Refusal)
        assert "CARRIERS" in refusal.fix
        await elsewhere(page.close)

    run(tmp_path, use, has_webrtc=False)


def test_view_may_have_two_carriers_for_a_while(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as page:
            await elsewhere(page.frames_after, 1)
            offer = await page_offer()
            page.say(type(offer)(view=page.view, seq=1, sdp=offer.sdp))
            await elsewhere(page.hear, Answer)
            carriers = sorted(each.carrier for each in stream.streams._streams["s1"].viewers)
            assert carriers == ["socket", "webrtc"]
            assert views(stream) == [page.view]

    run(tmp_path, use)


def test_what_a_view_says_reaches_the_kernel_and_what_all_are_told_every_page(
    tmp_path: Path,
) -> None:
    async def use(stream: Streaming) -> None:
        early = await elsewhere(stream.page)
        press = SetKnob(view="v1", name="go", value=1)
        early.say(press)
        await wait_until_async(lambda: stream.said == [("s1", press)], "the kernel is told")
        told = Interaction(events=["wheel"])
        stream.streams.receive("s1", told, [])
        late = await elsewhere(stream.page)
        for page in (early, late):
            assert await elsewhere(page.hear, Interaction) == told
            await elsewhere(page.close)

    run(tmp_path, use)


def test_ice_servers_come_from_the_kernel_to_whoever_asked(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        asker, other = await elsewhere(stream.page), await elsewhere(stream.page)
        asker.say(GetPeerConfig(view="v1"))
        asker.say(PageLog(view="v1", text="hello"))
        expected: list[tuple[str, Message]] = [
            ("s1", GetPeerConfig(view="v1")),
            ("s1", PageLog(view="v1", text="hello")),
        ]
        await wait_until_async(lambda: stream.said == expected, "the kernel is told")
        stream.streams.receive("s1", PeerConfig(view="v1"), [])
        assert await elsewhere(asker.hear, PeerConfig) == PeerConfig(view="v1")
        other.say(Ping(sent_ms=0))
        await elsewhere(other.hear, Pong)
        assert other.messages == []
        for page in (asker, other):
            await elsewhere(page.close)

    run(tmp_path, use)


def test_status_is_told_at_once_and_when_it_changes(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        stream.streams.receive("s1", Status(state="waiting", fix="push"), [])
        page = await elsewhere(stream.page)
        assert await elsewhere(page.hear, Status) == Status(state="waiting", fix="push")
        stream.streams.receive("s1", Status(state="live"), [])
        assert await elsewhere(page.hear, Status) == Status(state="live")
        await elsewhere(page.close)

    run(tmp_path, use)


def test_extension_may_ask_how_all_streams_are(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as page:
            await elsewhere(page.frames_after, 1)
            asker = await elsewhere(stream.page, "")
            health = await elsewhere(asker.hear, Health)
            assert isinstance(health, Health)
            (counters,) = health.streams
            assert (health.pid, counters.name) == (os.getpid(), "s1")
            assert [each.carrier for each in counters.viewers] == ["socket"]
            await elsewhere(asker.wait_for_end)
            await elsewhere(asker.close)

    run(tmp_path, use)


def test_codec_that_is_not_to_be_had_is_refused(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as page:
            refusal = await elsewhere(page.hear, Refusal)
            assert isinstance(refusal, Refusal)
            assert (refusal.view, refusal.expected) == (page.view, "VP8")

    run(tmp_path, use, encoder="vp8")


@pytest.mark.parametrize(
    "garbage",
    [
        frame_message(TEXT, b"{}"),
        frame_message(TEXT, b"\xff\xfe"),
        frame_message(BINARY, b"\x01" * 100),
        frame_message(TEXT, json.dumps({"type": "Answer", "view": "v"}).encode()),
        frame_message(TEXT, b'{"type": "Received", "seq": 1, "arrived_ms": [NaN]}'),
        frame_message(TEXT, b"[" * 10_000),
        frame_message(TEXT, b'{"type": "Watch", "view": "other", "codec": "VP8"}'),
    ],
)
def test_ten_thousand_messages_of_garbage_end_one_connection(
    tmp_path: Path, garbage: bytes
) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as bad, watching(stream) as good:
            await elsewhere(bad.frames_after, 1)
            for _ in range(100):
                await elsewhere(bad.send_bytes, garbage * 100)
            await elsewhere(bad.wait_for_end)
            await elsewhere(good.frames_after, 5)
            await wait_until_async(lambda: views(stream) == [good.view], "one view is left")

    run(tmp_path, use)


def test_stream_that_is_closed_ends_its_pages(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        async with watching(stream) as page:
            await elsewhere(page.frames_after, 1)
            stream.streams.receive("s1", CloseStream(), [])
            await elsewhere(page.wait_for_end)
        refused = await elsewhere(stream.page)
        refusal = await elsewhere(refused.hear, Refusal)
        assert isinstance(refusal, Refusal)
        assert "there is no stream s1" in refusal.problem
        await elsewhere(refused.close)

    run(tmp_path, use)


def test_socket_that_cannot_be_made_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(stream: Streaming) -> None:
        stream.streams.receive("s1", await page_offer(), [])
        await wait_until_async(
            lambda: [each for _, each in stream.said if isinstance(each, Answer)], "an answer"
        )

    run(tmp_path / "missing", use)
    assert caplog.text.count("no view can use the jupyter-server extension") == 1


def test_page_through_the_kernel_sees_the_stream(tmp_path: Path) -> None:
    async def use(stream: Streaming) -> None:
        ours, theirs = socket.socketpair()
        fds = [theirs.detach()]
        stream.streams.receive("s1", OpenCarrier(view="v"), fds)
        assert fds == []
        page = CarrierPage(ours)
        page.watch()
        await elsewhere(page.frames_after, 5)
        (viewer,) = stream.streams._streams["s1"].viewers
        assert viewer.carrier == "comm"
        await elsewhere(page.close)
        await until_all_have_gone(stream)

    run(tmp_path, use)


def test_two_hundred_pages_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    async def come_and_go(stream: Streaming, n: int) -> None:
        for _ in range(n):
            async with watching(stream) as page:
                await elsewhere(page.wait_for, lambda page=page: page.headers, "a packet")
        await until_all_have_gone(stream)
        viewers = stream.streams._streams["s1"].viewers
        await wait_until_async(lambda: not viewers._closing._tasks, "nothing is done")

    def counts() -> tuple[int, int, int]:
        gc.collect()
        threads = [each for each in threading.enumerate() if not each.name.startswith("asyncio_")]
        return len(os.listdir("/proc/self/fd")), len(threads), len(asyncio.all_tasks())

    async def use(stream: Streaming) -> None:
        await come_and_go(stream, 20)
        before = counts()
        await come_and_go(stream, 200)
        # It may be less: what an earlier test has closed takes a moment.
        await wait_until_async(
            lambda: all(now <= was for now, was in zip(counts(), before, strict=True)),
            "nothing is left",
        )

    run(tmp_path, use)
