"""A viewer that says what is not true, and one that does not, on one encode.

Everything is as `PeerVideo` has it, but for the encryption and the network.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtpPacket,
    pack_remb_fci,
)

from gpuview.media.encode.codec import Packet
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.tiers import Tier
from gpuview.media.link.link import Link
from gpuview.media.rtp.sender import VideoSender
from gpuview.protocol.stats import EncoderStats
from tests.media.encode.test_fanout import MAIN, Feed, run
from tests.media.rtp.test_sender import FORMAT, RTX_SSRC, SSRC, Page, feedback, nack

FPS = 60
LINK_BPS = 5_000_000
WIDTH, HEIGHT = 192, 144


def remb(bitrate_bps: int) -> bytes:
    fci = pack_remb_fci(bitrate_bps, [SSRC])
    return bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=5, media_ssrc=0, fci=fci))


def all_lost() -> bytes:
    report = RtcpReceiverInfo(
        ssrc=SSRC, fraction_lost=255, packets_lost=9999, highest_sequence=0, jitter=0, lsr=0, dlsr=0
    )
    return bytes(RtcpRrPacket(ssrc=5, reports=[report]))


def lost(sent: int) -> bytes:
    """The page misses what was never sent; the history keeps sent packets in the same places."""
    return nack(*((sent - n) % 65536 ^ 0x8000 for n in range(50)))


def arrived(sent: int) -> bytes:
    """The page has got what was never sent: the feedback's numbers begin at 0."""
    return feedback(40_000, bytes([1]) * 1000)


REQUESTS = bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=5, media_ssrc=SSRC)) * 1000


class Viewer:
    """One viewer of a stream, whose link takes what it says."""

    def __init__(self, fanout: Fanout) -> None:
        self.page = Page()
        self.taken: asyncio.Queue[Packet] = asyncio.Queue()
        self.subscription = subscription = fanout.subscribe(MAIN)

        async def next_frame() -> Packet:
            packet = await subscription.next()
            self.taken.put_nowait(packet)
            return packet

        self.sender = VideoSender(
            FORMAT,
            self.page,
            Link(time.monotonic(), ceiling_bps=LINK_BPS, start_bps=LINK_BPS),
            send=self.page.send,
            next_frame=next_frame,
            on_room=lambda target_bps, lasting_bps, free_s: subscription.report(
                target_bps=target_bps, lasting_bps=lasting_bps, free_s=free_s
            ),
            on_keyframe_request=subscription.request_keyframe,
            on_failure=self.page.failures.append,
        )

    @property
    def newest_number(self) -> int:
        return RtpPacket.parse(self.page.rtp[-1]).sequence_number

    def say(self, message: bytes) -> None:
        self.sender.take_rtcp(message)


class Pair:
    """Two viewers of one encode, one of whom is well."""

    def __init__(self, fanout: Fanout, feed: Feed) -> None:
        self.well, self.hostile = Viewer(fanout), Viewer(fanout)
        self._fanout = fanout
        self._feed = feed
        self._noise = np.random.default_rng(0)
        self._capture_ns = 0

    async def show_next(self) -> None:
        """Show another picture, which has to reach the viewer who is well."""
        pixels = self._noise.integers(100, 148, WIDTH * HEIGHT * 3 // 2, np.uint8)
        self._feed.show_pixels(self._fanout, pixels, WIDTH, HEIGHT)
        while (packet := await self.well.taken.get()).capture_ns == self._capture_ns:
            pass
        assert packet.width == WIDTH
        self._capture_ns = packet.capture_ns

    def full(self) -> EncoderStats:
        return next(each for each in self._fanout.encodes.stats() if each.tier == "full")

    async def stop(self) -> None:
        await self.well.sender.stop()
        await self.hostile.sender.stop()


def with_pair(work: Callable[[Pair], Awaitable[None]]) -> None:
    async def main(fanout: Fanout, feed: Feed) -> None:
        fanout.encodes.set_limits(FPS, 2 * LINK_BPS)
        pair = Pair(fanout, feed)
        try:
            await work(pair)
        finally:
            await pair.stop()
        assert pair.well.page.failures == pair.hostile.page.failures == []
        assert pair.well.subscription.tier is Tier.FULL

    run(main)


@pytest.mark.parametrize("lie", [lost, arrived])
def test_flood_of_reports_on_what_was_never_sent_changes_nothing(
    lie: Callable[[int], bytes],
) -> None:
    async def work(pair: Pair) -> None:
        for _ in range(2):  # from the second on, the encoder knows both links
            await pair.show_next()
        target_bps = pair.full().target_bps
        for _ in range(FPS):
            for _ in range(10):
                pair.hostile.say(lie(pair.hostile.newest_number))
            await pair.show_next()
            assert pair.full().target_bps == target_bps
        assert pair.full().keyframes == 1
        assert pair.hostile.subscription.tier is Tier.FULL
        assert pair.hostile.page.packets(RTX_SSRC) == []

    with_pair(work)


@pytest.mark.parametrize(
    "flood", [REQUESTS, remb(0) + all_lost()], ids=["keyframe requests", "complaints"]
)
def test_flood_that_disturbs_the_encode_is_soon_alone_in_a_smaller_picture(flood: bytes) -> None:
    async def work(pair: Pair) -> None:
        for _ in range(2):
            await pair.show_next()
        target_bps = pair.full().target_bps
        began_s = time.monotonic()
        n_shown = 0
        while pair.hostile.subscription.tier is Tier.FULL:
            pair.hostile.say(flood)
            await pair.show_next()
            n_shown += 1
            assert n_shown < 5 * FPS  # it takes two seconds
        n_keyframes = pair.full().keyframes
        # Three in the first second, and then one in two seconds.
        assert n_keyframes <= 4 + (time.monotonic() - began_s) / 2
        for _ in range(FPS):
            pair.hostile.say(flood)
            await pair.show_next()
        assert pair.full().keyframes <= n_keyframes + 1  # which was requested before
        assert pair.full().target_bps == target_bps

    with_pair(work)
