"""The RTP sender's seam works; these tests fail when aiortc changes."""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aiortc.codecs
import av
import numpy as np
import pytest
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    VideoStreamTrack,
)
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPsfbPacket, RtpPacket

from gpuview.errors import MediaError
from gpuview.media import aiortc_compat
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.ice import aioice_compat
from gpuview.media.link.controller import START_BPS
from gpuview.media.link.link import Link
from gpuview.media.rtp.packets import (
    ABS_SEND_TIME_URI,
    MID_URI,
    PLAYOUT_DELAY_URI,
    TRANSPORT_CC_URI,
    StreamFormat,
)
from gpuview.media.rtp.sender import VideoSender
from gpuview.testing.feedback import ArrivalReport, extension_id
from tests.waiting import wait_until_async


@pytest.fixture(autouse=True)
def installed() -> None:
    aioice_compat.install()


def test_only_this_seam_imports_the_insides_of_aiortc() -> None:
    root = Path(aiortc_compat.__file__).parents[1]
    importing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^(?:from|import) aiortc\.", path.read_text(), re.MULTILINE)
    }
    # The headless viewer is a browser in Python, and no part of the media process.
    assert {name for name in importing if not name.startswith("testing/")} == {
        "media/aiortc_compat.py"
    }


@pytest.mark.parametrize(("package", "found"), [("aiortc", "1.17.0"), ("aioice", "0.14.0")])
def test_unknown_version_is_refused(
    package: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = aiortc_compat.version
    monkeypatch.setattr(
        aiortc_compat, "version", lambda name: found if name == package else known(name)
    )
    with pytest.raises(MediaError, match=f"cannot work with {package} {found}") as caught:
        aioice_compat.install()
    assert caught.value.fix.startswith(f"pip install '{package}==")


def test_installing_twice_changes_nothing() -> None:
    before = len(aiortc.codecs.CODECS["video"]), len(aiortc.codecs.HEADER_EXTENSIONS["video"])
    aioice_compat.install()
    after = len(aiortc.codecs.CODECS["video"]), len(aiortc.codecs.HEADER_EXTENSIONS["video"])
    assert before == after


@pytest.mark.parametrize("codec", [Codec("H264", "Main"), Codec("VP8")], ids=str)
def test_packets_pass_a_path_of_1280_bytes(codec: Codec) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (360 * 3 // 2, 640), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
    running = Encoder(codec, 640, 360, fps=30, max_bitrate_bps=8_000_000)
    packet = running.encode(frame, 0, 0, is_keyframe=True)
    assert packet is not None
    assert len(packet.payloads) > 10
    assert max(map(len, packet.payloads)) <= aiortc_compat.MAX_PAYLOAD_NBYTES


@pytest.mark.parametrize(
    ("usable", "profiles", "last"),
    [
        (("H264", "VP8"), ["4d001f", "42e01f", "42001f"], "VP8/90000"),
        (("VP8",), [], "VP8/90000"),
        (("H264",), ["4d001f", "42e01f", "42001f"], "H264/90000"),
    ],
)
def test_answer_prefers_h264_main_then_baseline_then_vp8_of_those_that_are_usable(
    usable: tuple[str, ...], profiles: list[str], last: str
) -> None:
    async def answer() -> str:
        page, ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        # This page offers what aiortc knows, VP8 first, as Chromium does.
        page.addTransceiver("video", direction="recvonly")
        offer = await page.createOffer()
        ours.addTrack(VideoStreamTrack())
        (transceiver,) = ours.getTransceivers()
        aiortc_compat.prefer_codecs(transceiver, usable)
        await ours.setRemoteDescription(offer)
        answer = (await ours.createAnswer()).sdp
        await asyncio.gather(page.close(), ours.close())
        return answer

    sdp = asyncio.run(answer())
    found = [line[-6:] for line in sdp.splitlines() if "profile-level-id" in line]
    names = [line.split()[1] for line in sdp.splitlines() if line.startswith("a=rtpmap:")]
    assert found == profiles
    assert [name for name in names if not name.startswith("rtx")][-1] == last


@pytest.fixture(scope="module")
def packets() -> list[Packet]:
    """Sixty encoded frames of noise, of several RTP packets each."""
    running = Encoder(Codec("VP8"), 160, 120, fps=30, max_bitrate_bps=1_000_000)
    random = np.random.default_rng(3)
    encoded = []
    for n in range(60):
        noise = random.integers(0, 256, (120 * 3 // 2, 160), np.uint8)
        frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
        packet = running.encode(frame, 3000 * n, n * 33_000_000, is_keyframe=n == 0)
        assert packet is not None
        encoded.append(packet)
    return encoded


class Ours:
    """Our end of a connection, in which a `VideoSender` has taken over."""

    def __init__(self, page: RTCPeerConnection) -> None:
        self.page = page
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames: asyncio.Queue[Packet] = asyncio.Queue()
        self.failures: list[Exception] = []
        self.is_asked_for_keyframe = asyncio.Event()
        self.is_sending = asyncio.Event()
        self.lose_every: int | None = None
        """So many video packets, and one is lost on its first way; never the very first."""
        self._n_video = 0
        sender = self.connection.addTrack(VideoStreamTrack())
        aiortc_compat.take_over(sender, self._start, self.failures.append)

    def _start(
        self, codec: RTCRtpCodecParameters, negotiated: StreamFormat, srtp: aiortc_compat.Srtp
    ) -> VideoSender:
        self.codec, self.negotiated, self.srtp = codec, negotiated, srtp
        self.sender = VideoSender(
            negotiated,
            srtp,
            Link(asyncio.get_running_loop().time(), ceiling_bps=20_000_000),
            send=self._send,
            next_frame=self.frames.get,
            on_room=lambda target_bps, lasting_bps, free_s: None,
            on_keyframe_request=self.is_asked_for_keyframe.set,
            on_failure=self.failures.append,
        )
        self.is_sending.set()
        return self.sender

    def _send(self, datagrams: list[bytes]) -> None:
        for data in datagrams:
            is_video = data[8:12] == self.negotiated.ssrc.to_bytes(4)
            self._n_video += is_video
            if not (is_video and self.lose_every and self._n_video % self.lose_every == 0):
                aioice_compat.send_datagrams(self.connection, [data])

    async def say(self, rtcp: bytes) -> None:
        """Let the page send RTCP."""
        await self.page.getReceivers()[0].transport._send_rtp(rtcp)


@asynccontextmanager
async def connected(offer: Callable[[str], str] = str) -> AsyncIterator[Ours]:
    """Connect a page of aiortc's and our end, and close both."""
    page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    page.addTransceiver("video", direction="recvonly")
    ours = Ours(page)
    await page.setLocalDescription(await page.createOffer())
    description = page.localDescription
    description.sdp = offer(description.sdp)
    await ours.connection.setRemoteDescription(description)
    await ours.connection.setLocalDescription(await ours.connection.createAnswer())
    await page.setRemoteDescription(ours.connection.localDescription)
    try:
        async with asyncio.timeout(60):
            await ours.is_sending.wait()
            yield ours
    finally:
        await asyncio.gather(page.close(), ours.connection.close())


def run(use: Callable[[Ours], Awaitable[None]], offer: Callable[[str], str] = str) -> Ours:
    async def main() -> Ours:
        async with connected(offer) as ours:
            await use(ours)
        return ours

    return asyncio.run(main())


def without(*words: str) -> Callable[[str], str]:
    """Take the lines that contain one of the words out of an offer."""

    def strip(sdp: str) -> str:
        lines = sdp.splitlines(keepends=True)
        return "".join(line for line in lines if not any(word in line for word in words))

    return strip


def test_numbers_that_the_page_knows_the_video_by_are_told() -> None:
    async def use(ours: Ours) -> None:
        answer = ours.connection.localDescription.sdp
        told = ours.negotiated
        assert ours.codec.mimeType == "video/VP8"
        assert f"a=rtpmap:{told.payload_type} VP8/90000" in answer
        assert f"a=fmtp:{told.rtx_payload_type} apt={told.payload_type}" in answer
        assert f"a=ssrc-group:FID {told.ssrc} {told.rtx_ssrc}" in answer
        assert f"a=mid:{told.mid}" in answer
        assert f"a=ssrc:{told.ssrc} cname:{told.cname}" in answer
        assert set(told.extension_ids) == {
            ABS_SEND_TIME_URI,
            MID_URI,
            PLAYOUT_DELAY_URI,
            TRANSPORT_CC_URI,
        }
        for uri, number in told.extension_ids.items():
            assert f"a=extmap:{number} {uri}" in answer

    run(use)


@pytest.mark.parametrize("word", [TRANSPORT_CC_URI, "transport-cc"])
def test_transport_feedback_is_negotiated_only_if_the_page_offers_all_of_it(word: str) -> None:
    async def use(ours: Ours) -> None:
        assert TRANSPORT_CC_URI not in ours.negotiated.extension_ids

    async def use_all(ours: Ours) -> None:
        assert TRANSPORT_CC_URI in ours.negotiated.extension_ids
        payload_type = ours.negotiated.payload_type
        answer = ours.connection.localDescription.sdp
        assert f"a=rtcp-fb:{payload_type} transport-cc" in answer

    run(use, without(word))
    run(use_all)


def test_page_that_cannot_ask_again_is_sent_no_retransmissions() -> None:
    async def use(ours: Ours) -> None:
        assert ours.negotiated.rtx_payload_type is None

    run(use, without("rtx/", " apt="))


def test_page_decodes_all_frames_although_every_fifth_packet_is_lost(
    packets: list[Packet],
) -> None:
    async def use(ours: Ours) -> None:
        ours.lose_every = 5
        (receiver,) = ours.page.getReceivers()
        # A loss at the end of a frame is noticed with the next one, and aiortc takes a frame as
        # complete when the next one begins.
        in_flight = 3
        times = []
        for n, packet in enumerate(packets):
            ours.frames.put_nowait(packet)
            if n >= in_flight:
                times.append((await receiver.track.recv()).pts)
        assert {later - earlier for earlier, later in pairwise(times)} == {3000}
        assert not ours.is_asked_for_keyframe.is_set()

    assert run(use).failures == []


def test_all_that_the_page_says_by_rtcp_is_heard() -> None:
    """Transport-wide feedback too, which aiortc reads as NACKs."""

    async def use(ours: Ours) -> None:
        ours.frames.put_nowait(Packet(b"x", [b"x"], 0, 0, True, 2, 2, None))
        await wait_until_async(lambda: ours.sender.link.next_number == 1, "a packet is sent")
        fci = struct.pack("!HHIHB", 0, 1, 100 << 8, 1 << 13 | 1, 0) + b"\0"
        await ours.say(struct.pack("!BBHII", 0x8F, 205, 5, 5, 0) + fci)
        await wait_until_async(lambda: ours.sender.link.round_trip_s, "the feedback is heard")
        ssrc = ours.negotiated.ssrc
        await ours.say(bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=5, media_ssrc=ssrc)))
        await ours.is_asked_for_keyframe.wait()

    run(use)


def test_fast_link_is_found_by_the_feedback_of_a_page() -> None:
    async def use(ours: Ours) -> None:
        (receiver,) = ours.page.getReceivers()
        number = extension_id(ours.connection.localDescription.sdp)
        assert number is not None
        arrivals = ArrivalReport(number)
        aiortc_compat.watch_packets(receiver, lambda data: arrivals.add(data, time.monotonic()))
        aiortc_compat.drop_video(receiver, lambda timestamp: None)
        for n in range(1000):
            ours.frames.put_nowait(Packet(b"", [bytes(1000)] * 4, n, 0, True, 2, 2, None))
            await asyncio.sleep(0.03)
            if (message := arrivals.take()) is not None:
                await aiortc_compat.send_rtcp(receiver, message)
            if ours.sender.link.target_bps > 4 * START_BPS:
                break
        assert ours.sender.link.target_bps > 4 * START_BPS
        assert ours.sender.link.stats(time.monotonic()).loss == 0

    run(use)


def test_connection_within_one_machine_is_known_as_such() -> None:
    async def use(ours: Ours) -> None:
        pair = aioice_compat.selected_pair(ours.connection)
        assert pair is not None
        assert pair.is_local

    run(use)


def test_connection_is_the_one_that_has_found_the_page() -> None:
    async def use(ours: Ours) -> None:
        ice = aiortc_compat.ice_connection(ours.connection)
        assert f"a=ice-ufrag:{ice.local_username}\r\n" in ours.connection.localDescription.sdp

    run(use)


def test_connection_that_ends_is_no_longer_open_and_stops_the_sender() -> None:
    async def use(ours: Ours) -> None:
        assert ours.srtp.is_open
        await ours.page.close()
        await wait_until_async(lambda: not ours.srtp.is_open, "the end is noticed")
        await wait_until_async(lambda: "over" in repr(ours.sender), "it is stopped")

    run(use)


def test_closing_stops_the_sender() -> None:
    async def use(ours: Ours) -> None: ...

    ours = run(use)
    assert "over" in repr(ours.sender)
    assert ours.failures == []


def test_connection_that_never_came_up_closes() -> None:
    async def close() -> None:
        page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        ours = Ours(page)
        await asyncio.gather(page.close(), ours.connection.close())
        assert (page.connectionState, ours.connection.connectionState) == ("closed", "closed")

    asyncio.run(close())


def test_dropped_video_is_counted_frame_by_frame() -> None:
    async def use(ours: Ours) -> None:
        arrivals: asyncio.Queue[int] = asyncio.Queue()
        aiortc_compat.drop_video(ours.page.getReceivers()[0], arrivals.put_nowait)
        for n in range(3):
            ours.frames.put_nowait(Packet(b"", [b"first", b"last"], n, 0, True, 2, 2, None))
        assert [await arrivals.get() for _ in range(3)] == [0, 1, 2]
        assert arrivals.empty()

    run(use)


def test_frame_that_comes_again_is_not_counted_again() -> None:
    async def use(ours: Ours) -> None:
        counted: list[int] = []
        receiver = ours.page.getReceivers()[0]
        aiortc_compat.drop_video(receiver, counted.append)
        for timestamp in (2**32 - 1, 5, 2**32 - 1, 5, 9):
            packet = RtpPacket(96, 1, 77, timestamp, ours.negotiated.ssrc, b"payload")
            await receiver._handle_rtp_packet(packet, arrival_time_ms=0)
        assert counted == [2**32 - 1, 5, 9]

    run(use)


def test_packets_are_encrypted_for_the_page() -> None:
    async def use(ours: Ours) -> None:
        packet = RtpPacket(96, 1, 77, 5, ours.negotiated.ssrc, b"payload").serialize()
        encrypted = ours.srtp.protect(packet)
        assert len(encrypted) > len(packet)
        session = ours.page.getReceivers()[0].transport._rx_srtp
        assert session.unprotect(encrypted) == packet

    run(use)


def test_failure_to_start_is_told() -> None:
    async def fail() -> list[Exception]:
        failures: list[Exception] = []
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sender = connection.addTrack(VideoStreamTrack())
        aiortc_compat.take_over(sender, lambda *args: 1 / 0, failures.append)  # type: ignore[arg-type, return-value]
        ours = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        ours.addTransceiver("video", direction="recvonly")
        await ours.setLocalDescription(await ours.createOffer())
        await connection.setRemoteDescription(ours.localDescription)
        await connection.setLocalDescription(await connection.createAnswer())
        await ours.setRemoteDescription(connection.localDescription)
        await wait_until_async(lambda: failures, "it is told")
        await asyncio.gather(ours.close(), connection.close())
        return failures

    (failure,) = asyncio.run(fail())
    assert isinstance(failure, ZeroDivisionError)
