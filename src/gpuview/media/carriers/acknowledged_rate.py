"""The rate that a carrier takes, from the times of acknowledged packets: pure, in seconds.

WebRTC's controller watches how delay grows from packet to packet. Here that says little: a page, a
kernel and a proxy hold messages up by tens of milliseconds whenever they are at work. But a queue
delays all packets, and work only some, so the least delay of the last packets tells them apart. And
who sends little learns nothing: neither that the link takes more, nor that it takes less.

Where a view begins, nothing is known: not even whether the page is on this machine, as the near end
of a port forward or of a proxy is. But a packet that came back acknowledged within so much time has
crossed the link in less, so the link takes at least as many bits in that time. On loopback, the
first keyframe shows that there is room for ten times its rate.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from gpuview.media.link.controller import START_BPS

__all__ = ["CarrierRate"]

_FLOOR_BPS = 500_000.0
"""A page that takes a tenth of a second for each message looks like a narrower link, and fewer bits
would not help it. A link that is narrower gets fewer frames."""
_RECENT_S = 0.3
_RECENT_PACKETS = 9  # a third of a second at 30 fps, and so many of slower pictures
_LEAST_PACKETS = 4  # one keyframe holds up a wide link, too
_WINDOW_S = 0.5  # over which the rate of what arrives is taken
_BASE_S = 15.0  # the least delay of one or two of these is that of an empty link
_QUEUE_S = 0.06
_EMPTY_S = 0.03
_DECREASE = 0.85  # of what arrives
_LARGEST_DECREASE = 0.5
_DECREASE_SPACING_S = 0.2  # beyond the round trip
_USED = 0.65  # of the target: who sends less does not learn that the link takes more
_MUCH = 0.1  # and who sends less than this learns nothing from a queue, either
_WAITING_S = 0.04  # so much waits for the link at the target, and the link is the limit
_DOUBLE_IN_S = 1.0
_SETTLED_S = 2.0  # so long after a decrease, the link may have become better
_CAREFUL = 0.1  # increase in a second, before that
_LONGEST_STEP_S = 0.1
_NEVER_S = float("-inf")


class _Arrival(NamedTuple):
    now_s: float
    delay_s: float
    nbytes: int
    waiting_s: float


class CarrierRate:
    """How much may be sent to one page.

    Args:
        now_s: The time.
        ceiling_bps: The most that is ever sent.
    """

    def __init__(self, now_s: float, *, ceiling_bps: float) -> None:
        self._ceiling_bps = ceiling_bps
        self._target_bps = START_BPS
        self._arrivals: deque[_Arrival] = deque()
        self._bases: deque[tuple[float, float]] = deque(maxlen=2)  # since when, the least delay
        self._decreased_s = _NEVER_S
        self._stepped_s = now_s

    @property
    def target_bps(self) -> float:
        """What may be sent."""
        return min(max(self._target_bps, _FLOOR_BPS), self._ceiling_bps)

    def set_ceiling(self, ceiling_bps: float) -> None:
        """Never send more than this from now on."""
        self._ceiling_bps = ceiling_bps

    def take(
        self,
        now_s: float,
        *,
        delay_s: float,
        nbytes: int,
        waiting_nbytes: int,
        round_trip_s: float,
        crossed_bps: float,
    ) -> None:
        """Learn that packets have arrived.

        Args:
            now_s: The time.
            delay_s: The newest one's, from any origin: the page's clock is not ours.
            nbytes: Of all of them.
            waiting_nbytes: What had been sent and not acknowledged until now.
            round_trip_s: The shortest of the last ones.
            crossed_bps: The newest one's bits in its round trip: the link takes no less.
        """
        waiting_s = waiting_nbytes * 8 / self.target_bps
        self._arrivals.append(_Arrival(now_s, delay_s, nbytes, waiting_s))
        while len(self._arrivals) > _RECENT_PACKETS and now_s - self._arrivals[0].now_s > _WINDOW_S:
            self._arrivals.popleft()
        recent = list(self._arrivals)[-_RECENT_PACKETS:]
        queue_s = min(each.delay_s for each in recent) - self._base(now_s, delay_s)
        arriving_bps = self._arriving_bps(now_s)
        is_used = arriving_bps >= _USED * self.target_bps
        is_held_up = (
            len(recent) >= _LEAST_PACKETS and min(each.waiting_s for each in recent) > _WAITING_S
        )
        is_much = is_held_up or arriving_bps >= _MUCH * self.target_bps
        if (queue_s > _QUEUE_S and is_much) or (is_held_up and not is_used):
            self._decrease(now_s, arriving_bps, round_trip_s)
        elif queue_s < _EMPTY_S and is_used:
            self._increase(now_s)
        if self._decreased_s == _NEVER_S:
            self._target_bps = max(self._target_bps, crossed_bps)
        self._stepped_s = now_s

    def _decrease(self, now_s: float, arriving_bps: float, round_trip_s: float) -> None:
        if now_s - self._decreased_s < _DECREASE_SPACING_S + round_trip_s:
            return
        lowest_bps = _LARGEST_DECREASE * self.target_bps
        self._target_bps = max(lowest_bps, min(_DECREASE * arriving_bps, self.target_bps))
        self._decreased_s = now_s

    def _increase(self, now_s: float) -> None:
        step_s = min(now_s - self._stepped_s, _LONGEST_STEP_S)
        is_settled = now_s - self._decreased_s > _SETTLED_S
        factor = 2 ** (step_s / _DOUBLE_IN_S) if is_settled else (1 + _CAREFUL) ** step_s
        self._target_bps = self.target_bps * factor

    def _base(self, now_s: float, delay_s: float) -> float:
        """Return the delay of an empty link."""
        if not self._bases or now_s - self._bases[-1][0] > _BASE_S:
            self._bases.append((now_s, delay_s))
        since_s, least_s = self._bases[-1]
        self._bases[-1] = (since_s, min(least_s, delay_s))
        return min(least_s for _, least_s in self._bases)

    def _arriving_bps(self, now_s: float) -> float:
        passed_s = max(now_s - self._arrivals[0].now_s, _RECENT_S)
        # What arrived first was under way before this time.
        nbytes = sum(each.nbytes for each in self._arrivals) - self._arrivals[0].nbytes
        return nbytes * 8 / passed_s

    def __repr__(self) -> str:
        return f"<CarrierRate {self.target_bps:.0f} bit/s>"
