"""The rate that loss allows, which asks first whether it is the rate that loses packets.

A queue that overflows loses what is beyond the link's rate, and a radio loses its part of whatever
is sent. So when much is lost, the rate goes down for a trial. If as much is lost then, and packets
do not wait, it is the link's own loss: the rate returns, and only loss beyond that counts.
libwebrtc calls this the inherent loss, and fits it to the last seconds.

Source of the bounds of 2 and 10 %: draft-ietf-rmcat-gcc-02, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gpuview.media.link.reports import PacketReport

__all__ = ["LOW", "LossRate"]

LOW = 0.02
HIGH = 0.10
INCREASE_PER_S = 1.08
"""As with delay. The draft's 5 % at each message of feedback finds the overflow each second."""
BLOCK_S = 0.2
LEAST_PACKETS = 50
"""Of fewer, the part that was lost says too little: 10 % of 50 is 5, give or take 2."""
SLOW_BLOCK_S = 1.0
LEAST_PACKETS_SLOW = 10
QUIET_QUEUE_S = 0.03
"""In so short a queue nothing waits for its turn."""
DRAIN = 0.85
SAME_LOSS = 0.7
"""Of an overflow's loss next to nothing is left after a decrease, of a radio's loss all."""
MOST_INHERENT = 0.3
FORGETTING = 0.2
LASTING_S = 2.0
"""Lasting loss is followed over so many seconds."""
OUTAGE_S = 0.1
OUTAGE_PACKETS = 5
"""When so many are lost in a row, over so long a time, the link was gone. An overflowing queue
lets packets through at the link's rate meanwhile."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What was so before the rate was lowered."""

    loss: float
    bound_bps: float


@dataclass(slots=True)
class _Block:
    began_s: float
    n_packets: int = 0
    n_lost: int = 0
    longest_queue_s: float = 0.0

    def is_enough(self, now_s: float) -> bool:
        age_s = now_s - self.began_s
        if age_s >= SLOW_BLOCK_S:
            return self.n_packets >= LEAST_PACKETS_SLOW
        return age_s >= BLOCK_S and self.n_packets >= LEAST_PACKETS


@dataclass(slots=True)
class _Run:
    """Packets that were lost one after the other."""

    began_s: float
    ended_s: float
    n_packets: int = 0
    n_counted: int = 0

    def is_outage(self) -> bool:
        return self.ended_s - self.began_s >= OUTAGE_S and self.n_packets >= OUTAGE_PACKETS


class LossRate:
    """Follows loss in blocks of a few tenths of a second."""

    def __init__(self, now_s: float) -> None:
        self.bound_bps = math.inf
        self.loss = 0.0
        """The part of the packets that was lost in the last block, in [0, 1]."""
        self.lasting_loss = 0.0
        """The same, over some seconds, without what a full queue has lost."""
        self._inherent = 0.0
        self._block = _Block(now_s)
        self._lowered_s = -math.inf
        self._trial: _Trial | None = None
        self._run: _Run | None = None

    def raise_to(self, rate_bps: float) -> None:
        """Take a rate that the link was seen to take."""
        self.bound_bps = max(self.bound_bps, rate_bps)

    def take_reports(
        self,
        now_s: float,
        reports: Sequence[PacketReport],
        *,
        target_bps: float,
        acknowledged_bps: float,
        lowered_s: float,
        queue_s: float,
    ) -> bool:
        """Take one feedback message; return whether it shows that the link was gone for a while.

        What was sent before ``lowered_s`` was sent at a higher rate, and tells nothing of this one.
        """
        lowered_s = max(lowered_s, self._lowered_s)
        was_gone = False
        for report in reports:
            # A probe may overrun the link.
            is_counted = report.probe is None and report.sent_s > lowered_s
            if report.arrived_s is None:
                self._add_lost(report.sent_s, is_counted)
            else:
                was_gone |= self._end_run()
                self._block.n_packets += is_counted
        self._block.longest_queue_s = max(self._block.longest_queue_s, queue_s)
        if self._block.is_enough(now_s):
            ended, self._block = self._block, _Block(now_s)
            self.take_loss(
                now_s,
                ended.n_lost / ended.n_packets,
                elapsed_s=now_s - ended.began_s,
                target_bps=target_bps,
                acknowledged_bps=acknowledged_bps,
                is_quiet=ended.longest_queue_s < QUIET_QUEUE_S,
            )
        return was_gone

    def take_loss(
        self,
        now_s: float,
        loss: float,
        *,
        elapsed_s: float,
        target_bps: float,
        acknowledged_bps: float,
        is_quiet: bool,
    ) -> None:
        """Take what part of the packets was lost in the last ``elapsed_s``.

        Args:
            is_quiet: Packets did not wait meanwhile. Where they do, what arrives is what the link
                takes: a little less than that is low enough for the queue to empty.
        """
        self.loss = loss
        if is_quiet or loss < self.lasting_loss:
            self.lasting_loss += (loss - self.lasting_loss) * -math.expm1(-elapsed_s / LASTING_S)
        trial, self._trial = self._trial, None
        if trial is not None and is_quiet and loss > SAME_LOSS * trial.loss:
            self._inherent = min(max(self._inherent, (loss + trial.loss) / 2), MOST_INHERENT)
            self.bound_bps = max(self.bound_bps, trial.bound_bps)
        elif loss < self._inherent:
            self._inherent += FORGETTING * (loss - self._inherent)
        excess = max(loss - self._inherent, 0.0) / (1 - self._inherent)
        if excess > HIGH:
            self._trial = _Trial(loss, self.bound_bps if trial is None else trial.bound_bps)
            lowered_bps = target_bps * (1 - loss)
            if not is_quiet:
                lowered_bps = max(lowered_bps, DRAIN * acknowledged_bps)
            self.bound_bps = min(target_bps, lowered_bps)
            self._lowered_s = now_s
        elif excess < LOW:
            self.bound_bps *= INCREASE_PER_S**elapsed_s

    def _add_lost(self, sent_s: float, is_counted: bool) -> None:
        if self._run is None:
            self._run = _Run(sent_s, sent_s)
        self._run.ended_s = max(self._run.ended_s, sent_s)
        self._run.n_packets += 1
        self._run.n_counted += is_counted

    def _end_run(self) -> bool:
        run, self._run = self._run, None
        if run is None or run.is_outage():
            return run is not None
        self._block.n_packets += run.n_counted
        self._block.n_lost += run.n_counted
        return False
