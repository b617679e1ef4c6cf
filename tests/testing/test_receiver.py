"""What the headless viewer's receiver does beyond aiortc's, with real packets of ours."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from gpuview.testing.receiver import Receiver

SSRC = 7
VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90000, payloadType=96)
VP8_PAYLOAD = b"\x10picture"  # the first packet of a frame


class Transport:
    state = "connected"


class Page:
    """A receiver of one codec, whose decoder's queue is looked at, and whose NACKs are kept."""

    def __init__(self) -> None:
        self.nacks: list[list[int]] = []
        self.receiver: Any = RTCRtpReceiver("video", Transport())  # type: ignore[arg-type]
        self._parts = vars(self.receiver)
        self._part("codecs")[96] = VP8
        self._parts["_RTCRtpReceiver__decoder_thread"] = True
        self._parts["_send_rtcp_nack"] = self._keep_nack
        self.ours = Receiver(self.receiver)

    async def take(self, number: int) -> None:
        """Take a frame of one packet."""
        packet = RtpPacket(96, 1, number % 65536, 3000 * number % 2**32, SSRC, VP8_PAYLOAD)
        await self.receiver._handle_rtp_packet(packet, arrival_time_ms=0)

    def decoded(self) -> list[int]:
        """Return the timestamps of the frames that have gone to the decoder, in frames."""
        frames: queue.Queue[Any] = self._part("decoder_queue")
        return [frames.get()[1].timestamp // 3000 for _ in range(frames.qsize())]

    def _part(self, name: str) -> Any:
        return self._parts[f"_RTCRtpReceiver__{name}"]

    async def _keep_nack(self, ssrc: int, lost: list[int]) -> None:
        assert ssrc == SSRC
        self.nacks.append(lost)


def test_all_frames_that_are_whole_are_decoded_when_the_missing_packet_comes() -> None:
    async def test() -> None:
        page = Page()
        for number in (0, 1, 3, 4, 5, 6):
            await page.take(number)
        assert page.decoded() == [0]
        await page.take(2)
        assert page.decoded() == [1, 2, 3, 4, 5]
        await page.take(7)
        assert page.decoded() == [6]

    asyncio.run(test())


def test_frames_have_their_rtp_timestamps_also_when_these_wrap() -> None:
    async def test() -> None:
        page = Page()
        first = 2**32 // 3000 - 1
        for number in range(first, first + 5):
            await page.take(number)
        assert page.decoded() == list(range(first, first + 4))

    asyncio.run(test())


def test_a_missing_packet_is_asked_for_until_it_comes() -> None:
    async def test() -> None:
        page = Page()
        for number in (0, 2):
            await page.take(number)
        assert page.nacks == [[1]]  # aiortc's own
        await page.ours.ask_again()
        assert page.nacks == [[1]]  # it has just been asked for
        await page.ours.ask_again()
        await page.ours.ask_again()
        assert page.nacks == [[1]] * 3
        await page.take(1)
        await page.ours.ask_again()
        assert page.nacks == [[1]] * 3

    asyncio.run(test())


def test_a_packet_that_has_been_given_up_is_not_asked_for() -> None:
    async def test() -> None:
        page = Page()
        await page.take(0)
        for number in range(2, 202):
            await page.take(number)
        page.nacks.clear()
        for _ in range(3):
            await page.ours.ask_again()
        assert page.nacks == []

    asyncio.run(test())
