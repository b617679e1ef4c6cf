"""How packets are held up where they come through a relay by TCP. Pure.

TCP loses none, but each that it has to send again stalls all behind it, which then come at once.
So the rate follows the stalls as it would follow losses, by TCP's own equation: more would only
wait for TCP. And the page holds each picture back for about as long as most stalls take, so that
pictures that come at once are not drawn at once.

When the link comes back after an outage, TCP sends again as soon as anything new arrives, and else
only after its timer, which doubles each time. So something new has to follow all the time, and the
relay has to have room for it: little waits in its buffer, and less is sent once the page is silent.
What is said here of a relay's buffer is about the page's relay; ours is this process's own.

Source of the equation and of the weights: RFC 5348, sections 3.1 and 5.4.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from gpuview.media.link.delay_signal import LARGEST_JUMP_S
from gpuview.media.link.reports import PacketReport

__all__ = ["NO_DELAY", "PlayoutDelay", "TcpStalls"]

STALL_S = 0.03
"""A radio's jitter is mostly less. TCP takes a round trip and more to send a packet again."""
IDLE_S = 0.2
"""After such a pause, a radio has to wake up and TCP begins with a small window: then the packets
of the first round trip are late without any loss."""
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2)
"""Of the intervals between stalls, the newest first."""
LEAST_TO_BEGIN = 4
"""Fewer stalls may be chance."""
FLOOR_BPS = 1_500_000.0
"""With fewer packets behind a lost one, TCP takes longer to see that it is lost: nothing is gained
below. What the link takes may still be less."""
SHORTEST_ROUND_TRIP_S = 0.01
LONGEST_ROUND_TRIP_S = 0.5
PACKET_NBYTES = 1200
RELAY_BUFFER_NBYTES = 64_000
"""coturn keeps so much that the page has not acknowledged, and drops what comes then."""
FULL_NBYTES = 32_000
"""Once so much was sent since the page's last report, no frame is added: what was under way before
is in the buffer as well."""
SILENCE_S = 0.1
"""Browsers report what they have received every 50 to 250 ms, mostly more often than this."""
LATE = 1.5
"""A report is late if it takes so many times as long as usual."""
LONGEST_SILENCE_S = 5.0
"""After that, it is no outage: whoever sends does as over any other link."""
MAX_WAITS = 20
"""So many of the waits for a report tell what is usual."""
RECENT_S = 10.0
"""What was known of stalls is forgotten when there was none for so long."""
MAX_STALLS = 512
"""So many are remembered at most."""
UNCOVERED = 2
"""So many of the recent stalls are seen: the longest are not worth waiting for."""
LONGEST_DELAY_S = 0.14
SLACK_S = 0.02
"""Chromium takes more than the least where frames come late, and keeps that for long."""
STEP_S = 0.02
"""The delay is a multiple of it."""
HOLD_S = 5.0
"""A shorter delay has to be enough for so long before it is taken: each change is seen."""


class PlayoutDelay(NamedTuple):
    """How long a page may hold a picture back before it draws it, in seconds."""

    least_s: float
    most_s: float


NO_DELAY = PlayoutDelay(0.0, 0.0)
"""Each picture is drawn as soon as it is there."""


class _Packet(NamedTuple):
    sent_s: float
    arrived_s: float
    stall_s: float
    """How much longer than the one before it took; 0 if that is no stall."""


