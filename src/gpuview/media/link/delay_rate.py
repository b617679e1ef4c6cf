"""The rate that the growth of delay allows: up while nothing grows, down when something does.

Source: draft-ietf-rmcat-gcc-02, section 5.5.

Beyond the draft, a long queue is drained. At 85 % of what the link takes, half a second of queue
needs three seconds to empty, and every picture is late meanwhile. Relays by TCP and cheap routers
keep so much.
"""

from __future__ import annotations

import math

from gpuview.media.link.trendline import Usage

__all__ = ["DRAINING", "INCREASE_PER_S", "DelayRate"]

DECREASE = 0.85
INCREASE_PER_S = 1.08
MOST_OF_ACKNOWLEDGED = 1.5
RESPONSE_S = 0.1
"""What the draft adds to the round trip: how long a change takes to show."""
ADDED_BITS = 1200 * 8
"""Near to what the link takes, one packet more each response time."""
NEAR = 0.15
"""So near to what was acknowledged at over-use, an increase is additive. The draft's three standard
deviations are about as much; over-use comes again just there."""
CAPACITY_WEIGHT = 0.2
REAL_QUEUE_S = 0.015
"""Over-use counts from such a queue on. A radio's jitter alone shows trends, but no queue."""
STANDING_QUEUE_S = 0.05
"""Such a queue keeps a link busy without end, whatever little is sent: then what arrives is what
the link takes. A queue that filled within a few packets shows no trend; so while one stands, the
rate is at most what arrives, and sinks as fast as it would rise."""
LONG_QUEUE_S = 0.25
"""Such a queue is drained. Most queues are shorter, and empty soon enough."""
DRAINED_S = 0.05
DRAINING = 0.5
"""So much of the rate is sent meanwhile: the queue shrinks by half a second each second."""
LONGEST_DRAIN = 3.0
"""In lengths of the queue. If it still stands then, others fill it, or the path is longer now."""
ARRIVING_S = 0.15
"""What arrives is measured over such a time."""


