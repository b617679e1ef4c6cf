"""What the packets' times show: whether delay grows, and how long packets wait."""

from __future__ import annotations

from gpuview.media.link.arrival import ArrivalGroups
from gpuview.media.link.queue_delay import QueueDelay
from gpuview.media.link.trendline import Trendline, Usage

__all__ = ["DelaySignal"]

LARGEST_JUMP_S = 3.0
"""A delay that changes by more from one packet to the next: one of the clocks was set, or the peer
is absurd. All that was known of delays is of no use then. libwebrtc's."""


class DelaySignal:
    """Reads packets in the order of sending."""

    def __init__(self) -> None:
        self._last_delay_s: float | None = None
        self._forget()

    def _forget(self) -> None:
        self._groups = ArrivalGroups()
        self._trendline = Trendline()
        self._queue = QueueDelay()

    def add(self, sent_s: float, arrived_s: float) -> None:
        """Take one packet that arrived."""
        delay_s = arrived_s - sent_s
        if self._last_delay_s is not None and abs(delay_s - self._last_delay_s) > LARGEST_JUMP_S:
            self._forget()
        self._last_delay_s = delay_s
        self._queue.add(sent_s, arrived_s)
        variation = self._groups.add(sent_s, arrived_s)
        if variation is not None:
            self._trendline.add(variation)

    @property
    def usage(self) -> Usage:
        """How what is sent compares with what the link takes."""
        return self._trendline.usage

    @property
    def is_overused(self) -> bool:
        """Whether delay grows."""
        return self._trendline.usage is Usage.OVER

    @property
    def queue_s(self) -> float:
        """How long packets wait in the link's queue."""
        return self._queue.queue_s
