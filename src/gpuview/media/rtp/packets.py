"""RTP packets as bytes: header, header extensions, retransmissions, padding."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from gpuview.media.link.tcp_stalls import NO_DELAY, PlayoutDelay

__all__ = [
    "ABS_SEND_TIME_URI",
    "MAX_PADDING_NBYTES",
    "MID_URI",
    "PLAYOUT_DELAY_URI",
    "TRANSPORT_CC_URI",
    "PacketWriter",
    "StreamFormat",
]

ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

MAX_PADDING_NBYTES = 255
"""The padding of one packet; its last byte says how much it is."""

_ONE_BYTE_PROFILE = 0xBEDE
_MAX_ONE_BYTE_ID = 14
_MAX_ONE_BYTE_NBYTES = 16
_VERSION, _PADDING, _EXTENSION, _MARKER = 0x80, 0x20, 0x10, 0x80


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What was negotiated for one viewer's video."""

    ssrc: int
    payload_type: int
    rtx_ssrc: int
    rtx_payload_type: int | None
    """None: nothing can be retransmitted."""
    mid: str
    cname: str
    extension_ids: Mapping[str, int]
    """By URI."""


def _fits(extension_id: int | None) -> bool:
    """Tell whether an extension can have a one-byte header; a browser's all can."""
    return extension_id is not None and 1 <= extension_id <= _MAX_ONE_BYTE_ID


class PacketWriter:
    """Writes one viewer's RTP packets. The extensions are as long in each of them.

    Source:
        RFC 3550 section 5.1, RFC 8285 section 4.2, RFC 4588 section 4.
    """

    def __init__(self, negotiated: StreamFormat) -> None:
        self._format = negotiated
        ids = negotiated.extension_ids
        abs_send_time, transport = ids.get(ABS_SEND_TIME_URI), ids.get(TRANSPORT_CC_URI)
        self._abs_send_time = (abs_send_time or 0) << 28 | 2 << 24 if _fits(abs_send_time) else None
        self._transport = (transport or 0) << 4 | 1 if _fits(transport) else None
        constant = _constant_extensions(negotiated, NO_DELAY)
        fields = "I" * (self._abs_send_time is not None) + "BH" * (self._transport is not None)
        nbytes = struct.calcsize(f"!{fields}") + len(constant)
        self._padding = bytes(-nbytes % 4)
        self._tail = constant + self._padding
        self._n_words = (nbytes + 3) // 4
        self._header = struct.Struct(f"!BBHII{f'HH{fields}' if nbytes else ''}")

    def set_playout_delay(self, delay: PlayoutDelay) -> None:
        """Let the page hold pictures back, from the next packet on."""
        self._tail = _constant_extensions(self._format, delay) + self._padding

    def video(
        self,
        payload: bytes,
        *,
        number: int,
        timestamp: int,
        is_last: bool,
        now_s: float,
        transport_number: int,
    ) -> bytes:
        """Return a packet of a frame.

        Args:
            payload: What the packetizer made.
            number: The sequence number, 16 bits.
            timestamp: 90 kHz, 32 bits.
            is_last: Whether it is the frame's last packet.
            now_s: For abs-send-time, any clock.
            transport_number: For transport-wide feedback, 16 bits.
        """
        form = self._format
        marker = _MARKER if is_last else 0
        header = self._start(
            0, marker | form.payload_type, number, timestamp, form.ssrc, now_s, transport_number
        )
        return header + payload

    def retransmission(
        self,
        payload: bytes,
        *,
        number: int,
        original_number: int,
        timestamp: int,
        is_last: bool,
        now_s: float,
        transport_number: int,
    ) -> bytes:
        """Return a packet on the RTX stream with the payload of an earlier one."""
        form = self._format
        assert form.rtx_payload_type is not None
        second = (_MARKER if is_last else 0) | form.rtx_payload_type
        header = self._start(0, second, number, timestamp, form.rtx_ssrc, now_s, transport_number)
        return header + original_number.to_bytes(2) + payload

    def padding(
        self, nbytes: int, *, number: int, timestamp: int, now_s: float, transport_number: int
    ) -> bytes:
        """Return a packet on the RTX stream with 1 to 255 bytes of padding, and no payload."""
        form = self._format
        assert form.rtx_payload_type is not None
        header = self._start(
            _PADDING,
            form.rtx_payload_type,
            number,
            timestamp,
            form.rtx_ssrc,
            now_s,
            transport_number,
        )
        return header + bytes(nbytes - 1) + bytes((nbytes,))

    def _start(
        self,
        flags: int,
        second: int,
        number: int,
        timestamp: int,
        ssrc: int,
        now_s: float,
        transport_number: int,
    ) -> bytes:
        """Return everything before the payload."""
        if not self._n_words:
            return self._header.pack(_VERSION | flags, second, number, timestamp, ssrc)
        fields = [
            _VERSION | _EXTENSION | flags,
            second,
            number,
            timestamp,
            ssrc,
            _ONE_BYTE_PROFILE,
            self._n_words,
        ]
        if self._abs_send_time is not None:  # seconds, 6.18 bits
            fields.append(self._abs_send_time | int(now_s * 262_144) & 0xFFFFFF)
        if self._transport is not None:
            fields.append(self._transport)
            fields.append(transport_number)
        return self._header.pack(*fields) + self._tail


def _constant_extensions(negotiated: StreamFormat, delay: PlayoutDelay) -> bytes:
    """Return the playout delay and the mid, which are the same in each packet for a while."""
    elements = b""
    playout_delay = negotiated.extension_ids.get(PLAYOUT_DELAY_URI)
    if playout_delay is not None and _fits(playout_delay):
        # id, length - 1 = 2, then the least and the most delay in 10 ms, 12 bits each.
        least, most = (round(each_s * 100) for each_s in delay)
        elements += bytes((playout_delay << 4 | 2,)) + (least << 12 | most).to_bytes(3)
    mid_id, mid = negotiated.extension_ids.get(MID_URI), negotiated.mid.encode()
    if mid_id is not None and _fits(mid_id) and 0 < len(mid) <= _MAX_ONE_BYTE_NBYTES:
        elements += bytes((mid_id << 4 | len(mid) - 1,)) + mid
    return elements
