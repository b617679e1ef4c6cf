"""RTCP as bytes: what a page says, and what we say. Pure.

aiortc reads RTPFB messages of every format as NACKs, and loses transport-wide feedback by that.

Source:
    RFC 3550 section 6, RFC 4585 section 6, RFC 5104 section 4.3.1, draft-alvestrand-rmcat-remb-03.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "KeyframeRequest",
    "Message",
    "Nack",
    "ReceiverReport",
    "Remb",
    "TransportFeedback",
    "ntp_time",
    "parse_rtcp",
    "write_bye",
    "write_sender_report",
]

_SR, _RR, _SDES, _BYE, _RTPFB, _PSFB = 200, 201, 202, 203, 205, 206
_NACK, _TRANSPORT_CC = 1, 15
_PLI, _FIR, _APPLICATION = 1, 4, 15
_MAX_NACKED = 1024  # of one message; a page that has lost more asks for a keyframe
_NTP_EPOCH_S = 2_208_988_800  # from 1900 to 1970


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """How our video arrived."""

    fraction_lost: float
    """Since the last report, 0 to 1."""
    last_report: int
    """The middle 32 bits of the NTP time of the last sender report that arrived; 0: none has."""
    delay_s: float
    """How long ago that was."""


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets that are missing, by sequence number; at most 1024."""

    numbers: list[int]


@dataclass(frozen=True, slots=True)
class KeyframeRequest:
    """PLI or FIR."""


@dataclass(frozen=True, slots=True)
class Remb:
    """The page's own estimate of what the link takes."""

    bitrate_bps: float


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Transport-wide feedback, not parsed yet."""

    fci: bytes


Message: TypeAlias = ReceiverReport | Nack | KeyframeRequest | Remb | TransportFeedback


def parse_rtcp(data: bytes, ssrc: int) -> Iterator[Message]:
    """Yield what a compound packet says about our video.

    What is malformed ends it; what is about another stream is left out.

    Args:
        data: The decrypted packet.
        ssrc: Our video's.
    """
    offset = 0
    while offset + 4 <= len(data):
        first, kind, n_words = struct.unpack_from("!BBH", data, offset)
        end = offset + 4 + 4 * n_words
        if first >> 6 != 2 or end > len(data):
            return
        body = data[offset + 4 : end]
        if first & 0x20:  # padding
            if not body or not 0 < body[-1] <= len(body):
                return
            body = body[: -body[-1]]
        yield from _messages(kind, first & 0x1F, body, ssrc)
        offset = end


def _messages(kind: int, count: int, body: bytes, ssrc: int) -> Iterator[Message]:
    if kind == _RR:
        yield from _reports(body[4:], count, ssrc)
    elif kind == _SR:
        yield from _reports(body[24:], count, ssrc)
    elif kind in (_RTPFB, _PSFB) and len(body) >= 8:
        (media_ssrc,) = struct.unpack_from("!I", body, 4)
        message = (_rtpfb if kind == _RTPFB else _psfb)(count, media_ssrc, body[8:], ssrc)
        if message is not None:
            yield message


def _reports(blocks: bytes, count: int, ssrc: int) -> Iterator[ReceiverReport]:
    for offset in range(0, min(24 * count, len(blocks) - 23), 24):
        of, lost, last_report, delay = struct.unpack_from("!IB11xII", blocks, offset)
        if of == ssrc:
            yield ReceiverReport(lost / 256, last_report, delay / 65536)


def _rtpfb(fmt: int, media_ssrc: int, fci: bytes, ssrc: int) -> Message | None:
    if fmt == _TRANSPORT_CC:  # of the whole connection, so the SSRC may be any of ours
        return TransportFeedback(fci)
    if fmt == _NACK and media_ssrc == ssrc:
        return Nack(_nacked(fci))
    return None


def _nacked(fci: bytes) -> list[int]:
    numbers: list[int] = []
    for offset in range(0, len(fci) - 3, 4):
        first, following = struct.unpack_from("!HH", fci, offset)
        numbers.append(first)
        numbers += [(first + 1 + bit) % 65536 for bit in range(16) if following >> bit & 1]
        if len(numbers) >= _MAX_NACKED:
            break
    return numbers[:_MAX_NACKED]


def _psfb(fmt: int, media_ssrc: int, fci: bytes, ssrc: int) -> Message | None:
    if fmt == _PLI and media_ssrc == ssrc:
        return KeyframeRequest()
    if fmt == _FIR and ssrc in _ssrcs(fci, 0, len(fci) // 8, 8):
        return KeyframeRequest()
    if fmt == _APPLICATION and fci[:4] == b"REMB" and len(fci) >= 8:
        (word,) = struct.unpack_from("!I", fci, 4)
        if ssrc in _ssrcs(fci, 8, word >> 24, 4):
            return Remb(float((word & 0x3FFFF) << (word >> 18 & 0x3F)))
    return None


def _ssrcs(fci: bytes, offset: int, count: int, step: int) -> list[int]:
    ends = min(offset + count * step, len(fci) - 3)
    return [int.from_bytes(fci[at : at + 4]) for at in range(offset, ends, step)]


def ntp_time(unix_s: float) -> int:
    """Return the 64-bit NTP time."""
    return int((unix_s + _NTP_EPOCH_S) * 2**32)


def write_sender_report(
    ssrc: int, cname: str, *, ntp: int, timestamp: int, n_packets: int, nbytes: int
) -> bytes:
    """Return a sender report with our canonical name.

    Args:
        ssrc: Our video's.
        cname: Our canonical name.
        ntp: The NTP time, 64 bits.
        timestamp: The RTP timestamp of the same moment.
        n_packets: Packets sent so far.
        nbytes: Bytes of payload sent so far.
    """
    report = struct.pack(
        "!IQIII", ssrc, ntp, timestamp, n_packets & 0xFFFFFFFF, nbytes & 0xFFFFFFFF
    )
    name = cname.encode()[:255]
    items = struct.pack("!IBB", ssrc, 1, len(name)) + name
    items += bytes(4 - len(items) % 4)  # ends with at least one zero
    return _packet(_SR, 0, report) + _packet(_SDES, 1, items)


def write_bye(ssrc: int) -> bytes:
    """Return a BYE."""
    return _packet(_BYE, 1, struct.pack("!I", ssrc))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body