class DelayRate:
    """Additive or multiplicative increase, multiplicative decrease."""

    def __init__(self, now_s: float, rate_bps: float) -> None:
        self.rate_bps = rate_bps
        self._capacity_bps: float | None = None
        self._updated_s = now_s
        self.lowered_s = now_s
        """When it was last decreased."""
        self._drain_began_s: float | None = None
        self._longest_queue_s = 0.0  # of the drain
        self._may_drain = True
        self._reduced_until_s = -math.inf  # until then arrives what was sent during a drain
        self.drained_s = -math.inf
        """When the last drain ended."""

    @property
    def is_draining(self) -> bool:
        """Whether only a part of the rate is to be sent, so that a long queue empties."""
        return self._drain_began_s is not None

    def set(self, rate_bps: float) -> None:
        """Take a rate that was measured: what was known of the link before is forgotten."""
        self.rate_bps = rate_bps
        self._capacity_bps = None
        self._drain_began_s, self._may_drain = None, True
        self._reduced_until_s = -math.inf

    def update(
        self,
        now_s: float,
        usage: Usage,
        *,
        queue_s: float,
        acknowledged_bps: float | None,
        bounded_bps: float,
        is_application_limited: bool,
        round_trip_s: float,
    ) -> None:
        """Take what one feedback message showed.

        Args:
            now_s: The time.
            usage: Whether delay grows.
            queue_s: How long packets wait.
            acknowledged_bps: What arrived lately; None if that is not known.
            bounded_bps: The rate, or less if something else limits it.
            is_application_limited: Whether much less than that is sent.
            round_trip_s: How long feedback takes.
        """
        elapsed_s = min(max(now_s - self._updated_s, 0.0), 1.0)
        self._updated_s = now_s
        if self.is_draining or now_s < self._reduced_until_s:
            # Then no more than a part of the rate can arrive. Less shows that the link has fallen.
            arriving_bps = math.inf if acknowledged_bps is None else acknowledged_bps
            is_standing = usage is Usage.OVER and queue_s > STANDING_QUEUE_S
            if is_standing and arriving_bps < DECREASE * DRAINING * bounded_bps:
                self._decrease(now_s, acknowledged_bps, round_trip_s)
        elif usage is Usage.OVER and queue_s > REAL_QUEUE_S:
            if not is_application_limited or queue_s > STANDING_QUEUE_S:
                self._decrease(now_s, acknowledged_bps, round_trip_s)
        elif usage is Usage.NORMAL and queue_s > STANDING_QUEUE_S:
            arriving_bps = self.rate_bps if acknowledged_bps is None else acknowledged_bps
            self._note_fall(now_s, arriving_bps)
            self.rate_bps = min(self.rate_bps / INCREASE_PER_S**elapsed_s, arriving_bps)
        elif usage is Usage.NORMAL and not is_application_limited:
            self._increase(elapsed_s, acknowledged_bps, round_trip_s)
        self._drain(now_s, usage, queue_s, round_trip_s)

    def _drain(self, now_s: float, usage: Usage, queue_s: float, round_trip_s: float) -> None:
        """Begin to drain a long queue, or end it: once it is empty, or will not become so.

        Each queue is drained once; if the link has fallen again, it is another one.
        """
        if queue_s < DRAINED_S:
            self._may_drain = True
        if self._drain_began_s is not None:
            # It is longer at first than it seems: the packets that show it have not arrived.
            self._longest_queue_s = max(self._longest_queue_s, queue_s)
            is_over = now_s - self._drain_began_s > LONGEST_DRAIN * self._longest_queue_s
            if queue_s < DRAINED_S or is_over:
                self._drain_began_s, self.drained_s = None, now_s
                self._reduced_until_s = now_s + queue_s + round_trip_s + ARRIVING_S
        elif queue_s > LONG_QUEUE_S and usage is not Usage.UNDER and self._may_drain:
            self._drain_began_s, self._may_drain = now_s, False
            self._longest_queue_s = queue_s

    def _note_fall(self, now_s: float, arriving_bps: float) -> None:
        if arriving_bps < DRAINING * self.rate_bps:
            self._may_drain = True
            if self._drain_began_s is not None:
                self._drain_began_s = now_s

    def _decrease(self, now_s: float, acknowledged_bps: float | None, round_trip_s: float) -> None:
        if acknowledged_bps is None:
            acknowledged_bps = self.rate_bps
        is_settling = now_s - self.lowered_s < min(max(round_trip_s, 0.01), 0.2)
        if is_settling and acknowledged_bps > self.rate_bps / 2:
            return
        self._learn_capacity(acknowledged_bps)
        self._note_fall(now_s, acknowledged_bps)
        self.rate_bps = min(self.rate_bps, DECREASE * acknowledged_bps)
        self.lowered_s = now_s

    def _learn_capacity(self, acknowledged_bps: float) -> None:
        capacity_bps = self._capacity_bps
        if capacity_bps is None or not _is_near(acknowledged_bps, capacity_bps):
            self._capacity_bps = acknowledged_bps
        else:
            self._capacity_bps = capacity_bps + CAPACITY_WEIGHT * (acknowledged_bps - capacity_bps)

    def _increase(
        self, elapsed_s: float, acknowledged_bps: float | None, round_trip_s: float
    ) -> None:
        if self._capacity_bps is not None and _is_near(self.rate_bps, self._capacity_bps):
            grown_bps = self.rate_bps + ADDED_BITS / (round_trip_s + RESPONSE_S) * elapsed_s
        else:
            grown_bps = self.rate_bps * INCREASE_PER_S**elapsed_s
        if acknowledged_bps is not None:
            grown_bps = min(grown_bps, MOST_OF_ACKNOWLEDGED * acknowledged_bps)
        self.rate_bps = max(self.rate_bps, grown_bps)


def _is_near(rate_bps: float, capacity_bps: float) -> bool:
    return abs(rate_bps - capacity_bps) < NEAR * capacity_bps
