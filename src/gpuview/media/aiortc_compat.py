"""The media process's only access to aiortc's internals.

These are codecs, header extensions, packetising, SRTP and RTCP.

The internals of aiortc that are used, and why:

- ``CODECS["video"]``: to offer H.264 Main, whose CABAC is worth 20 % of the bitrate, and
  transport-wide feedback.
- ``HEADER_EXTENSIONS["video"]``: the playout-delay extension takes Chromium's jitter buffer from
  18 ms to 1 ms; the other one carries the numbers for transport-wide feedback.
- ``PACKET_MAX``: aiortc's payload of 1300 bytes exceeds an MTU of 1280, which IPv6 guarantees and
  many VPNs have. Where the ICMP reply is dropped, all video is lost.
- The encoders' ``pack``: splits an encoded frame for RTP.
- The sender's ``send`` and ``stop``, replaced: aiortc encodes for each viewer, sends a frame at
  once, and says nothing when its sending fails. ``_ssrc`` and ``_rtx_ssrc`` stay its own.
- The DTLS transport's ``_tx_srtp``, to encrypt, and ``_handle_rtcp_data``, replaced: aiortc reads
  transport-wide feedback as NACKs.
- The ICE transport's ``_connection``: aioice's, for `gpuview.media.ice.aioice_compat`.
- For the headless viewer: the receiver's ``_handle_rtp_packet``, and the DTLS transport's
  ``_handle_rtp_data`` and ``_send_rtp``, to drop video and to report on it as browsers do.

aiortc is pinned to one minor version, `install` refuses any other, and
``tests/media/test_aiortc_compat.py`` tests the behaviour of each name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from typing import Any, Protocol

import aiortc.codecs
import aiortc.codecs.h264
import aiortc.codecs.vpx
from aiortc import (
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpSendParameters
from aiortc.rtp import RtpPacket

from gpuview.errors import MediaError
from gpuview.media.rtp.packets import PLAYOUT_DELAY_URI, TRANSPORT_CC_URI, StreamFormat

__all__ = [
    "MAX_PAYLOAD_NBYTES",
    "Packetizer",
    "RunningSender",
    "Srtp",
    "check_version",
    "drop_video",
    "ice_connection",
    "install",
    "packetizer",
    "prefer_codecs",
    "send_rtcp",
    "take_over",
    "use_transport_feedback",
    "watch_packets",
]

MAX_PAYLOAD_NBYTES = 1160
"""1280, minus the headers of IPv6, UDP, a TURN channel, RTP with its extensions and
retransmission, minus SRTP's tag, minus 18 to spare."""

_AIORTC = "1.16"
_H264_MAIN = "4d001f"
_PLAYOUT_DELAY_ID, _TRANSPORT_CC_ID = 12, 13  # for an offer; an answer uses the browser's
_TRANSPORT_CC = RTCRtcpFeedback(type="transport-cc")


def check_version(package: str, minor: str) -> None:
    """Refuse a version whose internals are unknown: our changes to it might have no effect.

    Raises:
        MediaError: The installed version does not belong to ``minor``.
    """
    found = version(package)
    if not found.startswith(f"{minor}."):
        raise MediaError(
            f"cannot work with {package} {found}, whose internals are unknown",
            expected=f"{package} {minor}",
            fix=f"pip install '{package}=={minor}.*'",
        )


def install() -> None:
    """Extend this process's aiortc for gpuview. Does nothing the second time.

    Raises:
        MediaError: aiortc has another version.
    """
    use_transport_feedback()
    if _use_extension(PLAYOUT_DELAY_URI, _PLAYOUT_DELAY_ID):
        aiortc.codecs.CODECS["video"] += _h264_main()
        for module in (aiortc.codecs.h264, aiortc.codecs.vpx):
            vars(module)["PACKET_MAX"] = MAX_PAYLOAD_NBYTES


