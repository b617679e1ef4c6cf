"""Transport-wide feedback: which packets arrived at the page, and when.

Each packet of a viewer, retransmissions and padding included, carries a number of its own
(draft-holmer-rmcat-transport-wide-cc-extensions-01). Some 10 to 20 times a second the page says
when which number arrived. A message may be lost, repeated, forged by the page, or wrong: it can
only ever name packets that were sent, and each of them once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gpuview.media.link.reports import PacketReport

__all__ = ["MAX_SENT_PACKETS", "Feedback", "SentPackets", "parse_feedback"]

MAX_SENT_PACKETS = 8192
"""So many packets are remembered: 3 s at 25 Mbit/s. Feedback comes within a round trip."""

_REFERENCE_S = 0.064
_DELTA_S = 0.00025
_REFERENCE_WRAP = 1 << 24
_NUMBER_WRAP = 1 << 16

_RECEIVED_SMALL, _RECEIVED_LARGE = 1, 2


@dataclass(frozen=True, slots=True)
class Feedback:
    """One message, as it came."""

    base_number: int
    """The first packet's number, 16 bits."""
    reference: int
    """The time that the first delta adds to, in 64 ms, 24 bits."""
    deltas: tuple[int | None, ...]
    """For each packet, in 0.25 ms since the one before that arrived; None: it has not arrived."""


def parse_feedback(fci: bytes) -> Feedback | None:
    """Parse the feedback control information of an RTPFB message with format 15.

    Returns:
        The feedback; None if it is malformed, or about more packets than are remembered.

    Source:
        draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.
    """
    if len(fci) < 8:
        return None
    base_number, count, reference_and_number = struct.unpack_from("!HHI", fci)
    if not 0 < count <= MAX_SENT_PACKETS:
        return None
    offset = 8
    symbols: list[int] = []
    while len(symbols) < count:
        if offset + 2 > len(fci):
            return None
        symbols += _chunk((fci[offset] << 8) | fci[offset + 1])
        offset += 2
    deltas: list[int | None] = []
    for symbol in symbols[:count]:
        size = symbol if symbol in (_RECEIVED_SMALL, _RECEIVED_LARGE) else 0
        if offset + size > len(fci):
            return None
        if size == 0:
            deltas.append(None)
        else:
            encoded = fci[offset : offset + size]
            deltas.append(int.from_bytes(encoded, signed=symbol == _RECEIVED_LARGE))
        offset += size
    return Feedback(base_number, reference_and_number >> 8, tuple(deltas))


def _chunk(chunk: int) -> list[int]:
    """Return the symbols of a packet status chunk."""
    if not chunk & 0x8000:  # a run of one symbol
        return [chunk >> 13 & 3] * (chunk & 0x1FFF)
    if chunk & 0x4000:  # 7 symbols of two bits
        return [chunk >> shift & 3 for shift in range(12, -1, -2)]
    return [chunk >> shift & 1 for shift in range(13, -1, -1)]  # 14 symbols of one bit


class SentPackets:
    """The packets that the page has not reported on yet, at most `MAX_SENT_PACKETS`."""

    def __init__(self) -> None:
        # By number, which is not wrapped: when, how many bytes, of which probe.
        self._sent: dict[int, tuple[float, int, int | None]] = {}
        self._next_number = 0
        self.under_way_nbytes = 0
        """Of the packets that the page has not reported on."""
        self._reference: int | None = None  # the last message's, not wrapped

    @property
    def next_number(self) -> int:
        """The number of the packet that is sent next, 16 bits."""
        return self._next_number % _NUMBER_WRAP

    def add(self, sent_s: float, nbytes: int, probe: int | None) -> None:
        """Note that the packet with `next_number` was sent.

        Args:
            sent_s: When, on our monotonic clock.
            nbytes: On the wire.
            probe: The number of the probe that it belongs to, if any.
        """
        self._sent[self._next_number] = (sent_s, nbytes, probe)
        self._next_number += 1
        self.under_way_nbytes += nbytes
        if (old := self._sent.pop(self._next_number - 1 - MAX_SENT_PACKETS, None)) is not None:
            self.under_way_nbytes -= old[1]

    def match(self, feedback: Feedback) -> list[PacketReport]:
        """Return what became of the packets, and forget them: each is reported once."""
        reports = []
        for number, arrived_s in self._arrivals(feedback):
            sent = self._sent.pop(number, None)
            if sent is not None:
                sent_s, nbytes, probe = sent
                self.under_way_nbytes -= nbytes
                reports.append(PacketReport(sent_s, arrived_s, nbytes, probe))
        return reports

    def _arrivals(self, feedback: Feedback) -> Iterator[tuple[int, float | None]]:
        """Yield each packet's number, not wrapped, and its arrival."""
        # The page can only report what was sent: the newest such number.
        behind = (self._next_number - feedback.base_number) % _NUMBER_WRAP
        first = self._next_number - behind
        arrived_s = self._unwrapped(feedback.reference) * _REFERENCE_S
        for number, delta in enumerate(feedback.deltas, first):
            if delta is None:
                yield number, None
            else:
                arrived_s += delta * _DELTA_S
                yield number, arrived_s

    def _unwrapped(self, reference: int) -> int:
        """Return the reference time nearest to the last message's; it wraps after 12 days."""
        last = reference if self._reference is None else self._reference
        half = _REFERENCE_WRAP // 2
        self._reference = last + (reference - last + half) % _REFERENCE_WRAP - half
        return self._reference
