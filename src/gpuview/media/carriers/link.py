"""What one page takes over a carrier: pure, in seconds on one monotonic clock.

A carrier loses nothing, keeps the order, and has queues that nobody sees: in a browser, a proxy, a
kernel. So the page acknowledges each packet. What is not acknowledged is bounded in bytes and in
time, and the times of what is acknowledged tell the rate, see
`gpuview.media.carriers.acknowledged_rate`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from gpuview.media.carriers.acknowledged_rate import CarrierRate
from gpuview.media.link.link import LinkStats
from gpuview.media.link.sent_rate import Rate
from gpuview.protocol.carrier_messages import Received

__all__ = ["MAX_UNHEARD_NBYTES", "CarrierLink"]

MAX_UNHEARD_NBYTES = 4 * 1024 * 1024
"""The most that is sent to a page that acknowledges nothing, beside a last packet."""

_QUEUE_S = 0.05  # may wait for the link; more would be late
_LONGEST_UNHEARD_S = 0.25  # beyond the round trip
_DEAF_S = 1.0  # so long without an acknowledgement, and a page does not answer at present
_ROUND_TRIPS = 100
_FIRST_ROUND_TRIP_S = 0.1
_SHORTEST_ROUND_TRIP_S = 0.001  # clocks are no better, and nothing is
_MOST_UNSHOWN = 6  # have arrived, and wait for one decoder that is too slow
_LONGEST_UNSHOWN_S = 0.25  # as a decoder may hold a frame until another comes


@dataclass(frozen=True, slots=True)
class _Sent:
    sent_s: float
    nbytes: int


class CarrierLink:
    """Decides what is sent to one page, and when.

    Args:
        now_s: The time.
        ceiling_bps: The most that is ever sent.
        acknowledged_every_s: How long the page waits between two acknowledgements.
        may_be_deaf: Whether the page's words may come much later than its packets arrive: through
            an ipykernel that reads messages when a cell has ended.
    """

    def __init__(
        self, now_s: float, *, ceiling_bps: float, acknowledged_every_s: float, may_be_deaf: bool
    ) -> None:
        self.round_trip_s: float | None = None
        """Of the newest acknowledged packet; None before there is one."""
        self._every_s = acknowledged_every_s
        self._may_be_deaf = may_be_deaf
        self._allowed = CarrierRate(now_s, ceiling_bps=ceiling_bps)
        self._seq = -1
        self._most_unshown = _MOST_UNSHOWN
        self._heard_seq = -1
        self._unheard: deque[_Sent] = deque()
        self._unheard_nbytes = 0
        self._heard_s = now_s
        self._sent_s = now_s
        self._unshown_until_s = float("-inf")
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._rate = Rate(now_s)

    @property
    def target_bps(self) -> float:
        """What may be sent."""
        return self._allowed.target_bps

    @property
    def is_full(self) -> bool:
        """Whether so much is not acknowledged that nothing more is sent, whatever waits."""
        return self._unheard_nbytes >= MAX_UNHEARD_NBYTES

    @property
    def unheard_nbytes(self) -> int:
        """What was sent and is not acknowledged."""
        return self._unheard_nbytes

    def set_ceiling(self, ceiling_bps: float) -> None:
        """Never send more than this from now on."""
        self._allowed.set_ceiling(ceiling_bps)

    def set_tiles(self, n_tiles: int) -> None:
        """Expect packets of so many decoders from now on; one in the beginning."""
        self._most_unshown = _MOST_UNSHOWN * max(n_tiles, 1)

    def note_sent(self, now_s: float, nbytes: int) -> int:
        """Note that a packet is sent, and return its number."""
        self._seq += 1
        if not self._unheard:
            self._heard_s = max(self._heard_s, now_s)  # nothing was to be heard until now
        self._unheard.append(_Sent(now_s, nbytes))
        self._unheard_nbytes += nbytes
        self._sent_s = now_s
        self._rate.add(now_s, nbytes)
        return self._seq

    def take_received(self, now_s: float, message: Received) -> None:
        """Learn that this packet and all before it have arrived; ignore impossible numbers."""
        if not max(self._heard_seq, message.shown) <= message.seq <= self._seq:
            return
        is_slow = 0 <= message.shown < message.seq - self._most_unshown
        self._unshown_until_s = now_s + _LONGEST_UNSHOWN_S if is_slow else float("-inf")
        n_arrived = message.seq - self._heard_seq
        if n_arrived == 0 or not message.arrived_ms:
            return
        self._heard_seq = message.seq
        unheard = list(self._unheard)
        self._unheard = deque(unheard[n_arrived:])
        self._unheard_nbytes = sum(each.nbytes for each in self._unheard)
        self.round_trip_s = now_s - unheard[n_arrived - 1].sent_s
        self._round_trips.append(self.round_trip_s)
        self._learn_rate(now_s, unheard, n_arrived, message.arrived_ms)
        self._heard_s = now_s

    def _learn_rate(
        self, now_s: float, unheard: Sequence[_Sent], n_arrived: int, arrived_ms: Sequence[float]
    ) -> None:
        """Learn from each packet as if it had been acknowledged when it arrived.

        Args:
            now_s: When they were acknowledged.
            unheard: What was not acknowledged before.
            n_arrived: How many of them are now.
            arrived_ms: When, on the page's clock; a page may leave out the first ones.
        """
        sent_nbytes = list(accumulate((each.nbytes for each in unheard), initial=0))
        begin = max(0, n_arrived - len(arrived_ms))
        last_ms, at_s, done = arrived_ms[-1], self._heard_s, 0
        for index, page_ms in enumerate(arrived_ms[-n_arrived:], begin):
            at_s = min(max(at_s, now_s - (last_ms - page_ms) / 1000), now_s)
            n_sent = max(bisect_right(unheard, at_s, key=lambda each: each.sent_s), index + 1)
            sent = unheard[index]
            self._allowed.take(
                at_s,
                delay_s=page_ms / 1000 - sent.sent_s,
                nbytes=sent_nbytes[index + 1] - sent_nbytes[done],
                waiting_nbytes=sent_nbytes[n_sent] - sent_nbytes[done],
                round_trip_s=min(self._round_trips),
                crossed_bps=sent.nbytes * 8 / max(at_s - sent.sent_s, _SHORTEST_ROUND_TRIP_S),
            )
            done = index + 1

    def free_s(self, now_s: float) -> float:
        """Return when the next packet is wanted; infinite until something is acknowledged."""
        if not self._unheard:
            return max(now_s, self._unshown_until_s)
        shortest_s = min(self._round_trips, default=_FIRST_ROUND_TRIP_S) + self._every_s
        waited_s = now_s - self._unheard[0].sent_s
        if self.is_full or waited_s > shortest_s + _LONGEST_UNHEARD_S:
            return math.inf
        drained_s = self._unheard_nbytes * 8 / self.target_bps - shortest_s - _QUEUE_S
        return max(now_s + drained_s, now_s, self._unshown_until_s)

    def wants_keyframe(self, now_s: float) -> bool:
        """Tell whether to send a keyframe to a page that has not answered for a second."""
        return (
            self._may_be_deaf
            and not self.is_full
            and now_s - max(self._heard_s, self._sent_s) >= _DEAF_S
        )

    def stats(self, now_s: float) -> LinkStats:
        return LinkStats(self.target_bps, self._rate.bps(now_s), 0.0, self.round_trip_s)

    def __repr__(self) -> str:
        return f"<CarrierLink {self.target_bps:.0f} bit/s, {self._unheard_nbytes} bytes unheard>"
