"""The only names that are borrowed from the insides of aiortc and aioice.

Both are pinned to one minor version (pyproject.toml), and ``tests/media/test_seams.py`` fails when
a name used here goes away or changes its meaning. Everything else uses their public interface.

What is borrowed, and why:

- ``CODECS["video"]``: to offer H.264 Main, whose CABAC is worth 20 % of the bitrate.
- ``HEADER_EXTENSIONS["video"]`` and the sender's extension map: the playout-delay extension, which
  takes Chromium's jitter buffer from 18 ms to 1 ms.
- ``PACKET_MAX``: with 1300 bytes of payload a packet does not pass a path of 1280 bytes, which is
  what IPv6 grants and many VPNs have; where the ICMP that would tell is dropped, all video is lost.
- ``RTP_HISTORY_SIZE``: 128 packets are 0.15 s at 8 Mbit/s; a loss burst froze the picture for 3 s.
- the sender's ``_next_encoded_frame`` and ``_handle_rtcp_packet``: packets that were encoded and
  split once for all viewers, and keyframe requests that reach that one encoder.
- ``aioice.ice.get_host_addresses``: a machine without a network still has its loopback.
- the ICE connection's ``get_component_candidates``, ``_protocols`` and ``_local_candidates``: its
  candidates are doorways into the shared socket and the shared relay, also those that come late.
- a TURN client's ``_send``: its own ``send_data`` makes a task of every packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import aioice.ice
import aiortc.codecs
import aiortc.codecs.h264
import aiortc.codecs.vpx
import aiortc.rtcrtpsender
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol
from aioice.turn import TurnClientProtocol
from aiortc import (
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    AnyRtcpPacket,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
)

from gpuview.media.ice.sockets import Address

__all__ = [
    "Door",
    "EncodedFrame",
    "Pair",
    "add_doors",
    "encoded_frame",
    "feed_sender",
    "gather_from",
    "gather_loopback_when_alone",
    "install",
    "local_candidates",
    "prefer_codecs",
    "selected_pair",
    "send_to_turn_server",
    "ufrag",
]

EncodedFrame = RTCEncodedFrame


def encoded_frame(payloads: list[bytes], timestamp: int) -> EncodedFrame:
    """Return one frame as the sender takes it: its RTP payloads and its 90 kHz timestamp."""
    # Video has no audio level; the annotation has not heard of video.
    return RTCEncodedFrame(payloads, timestamp, cast(int, None))


RTP_HISTORY_PACKETS = 2048

MAX_PAYLOAD_NBYTES = 1160
"""1280 less the headers of IPv6, UDP, a TURN channel, RTP with its extensions and retransmission,
and SRTP's tag, and 20 to spare."""

_H264_MAIN = "4d001f"
_PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
_PLAYOUT_DELAY_ID = 12  # our offer's; the answer takes the browser's
_ONE_BYTE_PROFILE = 0xBEDE


def install() -> None:
    """Teach this process's aiortc and aioice what gpuview needs. Does nothing the second time."""
    if any(ext.uri == _PLAYOUT_DELAY_URI for ext in aiortc.codecs.HEADER_EXTENSIONS["video"]):
        return
    aiortc.codecs.HEADER_EXTENSIONS["video"].append(
        RTCRtpHeaderExtensionParameters(id=_PLAYOUT_DELAY_ID, uri=_PLAYOUT_DELAY_URI)
    )
    aiortc.codecs.CODECS["video"] += _h264_main()
    for packetizer in (aiortc.codecs.h264, aiortc.codecs.vpx):
        vars(packetizer)["PACKET_MAX"] = MAX_PAYLOAD_NBYTES
    vars(aiortc.rtcrtpsender)["RTP_HISTORY_SIZE"] = RTP_HISTORY_PACKETS
    gather_loopback_when_alone()


