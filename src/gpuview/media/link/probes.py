"""When to try a higher rate for a moment, and what that showed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gpuview.media.link.reports import PacketReport, Probe

__all__ = ["Probes", "Try"]

FIRST_FACTOR = 3.0
"""The first probe's rate, in starting rates: libwebrtc's."""
FACTOR = 2.0
"""Each further one's, in estimates."""
IDLE_LENGTH_S = 0.015
"""libwebrtc's. A link that takes half of a probe's rate is 15 ms late after it."""
LENGTH_S = 0.035
"""While pictures fill the link: longer than a picture's time, so that a train does not slip into
the gap between two pictures of another stream, and find a link that is not there."""
LEAST_NBYTES = 1000
"""Five packets that are not worth sending if they were smaller."""
BEYOND_CEILING = 1.05
NEAR_CEILING = 0.95
LIMITED_PERIOD_S = 2.0
"""While the link is the limit: a fall may be over at any time."""
IDLE_PERIOD_S = 5.0
"""While little is sent: whether the estimate is still true. libwebrtc's period, too."""
PATIENCE_S = 1.0
"""Without reports for so long, a probe is given up. libwebrtc's."""
SUCCESS = 0.7
"""A link that takes so much of a probe may take more: the next follows at once. libwebrtc's."""
NEWS = 1.1
"""If it is more than was known, by so much."""
REPORTED = 0.9
ARRIVED = 0.8
"""A train that loses more shows a queue that overflows, whatever its rate."""
LEAST_ARRIVED = 4
CARRIED = 0.9
"""Below this part of the rate sent, the link was the limit."""
MARGIN = 0.95
"""Then a little less than it took is what may be sent."""


class Try(NamedTuple):
    """What a probe showed."""

    rate_bps: float
    """The link takes this."""
    stretched_s: float
    """How much longer the train took to arrive than to be sent."""
    is_limited: bool
    """Whether the link was the limit, and not the probe's own rate."""


@dataclass(slots=True)
class _Train:
    probe: Probe
    asked_s: float
    is_short: bool
    nbytes_reported: int = 0
    arrived: list[tuple[float, float, int]] = field(default_factory=list)

    def add(self, report: PacketReport) -> None:
        self.nbytes_reported += report.nbytes
        if report.arrived_s is not None:
            self.arrived.append((report.sent_s, report.arrived_s, report.nbytes))

    def is_reported(self) -> bool:
        return self.nbytes_reported >= REPORTED * self.probe.nbytes

    def outcome(self) -> Try | None:
        """Return what the train showed; None if too little of it arrived."""
        nbytes = sum(nbytes for _, _, nbytes in self.arrived)
        if len(self.arrived) < LEAST_ARRIVED or nbytes < ARRIVED * self.nbytes_reported:
            return None
        first, last = min(self.arrived), max(self.arrived)
        times_s = [arrived_s for _, arrived_s, _ in self.arrived]
        sending_s = last[0] - first[0]
        arriving_s = max(times_s) - min(times_s)
        # The time of the last packet's sending, and of the first one's arrival, is not in these.
        sent_bps = _rate(nbytes - last[2], sending_s)
        arrived_bps = _rate(nbytes - first[2], arriving_s)
        is_limited = arrived_bps < CARRIED * sent_bps
        if is_limited:
            arrived_bps *= MARGIN
        rate_bps = min(sent_bps, arrived_bps, self.probe.bitrate_bps)
        return Try(rate_bps, arriving_s - sending_s, is_limited)


class Probes:
    """Plans probes one after the other, and reads what they showed."""

    def __init__(self, now_s: float, start_bps: float) -> None:
        self._n_probes = 0
        self._train: _Train | None = None
        self._first_bps: float | None = FIRST_FACTOR * start_bps
        self._ended_s = now_s
        self._is_hasty = True
        self._may_repeat = True
        self._is_answered = True

    def hasten(self) -> None:
        """Let the next probe be due at once."""
        self._is_hasty = True

    def next(
        self, now_s: float, *, estimate_bps: float, ceiling_bps: float, is_application_limited: bool
    ) -> Probe | None:
        """Return the probe that is due; None if none is."""
        if self._train is not None:
            if now_s - self._train.asked_s < PATIENCE_S:
                return None
            self._end(now_s)
            # Its feedback may have been lost. If none comes the second time either, there is none.
            self._is_hasty = self._is_answered
            self._is_answered = False
        is_near_ceiling = estimate_bps > NEAR_CEILING * ceiling_bps
        if is_near_ceiling and not is_application_limited:
            self._is_hasty = False
            return None
        period_s = IDLE_PERIOD_S if is_application_limited else LIMITED_PERIOD_S
        if not self._is_hasty and now_s - self._ended_s < period_s:
            return None
        return self._begin(now_s, estimate_bps, ceiling_bps, is_short=is_application_limited)

    def _begin(
        self, now_s: float, estimate_bps: float, ceiling_bps: float, *, is_short: bool
    ) -> Probe:
        rate_bps = FACTOR * estimate_bps if self._first_bps is None else self._first_bps
        rate_bps = min(rate_bps, BEYOND_CEILING * ceiling_bps)
        length_s = IDLE_LENGTH_S if is_short else LENGTH_S
        nbytes = max(round(rate_bps * length_s / 8), LEAST_NBYTES)
        self._n_probes += 1
        self._is_hasty = False
        self._train = _Train(Probe(self._n_probes, rate_bps, nbytes), now_s, is_short)
        return self._train.probe

    def take_reports(
        self, now_s: float, reports: Iterable[PacketReport], *, estimate_bps: float
    ) -> Try | None:
        """Take one feedback message; return what a probe showed that it completes."""
        train = self._train
        if train is None:
            return None
        for report in reports:
            if report.probe == train.probe.number:
                train.add(report)
        if not train.is_reported():
            return None
        self._end(now_s)
        self._is_answered = True
        outcome = train.outcome()
        found_bps = 0.0 if outcome is None else outcome.rate_bps
        is_success = found_bps > SUCCESS * train.probe.bitrate_bps
        # A radio's jitter may be why a short one fails: the first to fail is repeated.
        may_repeat = self._may_repeat and train.is_short
        self._is_hasty = found_bps > NEWS * estimate_bps if is_success else may_repeat
        self._may_repeat = is_success
        return outcome

    def _end(self, now_s: float) -> None:
        self._train = None
        self._first_bps = None
        self._ended_s = now_s


def _rate(nbytes: int, span_s: float) -> float:
    return nbytes * 8 / span_s if span_s > 0 else math.inf
