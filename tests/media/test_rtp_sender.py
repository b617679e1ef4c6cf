"""The RTP sender's seam works; these tests fail when aiortc changes."""

from __future__ import annotations

import asyncio
import re
from itertools import count
from pathlib import Path

import aiortc.codecs
import av
import numpy as np
import pytest
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSender,
    VideoStreamTrack,
)
from aiortc.rtcrtpparameters import RTCRtcpParameters, RTCRtpParameters, RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    is_rtcp,
    unpack_header_extensions,
)

from gpuview.errors import MediaError
from gpuview.media import rtp_sender
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.encoder import Encoder
from gpuview.media.ice import upstream
from tests.waiting import wait_until_async

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=96)
RTX = RTCRtpCodecParameters(
    mimeType="video/rtx", clockRate=90_000, payloadType=97, parameters={"apt": 96}
)


@pytest.fixture(autouse=True)
def installed() -> None:
    upstream.install()


def test_only_this_seam_imports_the_insides_of_aiortc() -> None:
    root = Path(rtp_sender.__file__).parents[1]
    importing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^(?:from|import) aiortc\.", path.read_text(), re.MULTILINE)
    }
    # The headless viewer is a browser in Python, and no part of the media process.
    assert {name for name in importing if not name.startswith("testing/")} == {
        "media/rtp_sender.py"
    }