def _h264_main() -> list[RTCRtpCodecParameters]:
    """Return Main and its retransmissions, like aiortc's own entry for Baseline."""
    videos = aiortc.codecs.CODECS["video"]
    model = next(codec for codec in videos if codec.mimeType == "video/H264")
    payload_type = max(codec.payloadType or 0 for codec in videos) + 1
    main = RTCRtpCodecParameters(
        mimeType="video/H264",
        clockRate=model.clockRate,
        payloadType=payload_type,
        rtcpFeedback=list(model.rtcpFeedback),
        parameters={**model.parameters, "profile-level-id": _H264_MAIN},
    )
    retransmissions = RTCRtpCodecParameters(
        mimeType="video/rtx",
        clockRate=model.clockRate,
        payloadType=payload_type + 1,
        parameters={"apt": payload_type},
    )
    return [main, retransmissions]


def gather_loopback_when_alone() -> None:
    """Let ICE use 127.0.0.1 on a machine that has no other address; aioice never does."""
    aioice.ice.get_host_addresses = _host_addresses_or_loopback


_get_host_addresses = aioice.ice.get_host_addresses


def _host_addresses_or_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return _get_host_addresses(use_ipv4, use_ipv6) or ["127.0.0.1"]


def prefer_codecs(transceiver: RTCRtpTransceiver) -> None:
    """Order what is offered: H.264 Main, H.264 Constrained Baseline, Baseline, VP8."""
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences(sorted(capabilities, key=_codec_rank))


def _codec_rank(codec: RTCRtpCodecCapability) -> int:
    order = [_H264_MAIN, "42e01f", "42001f"]
    profile = str(codec.parameters.get("profile-level-id", ""))
    return order.index(profile) if profile in order else len(order)


def feed_sender(
    sender: RTCRtpSender,
    *,
    next_frame: Callable[[RTCRtpCodecParameters], Awaitable[EncodedFrame]],
    on_keyframe_wanted: Callable[[], None],
) -> None:
    """Make ``sender`` send frames that were encoded elsewhere.

    Call it after ``addTrack`` and before ``setLocalDescription``.

    Args:
        sender: One viewer's sender.
        next_frame: Awaited for each frame; is given the codec that was negotiated.
        on_keyframe_wanted: Called for each PLI and FIR of the browser.
    """
    handle_rtcp = sender._handle_rtcp_packet

    async def handle_rtcp_packet(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket):
            # REMB ends here as well: one encoder serves many viewers.
            if packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
                on_keyframe_wanted()
            return
        await handle_rtcp(packet)

    vars(sender)["_next_encoded_frame"] = next_frame
    vars(sender)["_handle_rtcp_packet"] = handle_rtcp_packet
    vars(sender)["_RTCRtpSender__rtp_header_extensions_map"] = _SenderExtensions()


class _SenderExtensions(HeaderExtensionsMap):
    """Writes mid, abs-send-time and playout-delay 0/0; aiortc's own knows no playout-delay."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[str, int] = {}

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._ids = {ext.uri: ext.id for ext in parameters.headerExtensions}

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, data = super().set(values)
        playout_delay_id = self._ids.get(_PLAYOUT_DELAY_URI)
        if playout_delay_id is None or (data and profile != _ONE_BYTE_PROFILE):
            return profile, data
        # One element: id, length - 1 = 2, then min and max delay in 10 ms, 12 bits each, all 0.
        element = bytes((playout_delay_id << 4 | 2, 0, 0, 0))
        return _ONE_BYTE_PROFILE, element + data


@dataclass(frozen=True, slots=True)
class Door:
    """A way in that a connection can offer as a candidate."""

    type: Literal["host", "srflx", "relay"]
    address: Address
    """What the candidate says."""
    base: Address | None = None
    """Of srflx and relay: our own address behind it."""
    open: Callable[[StunProtocol], asyncio.DatagramTransport] | None = None
    """Makes the transport; None for srflx, whose datagrams come in by the host's."""


