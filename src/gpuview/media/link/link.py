"""One viewer's link: what was sent over it, what the page says of that, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from gpuview.media.link.controller import START_BPS, CongestionController
from gpuview.media.link.feedback import SentPackets, parse_feedback
from gpuview.media.link.message_budget import Budget
from gpuview.media.link.protection import Protection, protect
from gpuview.media.link.reports import Probe
from gpuview.media.link.sent_rate import Rate
from gpuview.media.link.tcp_stalls import (
    FULL_NBYTES,
    NO_DELAY,
    PlayoutDelay,
    TcpStalls,
)

__all__ = ["NOTHING_SENT", "Link", "LinkStats"]

_MAX_FEEDBACK_PER_S = 50.0  # browsers send 4 to 20
_VIDEO = 0.92  # of a full packet; the rest is headers
_ROUND_TRIP_WEIGHT = 0.3
_MAX_ROUND_TRIP_S = 10.0


@dataclass(frozen=True, slots=True)
class LinkStats:
    """What is known of a link."""

    estimate_bps: float
    """What it takes."""
    sent_bps: float
    """What was sent in the last second."""
    loss: float
    """The part of the packets that was lost lately, 0 to 1."""
    round_trip_s: float | None
    """None before the page has said anything."""


NOTHING_SENT = LinkStats(0.0, 0.0, 0.0, None)
"""Of a link that is not used yet."""


class Link:
    """Decides how much is sent to one viewer. Pure; all times are of one monotonic clock.

    Transport-wide feedback is used where it comes, else REMB and receiver reports.

    Args:
        now_s: The time.
        ceiling_bps: The most that is ever sent.
        start_bps: What is sent until the page has said something.
    """

    def __init__(self, now_s: float, *, ceiling_bps: float, start_bps: float = START_BPS) -> None:
        self._controller = CongestionController(now_s, ceiling_bps=ceiling_bps, start_bps=start_bps)
        self._ceiling_bps = ceiling_bps
        self._stalls: TcpStalls | None = None
        self._is_page_by_tcp = False
        self._sent = SentPackets()
        self._sent_rate = Rate(now_s)
        self._repeated_rate = Rate(now_s)
        self._budget = Budget(now_s, _MAX_FEEDBACK_PER_S)
        self._has_feedback = False
        self._unheard_s: float | None = None  # when the first packet since the last report was sent
        self._unheard_nbytes = 0  # of all since then
        self.round_trip_s: float | None = None
        """Smoothed; None before the page has said anything."""

    @property
    def target_bps(self) -> float:
        """What may be sent, everything included."""
        return self._controller.target_bps

    @property
    def rate_bps(self) -> float:
        """What the link takes; more than the target while a long queue is drained."""
        return self._controller.rate_bps

    def protection(self, now_s: float, *, can_repeat: bool) -> Protection:
        """Return what may be sent of video, without the headers, and how often each packet.

        Retransmissions that the page asks for come off it first, up to a half.
        """
        left_bps = self.target_bps * _VIDEO - self._repeated_rate.bps(now_s)
        left_bps = max(left_bps, self.target_bps / 2)
        # The page's relay drops what its buffer does not hold, and copies fill it the more. Where
        # only we are by TCP, the page's own link may lose packets.
        loss = 0.0 if self._is_page_by_tcp else self._controller.state.lasting_loss
        return protect(loss, left_bps, can_repeat=can_repeat)

    def set_ceiling(self, ceiling_bps: float) -> None:
        """Never send more than this from now on."""
        self._ceiling_bps = ceiling_bps
        self._limit()

    def set_relays(self, *, is_page_by_tcp: bool, are_we_by_tcp: bool) -> None:
        """Say which sides talk to a TURN server by TCP; may be said again at any time."""
        self._is_page_by_tcp = is_page_by_tcp
        if (is_page_by_tcp or are_we_by_tcp) != (self._stalls is not None):
            self._stalls = TcpStalls() if self._stalls is None else None
            if self._stalls is not None and self.round_trip_s is not None:
                self._stalls.note_round_trip(self.round_trip_s)
        self._limit()

    @property
    def playout_delay(self) -> PlayoutDelay:
        """How long the page is to hold pictures back."""
        return NO_DELAY if self._stalls is None else self._stalls.playout_delay

    def _limit(self) -> None:
        bounds_bps = [self._ceiling_bps]
        if self._stalls is not None:
            bounds_bps.append(self._stalls.bound_bps)
            if self._is_page_by_tcp:
                bounds_bps.append(self._stalls.relay_bps)
        self._controller.ceiling_bps = min(bounds_bps)

    @property
    def under_way_nbytes(self) -> int | None:
        """What the page has not reported on yet; None if it reports nothing."""
        return self._sent.under_way_nbytes if self._has_feedback else None

    @property
    def next_number(self) -> int:
        """The transport-wide number of the packet that is sent next."""
        return self._sent.next_number

    def note_sent(self, now_s: float, nbytes: int, probe: int | None) -> None:
        """Note that a packet was sent; its number was `next_number`."""
        self._sent.add(now_s, nbytes, probe)
        self._sent_rate.add(now_s, nbytes)
        if self._unheard_s is None:
            self._unheard_s, self._unheard_nbytes = now_s, 0
        self._unheard_nbytes += nbytes

    def note_retransmitted(self, now_s: float, nbytes: int) -> None:
        """Note that so much of what was sent was retransmission that the page had asked for."""
        self._repeated_rate.add(now_s, nbytes)

    def take_transport_feedback(self, now_s: float, fci: bytes) -> None:
        """Learn from one message; from so many a second at most, and only from what is new."""
        if not self._budget.spend(now_s, 1):
            return
        feedback = parse_feedback(fci)
        reports = self._sent.match(feedback) if feedback is not None else []
        if not reports:
            return
        self._has_feedback = True
        if self._stalls is not None and self._unheard_s is not None:
            self._stalls.note_wait(now_s - self._unheard_s)
        self._unheard_s = None
        arrived = [each.sent_s for each in reports if each.arrived_s is not None]
        if self.round_trip_s is None and arrived:
            self.round_trip_s = now_s - arrived[-1]
        if self._stalls is not None:
            self._stalls.take_reports(now_s, reports, rate_bps=self.rate_bps)
            self._limit()
        self._controller.take_reports(now_s, reports, round_trip_s=self.round_trip_s)

    def take_remb(self, now_s: float, bitrate_bps: float) -> None:
        """Learn from the page's own estimate."""
        if not self._has_feedback:
            self._controller.take_remb(now_s, bitrate_bps)

    def take_receiver_report(
        self, now_s: float, *, fraction_lost: float, round_trip_s: float | None
    ) -> None:
        """Learn from a receiver report.

        Args:
            now_s: The time.
            fraction_lost: Since the last report, 0 to 1.
            round_trip_s: Of our last sender report; None if the page did not get it.
        """
        if round_trip_s is not None and 0 <= round_trip_s < _MAX_ROUND_TRIP_S:
            last = self.round_trip_s if self.round_trip_s is not None else round_trip_s
            self.round_trip_s = last + _ROUND_TRIP_WEIGHT * (round_trip_s - last)
            if self._stalls is not None:
                self._stalls.note_round_trip(round_trip_s)
        if not self._has_feedback:
            self._controller.take_receiver_report(
                now_s, fraction_lost=fraction_lost, round_trip_s=self.round_trip_s
            )

    @property
    def is_awaiting(self) -> bool:
        """Whether feedback is due for a packet; then call `wait` every 50 ms."""
        return self._has_feedback and self._unheard_s is not None

    def wait(self, now_s: float) -> None:
        """Learn from silence."""
        if self._has_feedback and self._unheard_s is not None:
            self._controller.take_silence(now_s, sent_s=self._unheard_s)

    def is_silent(self, now_s: float) -> bool:
        """Tell whether nothing seems to get through the page's relay by TCP at present.

        Then a small packet is to be sent every 50 ms: the first that arrives makes the relay send
        again at once what was lost.
        """
        if self._stalls is None or not self._is_page_by_tcp:
            return False
        if not self._has_feedback or self._unheard_s is None:
            return False
        return self._stalls.is_silence(now_s - self._unheard_s)

    def is_cut_off(self, now_s: float) -> bool:
        """Tell whether no frame is to be sent meanwhile, which would fill the relay's buffer."""
        return self.is_silent(now_s) and self._unheard_nbytes > FULL_NBYTES

    def next_probe(self, now_s: float) -> Probe | None:
        """Return the probe that is due, to be sent at once."""
        # Into a relay that is cut off, it would only fill the buffer.
        if not self._has_feedback or self.is_silent(now_s):
            return None
        return self._controller.next_probe(now_s)

    def stats(self, now_s: float) -> LinkStats:
        return LinkStats(
            self.rate_bps,
            self._sent_rate.bps(now_s),
            self._controller.state.loss,
            self.round_trip_s,
        )

    def __repr__(self) -> str:
        return f"<Link {self.target_bps:.0f} bit/s>"