class TcpStalls:
    """Follows one viewer's stalls. All times are in seconds."""

    def __init__(self) -> None:
        self._last: _Packet | None = None
        self._resumed_s = -math.inf
        self._event_s = -math.inf
        self._intervals: deque[int] = deque(maxlen=len(WEIGHTS))
        self._n_since = 0
        self._lengths: deque[tuple[float, float]] = deque(maxlen=MAX_STALLS)
        self._round_trip_s = math.inf
        self._waits: deque[float] = deque(maxlen=MAX_WAITS)
        self._needed_s = -math.inf  # when so long a delay was needed last
        self.playout_delay = NO_DELAY
        """How long pictures are held back."""

    def note_round_trip(self, round_trip_s: float) -> None:
        """Take one measured round trip. The shortest counts: the others contain stalls."""
        self._round_trip_s = min(self._round_trip_s, max(round_trip_s, SHORTEST_ROUND_TRIP_S))

    def note_wait(self, wait_s: float) -> None:
        """Note how long after the first packet since the last report another one came."""
        self._waits.append(wait_s)

    def take_reports(
        self, now_s: float, reports: Sequence[PacketReport], *, rate_bps: float
    ) -> None:
        """Take one feedback message, in the order of sending; the link takes ``rate_bps``."""
        for report in reports:
            if report.arrived_s is not None:
                self._add(now_s, report, report.arrived_s, report.nbytes * 8 / rate_bps)
        self._forget(now_s)
        self._follow_delay(now_s)

    def _add(self, now_s: float, report: PacketReport, arrived_s: float, sending_s: float) -> None:
        """Take one packet; a slow link takes ``sending_s`` for it."""
        last, sent_s = self._last, report.sent_s
        if last is None or sent_s - last.sent_s > IDLE_S:
            self._resumed_s = sent_s
        self._n_since += 1
        stall_s = 0.0
        if last is not None:
            # A packet that the next one overtakes has come by UDP, and has stalled nothing.
            if last.stall_s and arrived_s >= last.arrived_s:
                self._note_stall(now_s, last)
            longer_s = arrived_s - sent_s - (last.arrived_s - last.sent_s)
            settling_s = min(self._round_trip_s, LONGEST_ROUND_TRIP_S)
            is_usual = report.probe is None and sent_s - self._resumed_s > settling_s
            if is_usual and STALL_S + sending_s <= longer_s <= LARGEST_JUMP_S:
                stall_s = longer_s
        self._last = _Packet(sent_s, arrived_s, stall_s)

    def _note_stall(self, now_s: float, packet: _Packet) -> None:
        self._lengths.append((now_s, packet.stall_s))
        # What is lost within one round trip is one event: TCP answers it once.
        if packet.sent_s - self._event_s > self._resending_s:
            self._event_s = packet.sent_s
            self._intervals.appendleft(self._n_since)
            self._n_since = 0

    def _forget(self, now_s: float) -> None:
        while self._lengths and now_s - self._lengths[0][0] > RECENT_S:
            self._lengths.popleft()
        if not self._lengths:
            self._intervals.clear()

    @property
    def _resending_s(self) -> float:
        """How long TCP takes to send a packet again: a round trip to its relay, not to the page."""
        usual_s = median(length_s for _, length_s in self._lengths)
        return min(self._round_trip_s, usual_s)

    @property
    def bound_bps(self) -> float:
        """What may be sent, everything included; infinite while there are few stalls."""
        if len(self._intervals) < LEAST_TO_BEGIN:
            return math.inf
        return max(_tcp_bps(1 / self._interval, self._resending_s), FLOOR_BPS)

    @property
    def relay_bps(self) -> float:
        """What may be sent so that a silence is noticed about when the relay's buffer is full."""
        if self._round_trip_s == math.inf:
            return math.inf
        return max(RELAY_BUFFER_NBYTES * 8 / self._silence_s, FLOOR_BPS)

    def is_silence(self, unheard_s: float) -> bool:
        """Tell whether nothing gets through, if what was sent so long ago is not reported on."""
        return self._silence_s < unheard_s < LONGEST_SILENCE_S

    @property
    def _silence_s(self) -> float:
        usual_s = median(self._waits) if self._waits else 0.0
        return max(self._round_trip_s + SILENCE_S, LATE * usual_s)

    @property
    def _interval(self) -> float:
        """How many packets there are from one stall to the next."""
        ended = list(self._intervals)
        return max(_mean(ended), _mean([self._n_since, *ended][: len(WEIGHTS)]))

    def _follow_delay(self, now_s: float) -> None:
        delay = self._covering_delay()
        if delay.least_s >= self.playout_delay.least_s:
            self._needed_s = now_s
        if delay.least_s > self.playout_delay.least_s or now_s - self._needed_s > HOLD_S:
            self.playout_delay, self._needed_s = delay, now_s

    def _covering_delay(self) -> PlayoutDelay:
        """Return the delay that hides most stalls; none where half are too long for any."""
        lengths_s = sorted(length_s for _, length_s in self._lengths)
        least = LEAST_TO_BEGIN if self.playout_delay == NO_DELAY else UNCOVERED + 1
        if len(lengths_s) < least or median(lengths_s) > LONGEST_DELAY_S:
            return NO_DELAY
        length_s = lengths_s[-1 - UNCOVERED]
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
