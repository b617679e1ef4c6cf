"""How much may be sent to one viewer. Pure: no clock, no socket; one thread at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuview.media.link.reports import LinkState, PacketReport, Probe

__all__ = ["CongestionController"]

FLOOR_BPS = 100_000.0
START_BPS = 1_500_000.0


class CongestionController:
    """Estimates what a viewer's link takes, from what the peer says of each packet.

    Args:
        now_s: The time, by the monotonic clock that all other times here are of, too.
        ceiling_bps: No target is above it.
        floor_bps: No target is below it, unless the ceiling is.
        start_bps: The target until the peer has said something.
    """

    def __init__(
        self,
        now_s: float,
        *,
        ceiling_bps: float,
        floor_bps: float = FLOOR_BPS,
        start_bps: float = START_BPS,
    ) -> None:
        self.ceiling_bps = ceiling_bps
        """May be set at any time."""
        self._floor_bps = floor_bps
        self._estimate_bps = start_bps

    @property
    def target_bps(self) -> float:
        """What may be sent, everything included: video, retransmissions, padding."""
        return min(max(self._estimate_bps, self._floor_bps), self.ceiling_bps)

    @property
    def state(self) -> LinkState:
        """What is known of the link."""
        return LinkState(
            target_bps=self.target_bps,
            delay_bps=self._estimate_bps,
            loss_bps=self.ceiling_bps,
            loss=0.0,
            queue_s=0.0,
            is_overused=False,
            is_application_limited=False,
        )

    def take_reports(
        self, now_s: float, reports: Sequence[PacketReport], *, round_trip_s: float | None
    ) -> None:
        """Learn from one transport-wide feedback message; each packet is reported once."""

    def take_remb(self, now_s: float, bitrate_bps: float) -> None:
        """Learn from the peer's own estimate, where there is no transport-wide feedback."""
        if math.isfinite(bitrate_bps):
            self._estimate_bps = bitrate_bps

    def take_receiver_report(
        self, now_s: float, *, fraction_lost: float, round_trip_s: float | None
    ) -> None:
        """Learn from a receiver report, where there is no transport-wide feedback."""

    def take_silence(self, now_s: float, *, sent_s: float) -> None:
        """Learn that nothing has been heard of a packet that was sent at ``sent_s``, or later ones.

        To be called about every 50 ms while the newest feedback is older than a packet sent since;
        ``sent_s`` is the first such packet's time. Over a second of it lowers the target.
        """

    def next_probe(self, now_s: float) -> Probe | None:
        """Return the probe that is due, to be sent at once. To be asked about every 50 ms."""
        return None
