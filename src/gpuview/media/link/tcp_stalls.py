"""How packets are held up behind a lost one, where a relay by TCP lets them come in order. Pure.

There no packet is lost, but each that TCP has to send again stalls all behind it, which then come
at once. So the rate follows the stalls as it would follow losses, by TCP's own equation: more would
only wait for TCP. And the page holds each picture back for about as long as most stalls take, so
that pictures that come at once are not drawn at once.

Source of the equation and of the weights: RFC 5348, sections 3.1 and 5.4.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from gpuview.media.link.reports import PacketReport

__all__ = ["NO_DELAY", "PlayoutDelay", "Stalls"]

STALL_S = 0.03
"""A radio's jitter is less. TCP takes a round trip and more to send a packet again."""
LARGEST_STALL_S = 3.0
"""A delay that changes by more: one of the clocks was set."""
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2)
"""Of the intervals between stalls, the newest first."""
LEAST_STALLS = 4
"""Fewer may be chance."""
FLOOR_BPS = 1_500_000.0
"""Below this, a frame is one packet or two, and TCP, which sees nothing come behind it, takes
longer to send it again. What the link takes may still be less."""
SHORTEST_ROUND_TRIP_S = 0.01
PACKET_NBYTES = 1200
RECENT_S = 10.0
MOST = 512
"""So many stalls are remembered at most."""
COVERED = 0.9
"""So many of the stalls are hidden by the delay; the longest are not worth waiting for."""
LONGEST_DELAY_S = 0.1
SLACK_S = 0.05
STEP_S = 0.02
"""The delay is a multiple of it: a page that gets a new one each second draws less evenly."""


class PlayoutDelay(NamedTuple):
    """How long a page may hold a picture back before it draws it, in seconds."""

    least_s: float
    most_s: float


NO_DELAY = PlayoutDelay(0.0, 0.0)
"""Each picture is drawn as soon as it is there."""


class Stalls:
    """Follows one viewer's stalls. All times are in seconds."""

    def __init__(self) -> None:
        self._last_delay_s: float | None = None
        self._intervals: deque[int] = deque(maxlen=len(WEIGHTS))
        self._n_since = 0
        self._lengths: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._round_trip_s = math.inf
        self.playout_delay = NO_DELAY
        """How long pictures are held back."""

    def note_round_trip(self, round_trip_s: float) -> None:
        """Take one measured round trip. The shortest counts: the others contain stalls."""
        self._round_trip_s = min(self._round_trip_s, max(round_trip_s, SHORTEST_ROUND_TRIP_S))

    def take_reports(
        self, now_s: float, reports: Sequence[PacketReport], *, target_bps: float
    ) -> None:
        """Take one feedback message, in the order of sending."""
        for report in reports:
            if report.arrived_s is not None:
                self._add(now_s, report.arrived_s - report.sent_s, report.nbytes * 8 / target_bps)
        self.playout_delay = self._covering(now_s)

    def _add(self, now_s: float, delay_s: float, sending_s: float) -> None:
        """Take one packet that was so long on its way, ``sending_s`` of it on a slow link."""
        last_s, self._last_delay_s = self._last_delay_s, delay_s
        self._n_since += 1
        length_s = 0.0 if last_s is None else delay_s - last_s
        if STALL_S + sending_s <= length_s <= LARGEST_STALL_S:
            self._lengths.append((now_s, length_s))
            self._intervals.appendleft(self._n_since)
            self._n_since = 0

    @property
    def bound_bps(self) -> float:
        """What may be sent, everything included; infinite while there are few stalls."""
        if len(self._intervals) < LEAST_STALLS or math.isinf(self._round_trip_s):
            return math.inf
        return max(_tcp_bps(1 / self._interval, self._round_trip_s), FLOOR_BPS)

    @property
    def _interval(self) -> float:
        """How many packets there are from one stall to the next."""
        ended = list(self._intervals)
        return max(_mean(ended), _mean([self._n_since, *ended][: len(WEIGHTS)]))

    def _covering(self, now_s: float) -> PlayoutDelay:
        """Return the delay that hides most stalls of the last seconds."""
        while self._lengths and now_s - self._lengths[0][0] > RECENT_S:
            self._lengths.popleft()
        if len(self._lengths) < LEAST_STALLS:
            return NO_DELAY
        lengths_s = sorted(length_s for _, length_s in self._lengths)
        length_s = lengths_s[math.ceil(COVERED * len(lengths_s)) - 1]
        least_s = min(math.ceil(length_s / STEP_S) * STEP_S, LONGEST_DELAY_S)
        return PlayoutDelay(least_s, least_s + SLACK_S)


def _mean(intervals: Sequence[int]) -> float:
    weighted = sum(w * each for w, each in zip(WEIGHTS, intervals, strict=False))
    return weighted / sum(WEIGHTS[: len(intervals)])


def _tcp_bps(loss: float, round_trip_s: float) -> float:
    """Return what TCP carries where this part of its packets, in (0, 1], begins a loss event."""
    timeout_s = 4 * round_trip_s
    recovering_s = round_trip_s * math.sqrt(2 * loss / 3)
    waiting_s = timeout_s * 3 * math.sqrt(3 * loss / 8) * loss * (1 + 32 * loss**2)
    return PACKET_NBYTES * 8 / (recovering_s + waiting_s)
