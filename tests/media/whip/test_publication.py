"""A stream that is published to an ingest, over real WebRTC on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gpuview.media.whip import publication
from gpuview.media.whip.publication import retry_after_s
from gpuview.media.whip.resource import Session
from gpuview.protocol.media_messages import (
    CloseStream,
    GetStats,
    PublishingChanged,
    StartPublishing,
    Stats,
    StopPublishing,
    Viewers,
)
from tests.media.streaming import Streaming, elsewhere, streaming
from tests.waiting import wait_until_async
from tests.whip_ingest import Ingest

TOKEN = "a-secret-token"


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    with Ingest(TOKEN) as ingest:
        yield ingest


def publishing(
    folder: Path, ingest: Ingest, use: Callable[[Streaming], Awaitable[None]], token: str = TOKEN
) -> None:
    """Publish a stream that plays, and use it."""

    async def main() -> None:
        async with streaming(folder, public_ips=["127.0.0.1"]) as stream:
            start = StartPublishing(publication=1, url=ingest.url, token=token)
            stream.streams.receive("s1", start, [])
            await use(stream)

    asyncio.run(main())


def states(stream: Streaming) -> list[str]:
    return [each.state for _, each in stream.said if isinstance(each, PublishingChanged)]


async def wait_for(stream: Streaming, *expected: str) -> None:
    await wait_until_async(lambda: states(stream) == list(expected), f"{expected}")


def test_ingest_gets_the_pictures_and_is_told_of_the_end(tmp_path: Path, ingest: Ingest) -> None:
    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 10)
        assert states(stream) == ["connecting", "live"]
        picture = ingest.picture()
        assert picture is not None
        assert picture.shape == (240, 320, 3)
        assert np.ptp(picture) <= 2, "frames of one colour"
        stream.streams.receive("s1", StopPublishing(publication=1), [])
        await wait_for(stream, "connecting", "live", "ended")
        assert ingest.n_sessions == 0

    publishing(tmp_path, ingest, use)
    assert ingest.requests == [("POST", "/whip"), ("DELETE", "/session/1")]


def test_ingest_is_told_when_the_stream_is_closed(tmp_path: Path, ingest: Ingest) -> None:
    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 1)
        stream.streams.receive("s1", CloseStream(), [])
        await wait_until_async(lambda: ingest.n_sessions == 0, "the session has ended")

    publishing(tmp_path, ingest, use)


def test_it_is_a_viewer_for_which_frames_are_made_while_it_is_live(
    tmp_path: Path, ingest: Ingest
) -> None:
    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 1)
        seen = [each for _, each in stream.said if isinstance(each, Viewers)]
        assert seen == [
            Viewers(views=["whip-1"], paused=["whip-1"]),
            Viewers(views=["whip-1"]),
        ]
        stream.streams.receive("s1", GetStats(request=1), [])
        (stats,) = [each for _, each in stream.said if isinstance(each, Stats)]
        (viewer,) = stats.viewers
        assert (viewer.view, viewer.state, viewer.codec[:4]) == ("whip-1", "connected", "H264")

    publishing(tmp_path, ingest, use)


def test_it_comes_back_after_an_outage(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_FIRST_RETRY_S", 0.01)

    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 1)
        ingest.status = 503
        await elsewhere(ingest.drop_sessions)
        await wait_until_async(lambda: states(stream).count("waiting") > 2, "it tries again")
        ingest.status = 201
        await elsewhere(ingest.wait_for_frames, 10)
        assert states(stream)[-2:] == ["connecting", "live"]
        problems = [e.problem for _, e in stream.said if isinstance(e, PublishingChanged)]
        assert any(each is not None and "answers 503" in each.problem for each in problems)

    publishing(tmp_path, ingest, use)


def test_fault_of_our_own_is_said_and_it_is_tried_again(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_FIRST_RETRY_S", 0.01)
    begin = publication.begin_session
    faults = [RuntimeError("made up")]

    def begin_or_fail(*args: str) -> Session:
        if faults:
            raise faults.pop()
        return begin(*args)

    monkeypatch.setattr(publication, "begin_session", begin_or_fail)

    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 1)
        assert states(stream) == ["connecting", "waiting", "connecting", "live"]

    publishing(tmp_path, ingest, use)


def test_redirect_is_followed(tmp_path: Path, ingest: Ingest) -> None:
    ingest.status = 307

    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 1)

    publishing(tmp_path, ingest, use)
    assert ingest.requests[:2] == [("POST", "/whip"), ("POST", "/moved")]


def test_wrong_token_ends_it_with_a_sentence(
    tmp_path: Path, ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(stream: Streaming) -> None:
        await wait_for(stream, "connecting", "ended")
        await wait_until_async(
            lambda: stream.said[-1][1] == Viewers(views=[]), "it is no viewer any more"
        )
        ended = [e for _, e in stream.said if isinstance(e, PublishingChanged)][-1]
        assert ended.problem is not None
        assert ended.problem.problem == f"{ingest.url} answers 401: who are you?"

    publishing(tmp_path, ingest, use, token="another-token")
    assert "another-token" not in caplog.text


def test_no_private_address_is_offered(tmp_path: Path, ingest: Ingest) -> None:
    async def use(stream: Streaming) -> None:
        await elsewhere(ingest.wait_for_frames, 1)

    publishing(tmp_path, ingest, use)
    (offer,) = ingest.offers
    candidates = [line for line in offer.splitlines() if line.startswith("a=candidate")]
    assert candidates
    assert all(" 127.0.0.1 " in line for line in candidates)
    assert "a=sendonly" in offer


def test_pauses_grow_up_to_half_a_minute() -> None:
    assert [retry_after_s(n) for n in (1, 2, 3, 6, 10**6)] == [1, 2, 4, 30, 30]