@pytest.mark.parametrize(("package", "found"), [("aiortc", "1.17.0"), ("aioice", "0.14.0")])
def test_unknown_version_is_refused(
    package: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = rtp_sender.version
    monkeypatch.setattr(
        rtp_sender, "version", lambda name: found if name == package else known(name)
    )
    with pytest.raises(MediaError, match=f"cannot work with {package} {found}") as caught:
        upstream.install()
    assert caught.value.fix.startswith(f"pip install '{package}==")


def test_installing_twice_changes_nothing() -> None:
    before = len(aiortc.codecs.CODECS["video"]), len(aiortc.codecs.HEADER_EXTENSIONS["video"])
    upstream.install()
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
    assert max(map(len, packet.payloads)) <= rtp_sender.MAX_PAYLOAD_NBYTES


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
        rtp_sender.prefer_codecs(transceiver, usable)
        await ours.setRemoteDescription(offer)
        answer = (await ours.createAnswer()).sdp
        await asyncio.gather(page.close(), ours.close())
        return answer

    sdp = asyncio.run(answer())
    found = [line[-6:] for line in sdp.splitlines() if "profile-level-id" in line]
    names = [line.split()[1] for line in sdp.splitlines() if line.startswith("a=rtpmap:")]
    assert found == profiles
    assert [name for name in names if not name.startswith("rtx")][-1] == last


class Wire:
    """Stands in for the DTLS transport, and records the packets."""

    state = "connected"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def _register_rtp_sender(self, sender: RTCRtpSender, parameters: object) -> None: ...

    def _unregister_rtp_sender(self, sender: RTCRtpSender) -> None: ...

    async def _send_rtp(self, data: bytes) -> None:
        if not is_rtcp(data):
            self.sent.append(data)


async def sending(wire: Wire, n_frames: int) -> RTCRtpSender:
    """Return a sender that has sent frames with one payload each."""
    sender = RTCRtpSender(VideoStreamTrack(), wire)  # type: ignore[arg-type]
    numbers = count()

    async def next_frame(codec: RTCRtpCodecParameters) -> rtp_sender.EncodedFrame:
        assert codec == VP8
        n = next(numbers)
        if n == n_frames:
            await asyncio.Event().wait()
        return rtp_sender.encoded_frame([b"frame %d" % n], n * 3000)

    rtp_sender.feed_sender(sender, next_frame=next_frame, on_keyframe_request=lambda: None)
    extension = RTCRtpHeaderExtensionParameters(id=5, uri=PLAYOUT_DELAY)
    await sender.send(
        RTCRtpSendParameters(
            codecs=[VP8, RTX],
            headerExtensions=[extension],
            muxId="0",
            rtcp=RTCRtcpParameters(cname="us"),
        )
    )
    await wait_until_async(lambda: len(wire.sent) == n_frames, "all frames are sent")
    return sender


def test_frames_from_outside_are_sent_with_the_playout_delay() -> None:
    async def send() -> list[bytes]:
        wire = Wire()
        await (await sending(wire, 3)).stop()
        return wire.sent

    sent = asyncio.run(send())
    packets = [RtpPacket.parse(data) for data in sent]
    assert [packet.payload for packet in packets] == [b"frame 0", b"frame 1", b"frame 2"]
    assert [packet.timestamp for packet in packets] == [0, 3000, 6000]
    extensions = [
        dict(unpack_header_extensions(int.from_bytes(data[12:14]), data[16:20])) for data in sent
    ]
    assert extensions == [{5: b"\0\0\0"}] * 3


def test_packet_of_two_seconds_ago_is_sent_again() -> None:
    async def lose() -> tuple[RtpPacket, RtpPacket]:
        wire = Wire()
        sender = await sending(wire, 2000)
        first = RtpPacket.parse(wire.sent[0])
        await sender._handle_rtcp_packet(
            RtcpRtpfbPacket(
                fmt=RTCP_RTPFB_NACK,
                ssrc=1,
                media_ssrc=sender._ssrc,
                lost=[first.sequence_number],
            )
        )
        await wait_until_async(lambda: len(wire.sent) == 2001, "it is sent again")
        await sender.stop()
        return first, RtpPacket.parse(wire.sent[-1])

    first, again = asyncio.run(lose())
    assert again.payload_type == RTX.payloadType
    assert again.payload == first.sequence_number.to_bytes(2) + b"frame 0"


def test_pages_keyframe_request_arrives() -> None:
    async def request() -> None:
        page, ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        page.addTransceiver("video", direction="recvonly")
        sender = ours.addTrack(VideoStreamTrack())
        is_sending, is_requested = asyncio.Event(), asyncio.Event()

        async def next_frame(codec: RTCRtpCodecParameters) -> rtp_sender.EncodedFrame:
            is_sending.set()
            await asyncio.sleep(0.05)
            return rtp_sender.encoded_frame([b"payload"], 90)

        rtp_sender.feed_sender(sender, next_frame=next_frame, on_keyframe_request=is_requested.set)
        await page.setLocalDescription(await page.createOffer())
        await ours.setRemoteDescription(page.localDescription)
        await ours.setLocalDescription(await ours.createAnswer())
        await page.setRemoteDescription(ours.localDescription)
        try:
            async with asyncio.timeout(60):
                await is_sending.wait()
                await page.getReceivers()[0]._send_rtcp_pli(sender._ssrc)
                await is_requested.wait()
        finally:
            await asyncio.gather(page.close(), ours.close())

    asyncio.run(request())


def test_dropped_video_is_counted_frame_by_frame() -> None:
    async def drop() -> None:
        page, ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        receiver = page.addTransceiver("video", direction="recvonly").receiver
        sender = ours.addTrack(VideoStreamTrack())
        arrivals: asyncio.Queue[None] = asyncio.Queue()
        n_sent = 0

        async def next_frame(codec: RTCRtpCodecParameters) -> rtp_sender.EncodedFrame:
            nonlocal n_sent
            await asyncio.sleep(0.05)
            n_sent += 1
            return rtp_sender.encoded_frame([b"first", b"last"], 90 * n_sent)

        rtp_sender.drop_video(receiver, lambda: arrivals.put_nowait(None))
        rtp_sender.feed_sender(sender, next_frame=next_frame, on_keyframe_request=lambda: None)
        await page.setLocalDescription(await page.createOffer())
        await ours.setRemoteDescription(page.localDescription)
        await ours.setLocalDescription(await ours.createAnswer())
        await page.setRemoteDescription(ours.localDescription)
        try:
            async with asyncio.timeout(60):
                for _ in range(3):
                    await arrivals.get()
            assert n_sent >= 3 + arrivals.qsize()
        finally:
            await asyncio.gather(page.close(), ours.close())

    asyncio.run(drop())


def sender() -> RTCRtpSender:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    return connection.addTrack(VideoStreamTrack())


@pytest.mark.parametrize(
    ("fmt", "expected"), [(RTCP_PSFB_PLI, 1), (RTCP_PSFB_FIR, 1), (RTCP_PSFB_APP, 0)]
)
def test_keyframe_requests_reach_the_encoder_and_bitrate_estimates_do_not(
    fmt: int, expected: int
) -> None:
    asked: list[None] = []

    async def hear() -> None:
        fed = sender()
        rtp_sender.feed_sender(
            fed,
            next_frame=lambda codec: asyncio.sleep(0),  # type: ignore[arg-type, return-value]
            on_keyframe_request=lambda: asked.append(None),
        )
        await fed._handle_rtcp_packet(RtcpPsfbPacket(fmt=fmt, ssrc=1, media_ssrc=2))

    asyncio.run(hear())
    assert len(asked) == expected


def extensions(*uris: str) -> HeaderExtensionsMap:
    made = rtp_sender._SenderExtensions()
    made.configure(
        RTCRtpParameters(
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(id=number, uri=uri)
                for number, uri in enumerate(uris, start=4)
            ]
        )
    )
    return made


def test_packets_ask_for_no_playout_delay() -> None:
    written = extensions(MID, PLAYOUT_DELAY)
    profile, data = written.set(HeaderExtensions(mid="0"))
    assert dict(unpack_header_extensions(profile, data)) == {4: b"0", 5: b"\0\0\0"}


def test_playout_delay_is_left_out_where_it_was_not_negotiated() -> None:
    profile, data = extensions(MID).set(HeaderExtensions(mid="0"))
    assert dict(unpack_header_extensions(profile, data)) == {4: b"0"}


def test_playout_delay_stands_alone_as_well() -> None:
    profile, data = extensions(PLAYOUT_DELAY).set(HeaderExtensions())
    assert len(data) % 4 == 0
    assert dict(unpack_header_extensions(profile, data)) == {4: b"\0\0\0"}
