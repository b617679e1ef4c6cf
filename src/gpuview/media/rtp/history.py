"""The packets that were sent lately, for those that get lost. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["History", "SentPacket"]

_MAX_PACKETS = 2048
"""Of 2 s at 10 Mbit/s. 128 packets were 0.15 s, and a burst of loss froze the picture for 3 s."""

_MAX_PADDING_AGE = 32
_MIN_SPACING_S = 0.02


@dataclass(slots=True)
class SentPacket:
    """One packet of a frame; its payload is shared by all viewers."""

    number: int
    timestamp: int
    is_last: bool
    payload: bytes
    has_left: bool = False
    """What leaves after the first time is a copy."""
    repeated_s: float = float("-inf")
    """When it was retransmitted last because the page had asked for it."""


class History:
    """One viewer's packets, at most the last 2048, by sequence number."""

    def __init__(self) -> None:
        self._packets: list[SentPacket | None] = [None] * _MAX_PACKETS
        self._newest: SentPacket | None = None

    def add(self, packet: SentPacket) -> None:
        """Keep a packet; it takes the place of the one 2048 before it."""
        self._packets[packet.number % _MAX_PACKETS] = self._newest = packet

    def take_lost(self, number: int, now_s: float, round_trip_s: float | None) -> SentPacket | None:
        """Return the packet to retransmit.

        Args:
            number: Its 16-bit sequence number, as a NACK names it.
            now_s: The time.
            round_trip_s: The page repeats its NACK before a retransmission can have arrived; so
                long after one there is no other.

        Returns:
            None if it was never sent, is too old, or was retransmitted just now.
        """
        packet = self._packets[number % _MAX_PACKETS]
        if packet is None or packet.number != number:
            return None
        if now_s - packet.repeated_s < max(_MIN_SPACING_S, round_trip_s or 0.0):
            return None
        packet.repeated_s = now_s
        return packet

    def clear(self) -> None:
        """Forget all packets: none is worth repeating."""
        self._packets = [None] * _MAX_PACKETS
        self._newest = None

    def newest(self) -> Iterator[SentPacket]:
        """Yield the newest packets, backwards: a page has them already, and drops them unread."""
        if self._newest is None:
            return
        for age in range(_MAX_PADDING_AGE):
            number = (self._newest.number - age) % 65536
            packet = self._packets[number % _MAX_PACKETS]
            if packet is None or packet.number != number:
                return
            yield packet