def gather_from(connection: RTCPeerConnection, doors: Callable[[list[str]], list[Door]]) -> None:
    """Let the connection's candidates be the doors that there are when it gathers.

    Call it before ``setLocalDescription``.

    Args:
        connection: One viewer's.
        doors: Is given this host's addresses, without loopback where there are others.
    """
    ice = _ice(connection)

    async def get_component_candidates(
        component: int, addresses: list[str]
    ) -> list[aioice.Candidate]:
        # A connection that was closed meanwhile would leave its doorways open.
        return [] if ice._closing else [_enter(ice, door) for door in doors(addresses)]

    vars(ice)["get_component_candidates"] = get_component_candidates


def add_doors(connection: RTCPeerConnection, doors: Sequence[Door]) -> None:
    """Add doors that were not there when the connection gathered, and pair them.

    Args:
        connection: One viewer's.
        doors: All that are not the host's own; what is none of them any more is forgotten, or a
            connection of many hours would gather every address that there ever was.
    """
    ice = _ice(connection)
    if ice._closing:
        return
    _forget_closed(ice)
    there = {door.address for door in doors}
    ice._local_candidates = [
        each
        for each in ice._local_candidates
        if each.type == "host" or (each.host, each.port) in there
    ]
    known = {(each.host, each.port) for each in ice._local_candidates}
    new = [door for door in doors if door.address not in known]
    if not new:
        return
    ice._local_candidates += [_enter(ice, door) for door in new]
    for remote in ice._remote_candidates:
        ice._pair_remote_candidate(remote)
    ice.sort_check_list()


def _forget_closed(ice: aioice.Connection) -> None:
    """Forget what led through a relay that is lost; the next one may have the same address."""
    closed = [each for each in ice._protocols if each.transport.is_closing()]
    gone = [each.local_candidate for each in closed]
    ice._protocols = [each for each in ice._protocols if each not in closed]
    ice._local_candidates = [each for each in ice._local_candidates if each not in gone]
    ice._check_list = [
        pair for pair in ice._check_list if pair.protocol not in closed or pair.task is not None
    ]


def local_candidates(connection: RTCPeerConnection) -> list[str]:
    """Return our candidates, as in ``RTCIceCandidate.candidate``."""
    return [f"candidate:{each.to_sdp()}" for each in _ice(connection)._local_candidates]


def ufrag(connection: RTCPeerConnection) -> str:
    """Return the user name fragment by which the mux knows the connection."""
    return str(_ice(connection).local_username)


def _enter(ice: aioice.Connection, door: Door) -> aioice.Candidate:
    host, port = door.address
    candidate = aioice.Candidate(
        foundation=candidate_foundation(door.type, "udp", host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, door.type),
        host=host,
        port=port,
        type=door.type,
        related_address=door.base[0] if door.base else None,
        related_port=door.base[1] if door.base else None,
    )
    if door.open is not None:
        protocol = StunProtocol(ice)
        protocol.local_candidate = candidate
        protocol.connection_made(door.open(protocol))
        ice._protocols.append(protocol)
    return candidate


def send_to_turn_server(client: TurnClientProtocol, data: bytes) -> None:
    """Send what is framed already."""
    client._send(data)


@dataclass(frozen=True, slots=True)
class Pair:
    """The candidate pair that carries a connection, as ``type address:port``."""

    local: str
    remote: str


def selected_pair(connection: RTCPeerConnection) -> Pair | None:
    """Return the pair that ICE chose, or None while it has chosen none."""
    is_answered = bool(connection.getTransceivers())
    pair = _ice(connection)._nominated.get(1) if is_answered else None
    if pair is None:
        return None
    return Pair(_describe(pair.local_candidate), _describe(pair.remote_candidate))


def _ice(connection: RTCPeerConnection) -> aioice.Connection:
    """Return the one ICE connection; a viewer has one transceiver, which carries the rest."""
    (transceiver,) = connection.getTransceivers()
    return transceiver.receiver.transport.transport._connection


def _describe(candidate: aioice.Candidate) -> str:
    return f"{candidate.type} {candidate.host}:{candidate.port}"
