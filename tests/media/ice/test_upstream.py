"""The names borrowed from aiortc and aioice: these fail when upstream changes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from importlib.metadata import version

import aioice
import aioice.ice
import aiortc.codecs
import aiortc.rtcrtpsender
import av
import numpy as np
import pytest
from aioice.ice import StunProtocol
from aioice.turn import TurnClientMixin
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSender,
    VideoStreamTrack,
)
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    unpack_header_extensions,
)

from gpuview.media.encode.codec import Codec
from gpuview.media.encode.encoder import Encoder
from gpuview.media.ice import upstream

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"


@pytest.fixture(autouse=True)
def installed() -> None:
    upstream.install()


def test_versions_are_the_ones_that_were_read() -> None:
    assert version("aiortc").startswith("1.16.")
    assert version("aioice").startswith("0.13.")


def test_sender_still_calls_the_methods_that_are_replaced() -> None:
    run = inspect.getsource(RTCRtpSender._run_rtp)
    assert "await self._next_encoded_frame(codec)" in run
    assert "packet.serialize(self.__rtp_header_extensions_map)" in run
    assert "self.__rtp_history[packet.sequence_number % RTP_HISTORY_SIZE]" in run
    route = inspect.getsource(aiortc.rtcdtlstransport.RTCDtlsTransport._handle_rtcp_data)
    assert "await recipient._handle_rtcp_packet(packet)" in route


def test_history_is_long_enough_for_a_burst_of_losses() -> None:
    assert aiortc.rtcrtpsender.__dict__["RTP_HISTORY_SIZE"] == 2048


@pytest.mark.parametrize("codec", [Codec("H264", "Main"), Codec("VP8")], ids=str)
def test_packets_pass_a_path_of_1280_bytes(codec: Codec) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (360 * 3 // 2, 640), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
    running = Encoder(codec, 640, 360, fps=30, bitrate_bps=8_000_000)
    packet = running.encode(frame, 0, is_keyframe=True)
    assert packet is not None
    assert len(packet.payloads) > 10
    assert max(map(len, packet.payloads)) <= upstream.MAX_PAYLOAD_NBYTES


def test_aioice_still_gathers_where_its_candidates_are_replaced() -> None:
    gather = inspect.getsource(aioice.ice.Connection.gather_candidates)
    assert "self.get_component_candidates(component=component, addresses=addresses)" in gather
    assert "self._local_candidates += candidates" in gather
    assert "get_host_addresses(" in gather
    original = inspect.getsource(aioice.ice.Connection.get_component_candidates)
    assert "self._protocols += host_protocols" in original


def test_turn_client_still_sends_and_binds_as_the_relay_takes_it_to() -> None:
    send_data = inspect.getsource(TurnClientMixin.send_data)
    assert "self._send(header + data)" in send_data
    assert "channel = self.peer_to_channel.get(addr)" in send_data
    assert "now > self.channel_refresh_at[channel]" in send_data
    assert "self.refresh_task = asyncio.create_task(self.refresh(" in inspect.getsource(
        TurnClientMixin.connect
    )
    assert "self.receiver.connection_lost(exc)" in inspect.getsource(
        TurnClientMixin.connection_lost
    )


def test_machine_without_a_network_still_has_its_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream, "_get_host_addresses", lambda use_ipv4, use_ipv6: [])
    assert aioice.ice.get_host_addresses(True, True) == ["127.0.0.1"]


def test_installing_twice_changes_nothing() -> None:
    before = len(aiortc.codecs.CODECS["video"]), len(aiortc.codecs.HEADER_EXTENSIONS["video"])
    upstream.install()
    after = len(aiortc.codecs.CODECS["video"]), len(aiortc.codecs.HEADER_EXTENSIONS["video"])
    assert before == after


def test_answer_prefers_h264_main_then_baseline_then_vp8() -> None:
    async def answer() -> str:
        page, ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        # This page offers what aiortc knows, VP8 first, as Chromium does.
        page.addTransceiver("video", direction="recvonly")
        offer = await page.createOffer()
        ours.addTrack(VideoStreamTrack())
        (transceiver,) = ours.getTransceivers()
        upstream.prefer_codecs(transceiver)
        await ours.setRemoteDescription(offer)
        answer = (await ours.createAnswer()).sdp
        await asyncio.gather(page.close(), ours.close())
        return answer

    sdp = asyncio.run(answer())
    profiles = [line for line in sdp.splitlines() if "profile-level-id" in line]
    names = [line.split()[1] for line in sdp.splitlines() if line.startswith("a=rtpmap:")]
    assert [line[-6:] for line in profiles] == ["4d001f", "42e01f", "42001f"]
    assert [name for name in names if not name.startswith("rtx")][-1] == "VP8/90000"


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
        upstream.feed_sender(
            fed,
            next_frame=lambda codec: asyncio.sleep(0),  # type: ignore[arg-type, return-value]
            on_keyframe_wanted=lambda: asked.append(None),
        )
        await fed._handle_rtcp_packet(RtcpPsfbPacket(fmt=fmt, ssrc=1, media_ssrc=2))

    asyncio.run(hear())
    assert len(asked) == expected


def test_fed_sender_takes_frames_from_outside() -> None:
    async def next_frame(codec: RTCRtpCodecParameters) -> upstream.EncodedFrame:
        return upstream.encoded_frame([b"payload"], 90)

    async def ask() -> upstream.EncodedFrame:
        fed = sender()
        upstream.feed_sender(fed, next_frame=next_frame, on_keyframe_wanted=lambda: None)
        codec = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000)
        frame = await fed._next_encoded_frame(codec)
        assert frame is not None
        return frame

    frame = asyncio.run(ask())
    assert (frame.payloads, frame.timestamp, frame.audio_level) == ([b"payload"], 90, None)


def extensions(*uris: str) -> HeaderExtensionsMap:
    made = upstream._SenderExtensions()
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
    written = extensions("urn:ietf:params:rtp-hdrext:sdes:mid", PLAYOUT_DELAY)
    profile, data = written.set(HeaderExtensions(mid="0"))
    assert dict(unpack_header_extensions(profile, data)) == {4: b"0", 5: b"\0\0\0"}


def test_playout_delay_is_left_out_where_it_was_not_negotiated() -> None:
    profile, data = extensions("urn:ietf:params:rtp-hdrext:sdes:mid").set(HeaderExtensions(mid="0"))
    assert dict(unpack_header_extensions(profile, data)) == {4: b"0"}


def test_playout_delay_stands_alone_as_well() -> None:
    profile, data = extensions(PLAYOUT_DELAY).set(HeaderExtensions())
    assert len(data) % 4 == 0
    assert dict(unpack_header_extensions(profile, data)) == {4: b"\0\0\0"}


class Transport(asyncio.DatagramTransport):
    """Goes nowhere, and tells its protocol when it is closed."""

    def __init__(self, protocol: StunProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._is_closing = False

    def sendto(self, data: object, addr: object = None) -> None: ...

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


async def answering(doors: Callable[[list[str]], list[upstream.Door]]) -> RTCPeerConnection:
    """Return a connection that has gathered from ``doors`` and answered."""
    page, ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    page.addTransceiver("video", direction="recvonly")
    ours.addTrack(VideoStreamTrack())
    await ours.setRemoteDescription(await page.createOffer())
    upstream.gather_from(ours, doors)
    await ours.setLocalDescription(await ours.createAnswer())
    await page.close()
    return ours


HOST = upstream.Door("host", ("192.0.2.7", 10111), open=Transport)
MAPPED = upstream.Door("srflx", ("203.0.113.10", 10111), ("0.0.0.0", 9))
RELAY = upstream.Door("relay", ("198.51.100.2", 50_000), ("0.0.0.0", 9), Transport)


def test_candidates_are_the_doors_that_there_are() -> None:
    async def gather() -> tuple[list[str], str]:
        asked: list[list[str]] = []
        ours = await answering(lambda addresses: [asked.append(addresses), HOST, MAPPED][1:])  # type: ignore[list-item, func-returns-value]
        assert all(asked)
        found = upstream.local_candidates(ours), ours.localDescription.sdp
        await ours.close()
        return found

    candidates, sdp = asyncio.run(gather())
    types = [(text.split()[4], text.split()[7]) for text in candidates]
    assert types == [("192.0.2.7", "host"), ("203.0.113.10", "srflx")]
    assert all(f"a={text}" in sdp for text in candidates)


def test_doors_that_come_late_are_paired_with_what_the_page_has_told() -> None:
    async def pair() -> list[str]:
        ours = await answering(lambda addresses: [HOST])
        ice = ours.getTransceivers()[0].receiver.transport.transport._connection
        remote = "1 1 udp 1 198.51.100.20 4000 typ host"
        await ice.add_remote_candidate(aioice.Candidate.from_sdp(remote))
        upstream.add_doors(ours, [HOST, RELAY])
        upstream.add_doors(ours, [RELAY])
        pairs = [pair.local_candidate.type for pair in ice._check_list]
        assert len(upstream.local_candidates(ours)) == 2
        assert len(upstream.ufrag(ours)) >= 4
        await ours.close()
        upstream.add_doors(ours, [RELAY])
        assert not ice._protocols
        return pairs

    assert sorted(asyncio.run(pair())) == ["host", "relay"]


def test_doors_that_are_no_more_are_forgotten() -> None:
    """Else a NAT that changes its mind every minute would fill a message in an hour."""

    async def move() -> list[int]:
        ours = await answering(lambda addresses: [HOST])
        for port in range(1000):
            upstream.add_doors(
                ours, [upstream.Door("srflx", ("203.0.113.10", port), ("0.0.0.0", 9))]
            )
        ports = [int(text.split()[5]) for text in upstream.local_candidates(ours)]
        await ours.close()
        return ports

    assert asyncio.run(move()) == [10111, 999]


def test_relay_with_the_address_of_a_lost_one_is_a_new_door() -> None:
    async def lose() -> None:
        ours = await answering(lambda addresses: [HOST, RELAY])
        ice = ours.getTransceivers()[0].receiver.transport.transport._connection
        host, first = ice._protocols
        first.transport.close()
        upstream.add_doors(ours, [])
        assert ice._protocols == [host]
        upstream.add_doors(ours, [RELAY])
        assert len(ice._protocols) == 2
        assert ice._protocols[1] is not first
        assert len(upstream.local_candidates(ours)) == 2
        await ours.close()

    asyncio.run(lose())


def test_connection_without_a_transceiver_has_no_pair() -> None:
    async def ask() -> None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        assert upstream.selected_pair(connection) is None
        await connection.close()

    asyncio.run(ask())
