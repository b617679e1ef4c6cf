"""How much may be sent to one viewer. Pure: no clock, no socket; one thread at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuview.media.link.delay_rate import DRAINING, INCREASE_PER_S, DelayRate
from gpuview.media.link.delay_signal import DelaySignal
from gpuview.media.link.loss_rate import LOW, LossRate
from gpuview.media.link.probes import Probes, Try
from gpuview.media.link.queue_delay import QueueDelay
from gpuview.media.link.reports import LinkState, PacketReport, Probe
from gpuview.media.link.throughput import Throughput

__all__ = ["START_BPS", "CongestionController"]

FLOOR_BPS = 100_000.0
"""Below this no picture moves."""
START_BPS = 1_500_000.0
"""A picture that can be recognised, on nearly every link. The first probe follows at once."""
ROUND_TRIP_S = 0.1
"""Until it is measured."""
LONGEST_ROUND_TRIP_S = 5.0
ACKNOWLEDGED_WINDOW_S = 0.15
"""libwebrtc's: at over-use the newest rate counts, not that of before the link fell."""
LONGEST_GAP_S = 0.1
SENT_WINDOW_S = 1.0
"""Covers some frames of the slowest pictures."""
APPLICATION_LIMITED = 0.65
"""While less than this part of the target is sent, the link's limit is not seen. libwebrtc's."""
QUEUE_OF_PROBES_S = 0.03
"""No probe is added to a longer queue."""
LOW_TRY = 0.8
"""A probe that finds less than this part of the target makes it doubtful."""
STRETCH_S = 0.01
"""If the train arrived so much late, at least."""
DOUBTS = 3
"""So many doubts in a row, and the target was wrong. A radio's jitter makes one of five probes
doubtful."""
SILENCE_S = 1.0
"""So long nothing was heard of what was sent: each time, the rate is halved. libwebrtc lowers it by
a fifth each half second after 1.5 s."""
SILENCE_DECREASE = 0.5
QUIET_S = 1.0
"""So long after the last report, what was known of the queue is old, and little is sent."""
RECEIVER_REPORT_S = 0.2
"""Receiver reports that come faster are not read: browsers send one or two a second."""
LARGEST_PACKET = 65_535
LATEST_S = 1e9
"""Times beyond thirty years are absurd, on any clock."""


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
        self._delay = DelayRate(now_s, start_bps)
        self._loss = LossRate(now_s)
        self._probes = Probes(now_s, start_bps)
        self._signal = DelaySignal()
        self._acknowledged = Throughput(ACKNOWLEDGED_WINDOW_S, longest_gap_s=LONGEST_GAP_S)
        self._sent = Throughput(SENT_WINDOW_S, longest_gap_s=math.inf)
        self._doubts_bps: list[float] = []
        self._heard_s = now_s
        self._silenced_s = now_s
        self._has_reports = False
        self._has_remb = False
        self._round_trips = QueueDelay()
        self._receiver_report_s = now_s

    @property
    def target_bps(self) -> float:
        """What may be sent, everything included: video, retransmissions, padding."""
        if self._delay.is_draining:
            return max(DRAINING * self.rate_bps, min(self._floor_bps, self.ceiling_bps))
        return self.rate_bps

    @property
    def rate_bps(self) -> float:
        """What the link takes; more than may be sent while a long queue is drained."""
        rate_bps = min(self._delay.rate_bps, self._loss.bound_bps)
        return min(max(rate_bps, self._floor_bps), self.ceiling_bps)

    @property
    def state(self) -> LinkState:
        """What is known of the link."""
        return LinkState(
            target_bps=self.target_bps,
            delay_bps=self._delay.rate_bps,
            loss_bps=min(self._loss.bound_bps, self.ceiling_bps),
            loss=self._loss.loss,
            lasting_loss=self._loss.lasting_loss,
            queue_s=self._signal.queue_s,
            is_overused=self._signal.is_overused,
            is_application_limited=self._is_application_limited,
        )

    def take_reports(
        self, now_s: float, reports: Sequence[PacketReport], *, round_trip_s: float | None
    ) -> None:
        """Learn from one transport-wide feedback message; each packet is reported once."""
        reports = [report for report in reports if _is_sane(report, now_s)]
        if not reports:
            return
        self._has_reports = True
        self._heard_s = now_s
        for report in reports:
            self._sent.add(report.sent_s, report.nbytes)
            if report.arrived_s is not None:
                self._signal.add(report.sent_s, report.arrived_s)
                self._acknowledged.add(report.arrived_s, report.nbytes)
        if self._loss.take_reports(
            now_s,
            reports,
            target_bps=self.rate_bps,
            acknowledged_bps=self._acknowledged.rate_bps or 0.0,
            lowered_s=self._delay.lowered_s,
            queue_s=self._signal.queue_s,
        ):
            self._probes.hasten()
        self._delay.update(
            now_s,
            self._signal.usage,
            queue_s=self._signal.queue_s,
            acknowledged_bps=self._acknowledged.rate_bps,
            bounded_bps=self.rate_bps,
            is_application_limited=self._is_application_limited,
            round_trip_s=_sane_round_trip(round_trip_s),
        )
        shown = self._probes.take_reports(now_s, reports, estimate_bps=self.rate_bps)
        if shown is not None:
            self._take_try(shown)
        self._bound()

    def take_remb(self, now_s: float, bitrate_bps: float) -> None:
        """Learn from the peer's own estimate, where there is no transport-wide feedback."""
        if not self._has_reports and math.isfinite(bitrate_bps):
            self._has_remb = True
            self._delay.set(bitrate_bps)
            self._bound()

    def take_receiver_report(
        self, now_s: float, *, fraction_lost: float, round_trip_s: float | None
    ) -> None:
        """Learn from a receiver report, where there is no transport-wide feedback."""
        elapsed_s = now_s - self._receiver_report_s
        if self._has_reports or elapsed_s < RECEIVER_REPORT_S or not math.isfinite(fraction_lost):
            return
        self._receiver_report_s = now_s
        self._round_trips.add(now_s, now_s + _sane_round_trip(round_trip_s))
        loss = min(max(fraction_lost, 0.0), 1.0)
        self._loss.take_loss(
            now_s,
            loss,
            elapsed_s=min(elapsed_s, 1.0),
            target_bps=self.target_bps,
            acknowledged_bps=0.0,
            is_quiet=self._round_trips.queue_s < QUEUE_OF_PROBES_S,
        )
        if loss < LOW and not self._has_remb:
            self._delay.set(self._delay.rate_bps * INCREASE_PER_S ** min(elapsed_s, 1.0))
        self._bound()

    def take_silence(self, now_s: float, *, sent_s: float) -> None:
        """Learn that nothing has been heard of a packet that was sent at ``sent_s``, or later ones.

        To be called about every 50 ms while the newest feedback is older than a packet sent since;
        ``sent_s`` is the first such packet's time. Each second of it halves the rate.
        """
        if now_s - max(sent_s, self._silenced_s) > SILENCE_S:
            self._silenced_s = now_s
            self._delay.set(SILENCE_DECREASE * self.rate_bps)
            self._bound()

    def next_probe(self, now_s: float) -> Probe | None:
        """Return the probe that is due, to be sent at once. To be asked about every 50 ms."""
        is_quiet = now_s - self._heard_s > QUIET_S
        has_queue = self._signal.is_overused or self._signal.queue_s > QUEUE_OF_PROBES_S
        if has_queue and not is_quiet:
            return None
        return self._probes.next(
            now_s,
            estimate_bps=self.rate_bps,
            ceiling_bps=self.ceiling_bps,
            is_application_limited=is_quiet or self._is_application_limited,
        )

    @property
    def _is_application_limited(self) -> bool:
        sent_bps = self._sent.rate_bps
        if sent_bps is None:
            return True
        # What was sent during a drain was limited by us.
        was_drained = self._heard_s - self._delay.drained_s < SENT_WINDOW_S
        allowed_bps = DRAINING * self.rate_bps if was_drained else self.target_bps
        return sent_bps < APPLICATION_LIMITED * allowed_bps

    def _take_try(self, shown: Try) -> None:
        rate_bps = shown.rate_bps
        if shown.is_limited and not self._is_application_limited:
            # Whoever sends more into a full link gets more of it: others may be sharing this one.
            rate_bps = (rate_bps + self.rate_bps) / 2
        if rate_bps > self.rate_bps:
            self._delay.set(max(rate_bps, self._delay.rate_bps))
            self._loss.raise_to(rate_bps)
        is_low = shown.rate_bps < LOW_TRY * self.rate_bps and shown.stretched_s > STRETCH_S
        if not is_low or not self._is_application_limited:
            self._doubts_bps.clear()
            return
        self._doubts_bps.append(shown.rate_bps)
        if len(self._doubts_bps) < DOUBTS:
            self._probes.hasten()
        else:
            self._delay.set(max(self._doubts_bps))
            self._doubts_bps.clear()

    def _bound(self) -> None:
        self._delay.rate_bps = min(max(self._delay.rate_bps, self._floor_bps), self.ceiling_bps)
        self._loss.bound_bps = max(self._loss.bound_bps, self._floor_bps)


def _sane_round_trip(round_trip_s: float | None) -> float:
    if round_trip_s is None or not 0 <= round_trip_s <= LONGEST_ROUND_TRIP_S:
        return ROUND_TRIP_S
    return round_trip_s


def _is_sane(report: PacketReport, now_s: float) -> bool:
    return (
        -LATEST_S < report.sent_s <= now_s
        and 0 < report.nbytes <= LARGEST_PACKET
        and (report.arrived_s is None or abs(report.arrived_s) < LATEST_S)
    )
