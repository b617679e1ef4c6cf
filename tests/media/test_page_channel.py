"""What a page and the media process say on their data channel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs
from pyee.asyncio import AsyncIOEventEmitter

from gpuview.media.page_channel import PageChannel
from gpuview.protocol.page_messages import LinkFigures, Ping, Pong
from gpuview.protocol.stats import ViewerStats
from gpuview.protocol.wire import decode_text, encode_text


class Channel(AsyncIOEventEmitter):
    """aiortc's data channel, as far as it is used."""

    readyState = "open"  # noqa: N815 - aiortc's name

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def send(self, text: str) -> None:
        self.sent.append(text)


def listening() -> tuple[PageChannel, Any]:
    pages, channel = PageChannel(lambda: (640, 360), lambda: None, lambda: None), Channel()
    pages.listen(channel)  # type: ignore[arg-type]
    return pages, channel


def test_ping_is_answered_with_the_clock_and_the_size_of_the_picture() -> None:
    page, channel = listening()
    assert page.heard_s is None
    channel.emit("message", encode_text(Ping(sent_ms=1.5)))
    (text,) = channel.sent
    pong = decode_text(text, Pong)
    assert isinstance(pong, Pong)
    assert (pong.sent_ms, pong.width, pong.height) == (1.5, 640, 360)
    assert abs(pong.clock_ms / 1000 - page.heard_s) < 1.0


def test_page_is_told_what_its_link_takes_once_it_was_sent_something() -> None:
    stats = ViewerStats(
        view="v",
        state="connected",
        codec="H264 Main",
        local="",
        remote="",
        frames_sent=0,
        frames_dropped=0,
        estimate_bps=3e6,
        loss=0.02,
        tier="half",
        quantiser=34,
    )
    page = PageChannel(lambda: (640, 360), lambda: stats, lambda: None)
    assert page.answer(Ping(sent_ms=0)).link is None
    stats = structs.replace(stats, frames_sent=1)
    pong = page.answer(Ping(sent_ms=0))
    assert decode_text(encode_text(pong), Pong) == pong
    assert pong.link == LinkFigures(estimate_bps=3e6, loss=0.02, tier="half", quantiser=34)
    stats = structs.replace(stats, carrier="socket")
    link = page.answer(Ping(sent_ms=0)).link
    assert link == LinkFigures(estimate_bps=3e6, tier="half", quantiser=34)


def test_page_tells_its_latency() -> None:
    page, channel = listening()
    channel.emit("message", encode_text(Ping(sent_ms=0, latency_p50_ms=21.0, latency_p95_ms=40.0)))
    assert (page.latency.p50_ms, page.latency.p95_ms) == (21.0, 40.0)


def test_page_says_whether_somebody_sees_its_picture_and_each_change_is_told_once() -> None:
    told: list[bool] = []
    page = PageChannel(lambda: (640, 360), lambda: None, lambda: told.append(page.is_paused))
    for is_paused in (False, True, True, False):
        page.answer(Ping(sent_ms=0, is_paused=is_paused))
    assert told == [True, False]


def test_page_that_goes_back_and_forth_costs_the_others_few_keyframes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("gpuview.media.page_channel.time.monotonic", lambda: now_s)
    told: list[bool] = []
    page = PageChannel(lambda: (640, 360), lambda: None, lambda: told.append(page.is_paused))
    for n in range(3000):
        now_s += 0.001
        page.answer(Ping(sent_ms=0, is_paused=n % 2 == 0))
    assert told.count(False) <= 4
    now_s += 1.0
    page.answer(Ping(sent_ms=0, is_paused=True))
    assert page.is_paused  # what it says at last holds
    now_s += 1.0
    page.answer(Ping(sent_ms=0, is_paused=False))
    assert not page.is_paused


def test_page_says_with_each_ping_whether_its_relay_is_by_tcp() -> None:
    told: list[bool] = []
    page = PageChannel(lambda: (640, 360), lambda: None, lambda: None, told.append)
    page.answer(Ping(sent_ms=0))
    page.answer(Ping(sent_ms=1000, is_relayed_by_tcp=True))
    assert told == [False, True]


@pytest.mark.parametrize(
    "message",
    [
        b"\x00" * 100,
        "ping",
        "[" * 100_000,
        "{}",
        '{"type": "Ping", "sent_ms": NaN}',
        '{"type": "Ping", "sent_ms": 1e999}',
        json.dumps({"type": "Ping", "sent_ms": 0, "latency_p50_ms": -1}),
        json.dumps({"type": "Ping", "sent_ms": 0, "latency_p50_ms": 1e30}),
        json.dumps({"type": "Pong", "sent_ms": 0, "clock_ms": 0, "width": 0, "height": 0}),
    ],
)
def test_nonsense_is_not_answered_and_proves_that_the_page_lives(message: object) -> None:
    page, channel = listening()
    channel.emit("message", message)
    assert channel.sent == []
    assert page.heard_s is not None


def test_closed_channel_is_not_written_to() -> None:
    _, channel = listening()
    channel.readyState = "closing"
    channel.emit("message", encode_text(Ping(sent_ms=0)))
    assert channel.sent == []
