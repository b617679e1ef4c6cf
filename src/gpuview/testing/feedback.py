"""Transport-wide feedback, as a browser gives it: which packets have come, and when."""

from __future__ import annotations

import re
import struct

from gpuview.media.rtp.packets import TRANSPORT_CC_URI

__all__ = ["FEEDBACK_S", "ArrivalReport", "extension_id"]

FEEDBACK_S = 0.1
"""How often feedback is sent; browsers do so every 50 to 250 ms."""

_TICK_S = 0.00025
_REFERENCE_TICKS = 256
_RECEIVED = 2  # with a delta of 16 bits
_MAX_PACKETS = 1000  # of one message


def extension_id(sdp: str) -> int | None:
    """Return the id of the header extension with the packets' numbers; None: not negotiated."""
    found = re.search(rf"^a=extmap:(\d+)\S* {re.escape(TRANSPORT_CC_URI)}\s*$", sdp, re.MULTILINE)
    return int(found[1]) if found else None


class ArrivalReport:
    """Collects the packets' arrivals for the next message.

    Args:
        extension: The id of the header extension with the packets' numbers.
    """

    def __init__(self, extension: int) -> None:
        self._extension = extension
        self._arrivals: dict[int, int] = {}  # in 0.25 ms, by number
        self._first: int | None = None
        self._n_messages = 0

    def add(self, packet: bytes, now_s: float) -> None:
        """Note that an RTP packet has come."""
        number = self._number(packet)
        if number is not None:
            self._arrivals.setdefault(number, int(now_s / _TICK_S))

    def take(self) -> bytes | None:
        """Return the RTCP message about what has come since the last one; None: nothing has."""
        if not self._arrivals:
            return None
        newest = next(reversed(self._arrivals))
        first = self._first if self._first is not None else next(iter(self._arrivals))
        count = (newest - first) % 65536 + 1
        if count > _MAX_PACKETS:  # they came out of order, or too many were lost
            first, count = newest, 1
        message = self._message(first, count)
        self._first = (first + count) % 65536
        self._arrivals.clear()
        self._n_messages += 1
        return message

    def _message(self, first: int, count: int) -> bytes:
        ticks = [self._arrivals.get((first + n) % 65536) for n in range(count)]
        reference = min(tick for tick in self._arrivals.values()) // _REFERENCE_TICKS
        last, deltas = reference * _REFERENCE_TICKS, b""
        for tick in ticks:
            if tick is not None:
                deltas += struct.pack("!h", tick - last)
                last = tick
        chunks = [0xC000] * ((count + 6) // 7)  # of seven symbols of two bits
        for n, tick in enumerate(ticks):
            if tick is not None:
                chunks[n // 7] |= _RECEIVED << 12 - 2 * (n % 7)
        word = (reference & 0xFFFFFF) << 8 | self._n_messages & 0xFF
        fci = struct.pack("!HHI", first, count, word)
        fci += struct.pack(f"!{len(chunks)}H", *chunks) + deltas
        fci += bytes(-len(fci) % 4)
        return struct.pack("!BBHII", 0x8F, 205, 2 + len(fci) // 4, 1, 0) + fci

    def _number(self, packet: bytes) -> int | None:
        """Return a packet's number, from its one-byte header extensions."""
        at = 12 + 4 * (packet[0] & 0x0F)
        if not packet[0] & 0x10 or packet[at : at + 2] != b"\xbe\xde":
            return None
        end = at + 4 + 4 * int.from_bytes(packet[at + 2 : at + 4])
        at += 4
        while at < end:
            length = (packet[at] & 0x0F) + 1 if packet[at] else 0
            if packet[at] >> 4 == self._extension:
                return int.from_bytes(packet[at + 1 : at + 3])
            at += 1 + length
        return None