def use_transport_feedback() -> None:
    """Let this process's aiortc negotiate transport-wide feedback, at either end.

    Raises:
        MediaError: aiortc has another version.
    """
    check_version("aiortc", _AIORTC)
    if _use_extension(TRANSPORT_CC_URI, _TRANSPORT_CC_ID):
        for codec in aiortc.codecs.CODECS["video"]:
            if codec.rtcpFeedback:  # RTX has none
                codec.rtcpFeedback.append(_TRANSPORT_CC)


def _use_extension(uri: str, number: int) -> bool:
    """Negotiate a header extension; return False if it is negotiated already."""
    extensions = aiortc.codecs.HEADER_EXTENSIONS["video"]
    if any(extension.uri == uri for extension in extensions):
        return False
    extensions.append(RTCRtpHeaderExtensionParameters(id=number, uri=uri))
    return True


def _h264_main() -> list[RTCRtpCodecParameters]:
    """Return H.264 Main and its RTX codec, modelled on aiortc's entry for Baseline."""
    videos = aiortc.codecs.CODECS["video"]
    baseline = next(codec for codec in videos if codec.mimeType == "video/H264")
    payload_type = max(codec.payloadType or 0 for codec in videos) + 1
    main = RTCRtpCodecParameters(
        mimeType="video/H264",
        clockRate=baseline.clockRate,
        payloadType=payload_type,
        rtcpFeedback=list(baseline.rtcpFeedback),
        parameters={**baseline.parameters, "profile-level-id": _H264_MAIN},
    )
    retransmissions = RTCRtpCodecParameters(
        mimeType="video/rtx",
        clockRate=baseline.clockRate,
        payloadType=payload_type + 1,
        parameters={"apt": payload_type},
    )
    return [main, retransmissions]


def prefer_codecs(transceiver: RTCRtpTransceiver, usable: Collection[str]) -> None:
    """Order the offered codecs: H.264 Main, H.264 Constrained Baseline, Baseline, VP8.

    Args:
        transceiver: The viewer's.
        usable: ``"H264"`` and ``"VP8"``, or one of them; the other is not negotiated.
    """
    kept = {f"video/{name}" for name in (*usable, "rtx")}
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    codecs = [codec for codec in capabilities if codec.mimeType in kept]
    transceiver.setCodecPreferences(sorted(codecs, key=_codec_rank))


def _codec_rank(codec: RTCRtpCodecCapability) -> int:
    order = [_H264_MAIN, "42e01f", "42001f"]
    profile = str(codec.parameters.get("profile-level-id", ""))
    return order.index(profile) if profile in order else len(order)


class Packetizer(Protocol):
    """Splits encoded frames for RTP."""

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        """Return the RTP payloads of an ``av.Packet``, and its 90 kHz timestamp."""


def packetizer(codec_name: str) -> Packetizer:
    """Return a packetizer for ``"H264"`` or ``"VP8"``. It has state: make one for each encoder."""
    if codec_name == "H264":
        return aiortc.codecs.h264.H264Encoder()
    return aiortc.codecs.vpx.Vp8Encoder()


class RunningSender(Protocol):
    """Sends one viewer's video."""

    def take_rtcp(self, data: bytes, /) -> None:
        """Act on a decrypted RTCP packet of the page."""

    async def stop(self) -> None:
        """End."""


class Srtp:
    """One connection's encryption."""

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self._transport = transport
        self.protect: Callable[[bytes], bytes] = transport._tx_srtp.protect
        """Encrypts an RTP packet."""
        self.protect_rtcp: Callable[[bytes], bytes] = transport._tx_srtp.protect_rtcp
        """Encrypts an RTCP packet."""

    @property
    def is_open(self) -> bool:
        return self._transport.state == "connected"


