"""When packets that are kept or recorded need a keyframe. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gpuview.media.encode.codec import CLOCK_HZ, Packet

__all__ = ["KeyframePace"]


@dataclass(slots=True)
class KeyframePace:
    """Says when packets that are kept need a keyframe that one can seek to.

    Every 5 s of a moving picture, unless told otherwise. A still one gets fewer, because its
    packets are few: there is little to decode from one keyframe to the next, and a keyframe is as
    large as 50 of them.
    """

    every_s: float = 5.0
    _start: int = 0
    _n_packets: int = 0

    def is_due(self, packet: Packet) -> bool:
        """Take the next packet; tell whether a keyframe should follow soon."""
        if packet.is_keyframe:
            self._start, self._n_packets = packet.timestamp, 0
            return False
        self._n_packets += 1
        return packet.timestamp - self._start >= self.every_s * CLOCK_HZ and self._n_packets >= 60
