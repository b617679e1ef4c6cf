"""Packets that were sent together, and how the time between such groups grows on the way.

Source: draft-ietf-rmcat-gcc-02, sections 5.1 and 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ArrivalGroups", "DelayVariation"]

GROUP_S = 0.005
"""Packets sent within this time are one group: the pacer's burst, and the draft's value."""
BURST_ARRIVAL_S = 0.005
"""Packets that arrive this close together may have waited together, for a radio's turn."""
LONGEST_BURST_S = 0.1
"""A group of such packets is no longer than this, so that a busy link is still measured."""


class DelayVariation(NamedTuple):
    """How much longer the newest group was on its way than the group before it."""

    grown_s: float
    arrived_s: float


@dataclass(slots=True)
class _Group:
    first_sent_s: float
    last_sent_s: float
    first_arrived_s: float
    last_arrived_s: float

    def includes(self, sent_s: float, arrived_s: float) -> bool:
        if sent_s - self.first_sent_s <= GROUP_S:
            return True
        between_s = arrived_s - self.last_arrived_s
        return (
            between_s <= BURST_ARRIVAL_S
            and between_s < sent_s - self.last_sent_s
            and arrived_s - self.first_arrived_s < LONGEST_BURST_S
        )

    def add(self, sent_s: float, arrived_s: float) -> None:
        self.last_sent_s = max(self.last_sent_s, sent_s)
        self.last_arrived_s = max(self.last_arrived_s, arrived_s)


class ArrivalGroups:
    """Compares each group with the group before it."""

    def __init__(self) -> None:
        self._before: _Group | None = None
        self._group: _Group | None = None

    def add(self, sent_s: float, arrived_s: float) -> DelayVariation | None:
        """Take one packet, in the order of sending; return what a group shows that it ends."""
        if self._group is None:
            self._group = _Group(sent_s, sent_s, arrived_s, arrived_s)
            return None
        if sent_s < self._group.first_sent_s:
            return None  # Out of order: its group has been compared.
        if self._group.includes(sent_s, arrived_s):
            self._group.add(sent_s, arrived_s)
            return None
        ended, before = self._group, self._before
        self._before = ended
        self._group = _Group(sent_s, sent_s, arrived_s, arrived_s)
        if before is None:
            return None
        grown_s = (ended.last_arrived_s - before.last_arrived_s) - (
            ended.last_sent_s - before.last_sent_s
        )
        return DelayVariation(grown_s, ended.last_arrived_s)