def take_over(
    sender: RTCRtpSender,
    start: Callable[[RTCRtpCodecParameters, StreamFormat, Srtp], RunningSender],
    on_failure: Callable[[Exception], None],
) -> None:
    """Send a viewer's video in place of aiortc.

    Call it after ``addTrack`` and before ``setLocalDescription``.

    Args:
        sender: One viewer's sender.
        start: Called once when the connection is up, with what was negotiated. From then on it
            gets all RTCP of the page, until it is stopped with the connection.
        on_failure: Called with an exception of ``start``, of which aiortc would say nothing.
    """
    running: list[RunningSender] = []

    async def send(parameters: RTCRtpSendParameters) -> None:
        if running:
            return
        transport = sender.transport
        codec = parameters.codecs[0]
        try:
            running.append(start(codec, _negotiated(sender, parameters), Srtp(transport)))
        except Exception as exc:
            on_failure(exc)
            return

        async def take_rtcp(data: bytes) -> None:
            running[0].take_rtcp(data)

        vars(transport)["_handle_rtcp_data"] = take_rtcp

    async def stop() -> None:
        if running:
            await running[0].stop()

    vars(sender)["send"] = send
    vars(sender)["stop"] = stop


def _negotiated(sender: RTCRtpSender, parameters: RTCRtpSendParameters) -> StreamFormat:
    codec = parameters.codecs[0]
    assert codec.payloadType is not None
    ids = {extension.uri: extension.id for extension in parameters.headerExtensions}
    if _TRANSPORT_CC not in codec.rtcpFeedback:
        ids.pop(TRANSPORT_CC_URI, None)  # nobody would report on the numbers
    return StreamFormat(
        ssrc=sender._ssrc,
        payload_type=codec.payloadType,
        rtx_ssrc=sender._rtx_ssrc,
        rtx_payload_type=_rtx_payload_type(parameters.codecs, codec.payloadType),
        mid=parameters.muxId,
        cname=parameters.rtcp.cname or "",
        extension_ids=ids,
    )


def _rtx_payload_type(codecs: Sequence[RTCRtpCodecParameters], payload_type: int) -> int | None:
    for codec in codecs:
        if codec.mimeType == "video/rtx" and codec.parameters.get("apt") == payload_type:
            return codec.payloadType
    return None


def ice_connection(connection: RTCPeerConnection) -> Any:
    """Return aioice's connection; a viewer has one transceiver, and everything is bundled."""
    (transceiver,) = connection.getTransceivers()
    return transceiver.receiver.transport.transport._connection


def drop_video(receiver: RTCRtpReceiver, on_frame: Callable[[int], None]) -> None:
    """Drop each packet once it is decrypted, without decoding.

    Args:
        receiver: The viewer's.
        on_frame: Called with the RTP timestamp of each frame, when its last packet has come.
    """
    newest: int | None = None

    async def drop(packet: RtpPacket, arrival_time_ms: int) -> None:
        nonlocal newest
        if not packet.marker:  # not the last packet of a frame
            return
        # Probes for the link's rate send packets of earlier frames again.
        if newest is None or 0 < (packet.timestamp - newest) % 2**32 < 2**31:
            newest = packet.timestamp
            on_frame(newest)

    vars(receiver)["_handle_rtp_packet"] = drop


def watch_packets(receiver: RTCRtpReceiver, on_packet: Callable[[bytes], None]) -> None:
    """Call ``on_packet`` with each decrypted RTP packet, before anything else is done with it."""
    transport = receiver.transport
    take = transport._handle_rtp_data

    async def watch(data: bytes, arrival_time_ms: int) -> None:
        on_packet(data)
        await take(data, arrival_time_ms=arrival_time_ms)

    vars(transport)["_handle_rtp_data"] = watch


async def send_rtcp(receiver: RTCRtpReceiver, data: bytes) -> None:
    """Encrypt and send RTCP to the sender of what ``receiver`` receives.

    Raises:
        ConnectionError: The connection is closed.
    """
    await receiver.transport._send_rtp(data)
