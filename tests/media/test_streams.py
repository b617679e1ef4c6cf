"""Offers and what comes with them, in every order, while the network still settles."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from gpuview.errors import SignalError
from gpuview.media import negotiation, peer_video, viewer
from gpuview.media.encode.fanout import Subscription
from gpuview.media.ice import aioice_compat
from gpuview.media.negotiation import is_new_offer
from gpuview.media.streams import Streams
from gpuview.media.viewer_set import ViewerSet
from gpuview.protocol.media_messages import (
    CloseStream,
    Configure,
    GetStats,
    IceServers,
    OpenStream,
    SetLimits,
    Stats,
)
from gpuview.protocol.page_messages import (
    MAX_CANDIDATES,
    Answer,
    Bye,
    Candidates,
    IceServer,
    Message,
    Offer,
    Refusal,
)
from tests.clock import run_in_virtual_time
from tests.waiting import wait_until_async

CANDIDATE = "candidate:1 1 udp 2130706431 198.51.100.7 4000 typ srflx raddr 0.0.0.0 rport 0"


@pytest.mark.parametrize(
    ("own_bps", "admin_bps", "used_bps"),
    [(10**7, None, 10**7), (10**7, 10**6, 10**6), (10**6, 10**7, 10**6)],
)
def test_administrator_s_bitrate_limits_every_stream(
    own_bps: int, admin_bps: int | None, used_bps: int
) -> None:
    async def main() -> None:
        streams = Streams(lambda name, message: None)
        streams.receive("", Configure(max_bitrate_bps=admin_bps), [])
        streams.receive("s", OpenStream(fps=30, max_bitrate_bps=own_bps), [os.eventfd(0)])
        encode_loop = streams._streams["s"].fanout.encodes
        assert encode_loop._max_bitrate_bps == used_bps
        streams.receive("s", SetLimits(fps=30, max_bitrate_bps=own_bps + 1), [])
        assert encode_loop._max_bitrate_bps == min(own_bps + 1, admin_bps or own_bps + 1)
        await streams.close()

    asyncio.run(main())


class StreamsHarness:
    """The streams of a kernel, one of them, and what is said to the kernel.

    Args:
        server: The address and port of a STUN server; empty for none.
    """

    def __init__(self, server: str) -> None:
        self.said: list[Message] = []
        self._changed = asyncio.Event()
        self._servers = IceServers(ice_servers=[IceServer(urls=[f"stun:{server}"])])
        self.streams = Streams(self._hear)
        self.say(Configure(has_ice_servers=bool(server)))
        self.say(OpenStream(fps=30, max_bitrate_bps=10**6), [os.eventfd(0)])

    def say(self, message: Message, fds: list[int] | None = None) -> None:
        """Say something about the stream, as the kernel does."""
        self.streams.receive("s", message, fds or [])

    @property
    def viewers(self) -> ViewerSet:
        return self.streams._streams["s"].viewers

    def _hear(self, stream: str, message: Message) -> None:
        self.said.append(message)
        self._changed.set()
        if type(message).__name__ == "WantIceServers":
            asyncio.get_running_loop().call_soon(self.say, self._servers)

    async def reply(self, seq: int = 1) -> Answer | Refusal:
        async with asyncio.timeout(60):
            while True:
                for message in self.said:
                    if isinstance(message, Answer | Refusal) and message.seq == seq:
                        return message
                self._changed.clear()
                await self._changed.wait()

    async def rest(self) -> None:
        """Wait until there is nothing to do but to look after viewers."""

        def n_tasks() -> int:
            viewers = (each.viewers._closing for each in self.streams._streams.values())
            every = (self.streams._tasks, self.streams._closing, *viewers)
            return sum(len(each._tasks) for each in every)

        await wait_until_async(lambda: n_tasks() == 1, "nothing is done")

    def remote_candidates(self) -> list[str]:
        viewer = self.viewers.get("v")
        assert viewer is not None
        return [each.host for each in aioice_compat._ice(viewer._connection).remote_candidates]


async def page_offer(seq: int = 1) -> Offer:
    page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    page.addTransceiver("video", direction="recvonly")
    await page.setLocalDescription(await page.createOffer())
    offer = Offer(view="v", seq=seq, sdp=page.localDescription.sdp)
    await page.close()
    return offer


def run(server: str, use: Callable[[StreamsHarness], Awaitable[None]]) -> None:
    async def live() -> None:
        aioice_compat.install()
        harness = StreamsHarness(server)
        try:
            await use(harness)
        finally:
            await harness.streams.close()

    asyncio.run(live())


def told(seq: int = 1) -> Candidates:
    return Candidates(view="v", seq=seq, candidates=[CANDIDATE])


def test_candidates_that_come_before_the_answer_are_used(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        harness.say(told())  # told once, and the kernel lets no repetition through
        assert isinstance(await harness.reply(), Answer)
        assert harness.remote_candidates() == ["198.51.100.7"]

    run(dead_server, use)


def test_candidates_that_come_after_it_are_used_once(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        await harness.reply()
        for _ in range(3):
            harness.say(told())
        await harness.rest()
        assert harness.remote_candidates() == ["198.51.100.7"]

    run(dead_server, use)


def test_candidates_of_an_older_offer_are_not_used(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        for seq in (1, 2):
            harness.say(await page_offer(seq))
        await asyncio.sleep(0)
        harness.say(told(seq=1))
        assert isinstance(await harness.reply(2), Answer)
        assert harness.remote_candidates() == []

    run(dead_server, use)


def test_page_that_leaves_before_its_answer_is_not_answered(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        await asyncio.sleep(0)
        harness.say(Bye(view="v"))
        refusal: Any = await harness.reply()
        assert "has gone" in refusal.problem
        assert not harness.viewers

    run(dead_server, use)


def test_stream_that_is_closed_before_an_answer_refuses_it(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        await asyncio.sleep(0)
        harness.say(CloseStream())
        refusal: Any = await harness.reply()
        assert "there is no stream" in refusal.problem

    run(dead_server, use)


@pytest.mark.parametrize("n_steps", range(12))
def test_page_that_leaves_while_it_is_answered_leaves_no_connection(n_steps: int) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        for _ in range(n_steps):
            await asyncio.sleep(0)
        harness.say(Bye(view="v"))
        await harness.reply()
        await harness.rest()
        assert harness.streams._network is not None
        assert not harness.streams._network.mux._by_ufrag

    run("", use)


def test_viewer_that_is_not_answered_yet_has_counters(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        harness.say(GetStats(request=1))
        (stats,) = (each for each in harness.said if isinstance(each, Stats))
        (viewer,) = stats.viewers
        assert (viewer.view, viewer.local) == ("v", "")

    run(dead_server, use)


def test_candidate_whose_end_makes_no_sense_costs_no_answer() -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        said = "candidate:1 1 udp 1 198.51.100.7 4000 typ host rport x"
        harness.say(Candidates(view="v", seq=1, candidates=[said]))
        assert isinstance(await harness.reply(), Answer)
        assert harness.remote_candidates() == ["198.51.100.7"]

    run("", use)


def test_page_that_names_ever_more_addresses_is_heard_out_once() -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        await harness.reply()
        for n in range(100):
            said = [f"candidate:1 1 udp 1 127.0.{n}.{m} 9 typ host" for m in range(64)]
            harness.say(Candidates(view="v", seq=1, candidates=said))
        await harness.rest()
        assert len(harness.remote_candidates()) == MAX_CANDIDATES

    run("", use)


def test_viewer_that_cannot_be_closed_does_not_keep_others_from_being_given_up(
    dead_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpuview.media.streams._REAP_EVERY_S", 0.01)

    async def answered(harness: StreamsHarness, seq: int) -> viewer.Viewer:
        harness.say(await page_offer(seq))
        await harness.reply(seq)
        (found,) = harness.viewers
        return found

    async def expect_given_up(harness: StreamsHarness) -> None:
        with monkeypatch.context() as late:
            late.setattr(viewer, "CONNECT_TIMEOUT_S", 0.0)
            viewers = harness.viewers
            await wait_until_async(lambda: not viewers, "the viewer is given up")

    async def use(harness: StreamsHarness) -> None:
        broken = await answered(harness, 1)
        close, broken.close = broken.close, None  # type: ignore[method-assign, assignment]
        await expect_given_up(harness)
        await close()
        await answered(harness, 2)
        await expect_given_up(harness)

    run(dead_server, use)


def test_viewer_that_is_overdue_before_its_answer_is_dropped_like_any_other(
    dead_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpuview.media.streams._REAP_EVERY_S", 0.01)
    monkeypatch.setattr(negotiation, "_SETTLE_S", 60.0)
    monkeypatch.setattr(viewer, "CONNECT_TIMEOUT_S", 0.0)

    async def use(harness: StreamsHarness) -> None:
        viewers = harness.viewers
        for seq in (1, 2):
            harness.say(await page_offer(seq))
            await wait_until_async(lambda: viewers, "there is a viewer")
            await wait_until_async(lambda: not viewers, "it is dropped")

    run(dead_server, use)


def test_dead_servers_delay_an_answer_by_a_tenth_of_a_second(dead_server: str) -> None:
    async def answer() -> tuple[Answer | Refusal, float]:
        aioice_compat.install()
        harness = StreamsHarness(dead_server)
        offer = await page_offer()
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        try:
            harness.say(offer)
            return await harness.reply(), loop.time() - before_s
        finally:
            await harness.streams.close()

    reply, delay_s = run_in_virtual_time(answer())
    assert isinstance(reply, Answer)
    assert delay_s == pytest.approx(0.1)


def replies(harness: StreamsHarness) -> list[Answer | Refusal]:
    return [each for each in harness.said if isinstance(each, Answer | Refusal)]


def test_offer_that_is_repeated_gets_the_same_answer_again() -> None:
    async def use(harness: StreamsHarness) -> None:
        offer = await page_offer()
        for _ in range(3):
            harness.say(offer)
        answer = await harness.reply()
        await harness.rest()
        assert replies(harness) == [answer]
        harness.say(offer)
        assert replies(harness) == [answer, answer]

    run("", use)


def test_offer_that_was_refused_is_refused_again_in_the_same_words(dead_server: str) -> None:
    async def use(harness: StreamsHarness) -> None:
        offer = await page_offer()
        harness.say(offer)
        harness.say(Bye(view="v"))
        refusal = await harness.reply()
        harness.say(offer)
        assert replies(harness) == [refusal, refusal]

    run(dead_server, use)


def test_offer_that_comes_after_a_newer_one_is_refused() -> None:
    async def use(harness: StreamsHarness) -> None:
        offer = await page_offer()
        harness.say(await page_offer(2))
        harness.say(offer)
        assert isinstance(await harness.reply(2), Answer)
        assert isinstance(await harness.reply(1), Refusal)

    run("", use)


@pytest.mark.parametrize(
    ("offer", "is_new"),
    [
        (Offer(view="v", seq=2, sdp="b"), True),
        (Offer(view="v", seq=3, sdp="a"), True),
        (Offer(view="v", seq=1, sdp="a"), False),
    ],
)
def test_offer_is_new_by_its_number(offer: Offer, is_new: bool) -> None:
    assert is_new_offer(offer, Offer(view="v", seq=1, sdp="a")) is is_new
    assert is_new_offer(offer, None)


def test_offer_that_differs_under_its_number_is_refused() -> None:
    with pytest.raises(SignalError, match="comes after offer 1 of the same view"):
        is_new_offer(Offer(view="v", seq=1, sdp="b"), Offer(view="v", seq=1, sdp="a"))


def fail(*args: object) -> None:
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize(
    "where", ["gpuview.webrtc.sdp.check_offer", "gpuview.media.viewer.Viewer.answer"]
)
def test_fault_of_ours_is_a_refusal_at_once_and_leaves_no_viewer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    async def use(harness: StreamsHarness) -> None:
        monkeypatch.setattr(where, fail)
        harness.say(await page_offer())
        refusal = await harness.reply()
        assert isinstance(refusal, Refusal)
        assert "gpuview failed inside: ZeroDivisionError: a fault of ours" in refusal.problem
        assert refusal.expected
        assert "report it" in refusal.fix
        await harness.rest()
        assert not harness.viewers

    run("", use)
    assert "please report it" in caplog.text


def test_viewer_that_cannot_be_checked_is_dropped_and_no_other_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpuview.media.streams._REAP_EVERY_S", 0.01)

    async def use(harness: StreamsHarness) -> None:
        for seq in (1, 2):
            harness.say(await page_offer(seq))
            await harness.reply(seq)
            (found,) = harness.viewers
            found.check = fail  # type: ignore[method-assign, assignment]
            await wait_until_async(lambda: not harness.viewers, "it is dropped")

    run("", use)


def test_stream_is_closed_although_a_viewer_of_it_cannot_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        await harness.reply()
        (found,) = harness.viewers
        close, found.close = found.close, fail  # type: ignore[method-assign, assignment]
        encode_loop = harness.streams._streams["s"].fanout.encodes
        harness.say(CloseStream())
        await harness.rest()
        assert "closed" in repr(encode_loop)
        await close()

    run("", use)
    assert "please report it" in caplog.text


def test_stream_that_is_closed_waits_for_a_viewer_that_is_still_leaving() -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        await harness.reply()
        (found,) = harness.viewers
        close, may_close, has_begun = found.close, asyncio.Event(), asyncio.Event()

        async def close_late() -> None:
            has_begun.set()
            await may_close.wait()
            await close()

        found.close = close_late  # type: ignore[method-assign]
        encode_loop = harness.streams._streams["s"].fanout.encodes
        harness.say(Bye(view="v"))
        await has_begun.wait()
        harness.say(CloseStream())
        for _ in range(100):
            await asyncio.sleep(0)
        assert "closed" not in repr(encode_loop)
        may_close.set()
        await harness.streams._closing.finish()
        assert "closed" in repr(encode_loop)

    run("", use)


def test_offer_is_answered_with_vp8_where_this_pyav_encodes_no_h264(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(harness: StreamsHarness) -> None:
        harness.say(await page_offer())
        answer = await harness.reply()
        assert isinstance(answer, Answer)
        assert "VP8/90000" in answer.sdp
        assert "H264" not in answer.sdp

    monkeypatch.setattr(peer_video, "usable_codecs", lambda setting: ("VP8",))
    run("", use)


def test_viewer_whose_video_cannot_be_sent_is_closed_so_that_its_page_comes_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise its page says "playing" for ever, with a picture that stands still."""

    async def fail(self: Subscription) -> None:
        raise RuntimeError("made up")

    async def use(harness: StreamsHarness) -> None:
        page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        page.addTransceiver("video", direction="recvonly")
        page.createDataChannel("gpuview")
        await page.setLocalDescription(await page.createOffer())
        harness.say(Offer(view="v", seq=1, sdp=page.localDescription.sdp))
        answer: Any = await harness.reply()
        await page.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        await wait_until_async(lambda: page.connectionState == "closed", "the page sees the end")
        assert not harness.viewers
        await page.close()

    monkeypatch.setattr(Subscription, "next", fail)
    run("", use)
    assert "made up" in caplog.text
