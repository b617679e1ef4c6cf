"""The only access to aiortc's RTP sender: codecs, header extensions, packetising, frames, RTCP.

The internals of aiortc that are used, and why:

- ``CODECS["video"]``: to offer H.264 Main, whose CABAC is worth 20 % of the bitrate.
- ``HEADER_EXTENSIONS["video"]`` and the sender's extension map: the playout-delay extension takes
  Chromium's jitter buffer from 18 ms to 1 ms.
- ``PACKET_MAX``: aiortc's payload of 1300 bytes exceeds an MTU of 1280, which IPv6 guarantees and
  many VPNs have. Where the ICMP reply is dropped, all video is lost.
- ``RTP_HISTORY_SIZE``: 128 packets are 0.15 s at 8 Mbit/s; a loss burst froze the picture for 3 s.
- ``uint32_add``: adds a random number to each timestamp. Pages compare timestamps with those of
  stills, and with our clock.
- The encoders' ``pack``: splits an encoded frame for RTP.
- The sender's ``_next_encoded_frame`` and ``_handle_rtcp_packet``: to send frames that were encoded
  and split once for all viewers, and to pass keyframe requests on to the shared encoder.

aiortc is pinned to one minor version, `install` refuses any other, and
``tests/media/test_rtp_sender.py`` tests the behaviour of each name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from importlib.metadata import version
from typing import Any, Protocol, cast

import aiortc.codecs
import aiortc.codecs.h264
import aiortc.codecs.vpx
import aiortc.rtcrtpsender
from aiortc import (
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiver,
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
    RtpPacket,
)

from gpuview.errors import MediaError

__all__ = [
    "MAX_PAYLOAD_NBYTES",
    "EncodedFrame",
    "Packetizer",
    "check_version",
    "drop_video",
    "encoded_frame",
    "feed_sender",
    "install",
    "packetizer",
    "prefer_codecs",
]

EncodedFrame = RTCEncodedFrame

MAX_PAYLOAD_NBYTES = 1160
"""1280, minus the headers of IPv6, UDP, a TURN channel, RTP with its extensions and
retransmission, minus SRTP's tag, minus 20 to spare."""

_AIORTC = "1.16"
_HISTORY_PACKETS = 2048
_H264_MAIN = "4d001f"
_PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
_PLAYOUT_DELAY_ID = 12  # for an offer of ours; an answer uses the browser's id
_ONE_BYTE_PROFILE = 0xBEDE


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
    check_version("aiortc", _AIORTC)
    extensions = aiortc.codecs.HEADER_EXTENSIONS["video"]
    if any(extension.uri == _PLAYOUT_DELAY_URI for extension in extensions):
        return
    extensions.append(RTCRtpHeaderExtensionParameters(id=_PLAYOUT_DELAY_ID, uri=_PLAYOUT_DELAY_URI))
    aiortc.codecs.CODECS["video"] += _h264_main()
    for module in (aiortc.codecs.h264, aiortc.codecs.vpx):
        vars(module)["PACKET_MAX"] = MAX_PAYLOAD_NBYTES
    vars(aiortc.rtcrtpsender)["RTP_HISTORY_SIZE"] = _HISTORY_PACKETS
    vars(aiortc.rtcrtpsender)["uint32_add"] = lambda origin, timestamp: timestamp & 0xFFFFFFFF


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


def encoded_frame(payloads: list[bytes], timestamp: int) -> EncodedFrame:
    """Return a frame for the sender, from its RTP payloads and its 90 kHz timestamp."""
    # Video has no audio level, but the annotation requires one.
    return RTCEncodedFrame(payloads, timestamp, cast(int, None))


def feed_sender(
    sender: RTCRtpSender,
    *,
    next_frame: Callable[[RTCRtpCodecParameters], Awaitable[EncodedFrame]],
    on_keyframe_request: Callable[[], None],
) -> None:
    """Make ``sender`` send frames that were encoded elsewhere.

    Call it after ``addTrack`` and before ``setLocalDescription``.

    Args:
        sender: One viewer's sender.
        next_frame: Awaited for each frame. Its argument is the negotiated codec.
        on_keyframe_request: Called for each PLI and FIR from the browser.
    """
    handle_rtcp = sender._handle_rtcp_packet

    async def handle_rtcp_packet(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket):
            # aiortc would apply REMB to its own encoder; ours serves many viewers.
            if packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
                on_keyframe_request()
            return
        await handle_rtcp(packet)

    vars(sender)["_next_encoded_frame"] = next_frame
    vars(sender)["_handle_rtcp_packet"] = handle_rtcp_packet
    vars(sender)["_RTCRtpSender__rtp_header_extensions_map"] = _SenderExtensions()


def drop_video(receiver: RTCRtpReceiver, on_frame: Callable[[], None]) -> None:
    """Drop each packet once it is decrypted, without decoding; call ``on_frame`` for each frame."""

    async def drop(packet: RtpPacket, arrival_time_ms: int) -> None:
        if packet.marker:  # the last packet of a frame
            on_frame()

    vars(receiver)["_handle_rtp_packet"] = drop


class _SenderExtensions(HeaderExtensionsMap):
    """Writes mid, abs-send-time and playout-delay 0/0; aiortc's own class has no playout-delay."""

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
