"""At which step the ranks of a run take the knobs that were turned: pure, in seconds on one clock.

Each rank counts its steps, see `View.sync`. A change is proposed for a step that no rank reaches
soon. A rank that holds the proposal says so. When all hold it, and all are still far enough from
that step, it is final, and each rank takes it there. Otherwise it is proposed anew, for a later
step. So a notebook that is gone, or a link that is cut, leaves all ranks with what they have.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from gpuview.protocol.cluster_messages import Agreed, Change, Synced
from gpuview.protocol.interaction_messages import KnobValue

__all__ = ["Agreement"]

_LEAD_S = 0.7
"""A change is proposed for the first step that no rank reaches earlier."""
_MARGIN_S = 0.3
"""No rank may reach the step sooner when its change becomes final: the word of it takes time."""
_MAX_CHANGES = 512
_GONE_S = 120.0
"""A rank that has been silent for so long is taken to have ended, and no longer waited for."""


@dataclass(slots=True)
class _Rank:
    """One rank, as it said last."""

    step: int
    synced_s: float
    """When it began that step, or later."""
    period_s: float | None
    """Of its last steps; None: it has done only one."""
    held: frozenset[int]
    silent_since_s: float | None = None

    def arrives_s(self, step: int, now_s: float) -> float:
        """Return the earliest time at which it can reach a step."""
        if self.step >= step or self.period_s is None:
            return -math.inf
        usual_s = self.synced_s + (step - self.step) * self.period_s
        overdue_s = now_s + (step - self.step - 1) * self.period_s  # it has been held up
        return max(usual_s, overdue_s)

    def first_step(self, now_s: float) -> int:
        """Return the first step that it does not reach within the lead."""
        assert self.period_s is not None
        usual = math.ceil((now_s + _LEAD_S - self.synced_s) / self.period_s)
        overdue = 1 + math.ceil(_LEAD_S / self.period_s)
        return self.step + max(1, min(usual, overdue))


@dataclass(slots=True)
class _Proposal:
    number: int
    step: int
    values: dict[str, KnobValue]

    def changes(self, *, is_final: bool) -> Iterable[Change]:
        for name, value in self.values.items():
            yield Change(
                number=self.number, step=self.step, name=name, value=value, is_final=is_final
            )


@dataclass(slots=True)
class Agreement:
    """The knobs of one run whose ranks call `sync`."""

    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    """Of the changes' numbers, which begin anew when the kernel does."""
    _ranks: dict[int, _Rank] = field(default_factory=dict)
    _wanted: dict[str, KnobValue] = field(default_factory=dict)
    _proposal: _Proposal | None = None
    _final: list[Change] = field(default_factory=list)
    """In their order. What all ranks have taken has step 0."""
    _number: int = 0

    @property
    def is_used(self) -> bool:
        """Whether any rank has called `sync`."""
        return bool(self._ranks)

    @property
    def ranks(self) -> frozenset[int]:
        """Those that have called `sync` and are there."""
        return frozenset(rank for rank, each in self._ranks.items() if each.silent_since_s is None)

    @property
    def told(self) -> Agreed:
        """What every rank is told."""
        changes = [*self._final]
        if self._proposal is not None:
            changes += self._proposal.changes(is_final=False)
        return Agreed(view="notebook", epoch=self.epoch, changes=changes)

    @property
    def awaited(self) -> dict[str, KnobValue]:
        """What people have turned knobs to that some rank has not taken yet."""
        final = {each.name: each.value for each in self._final if each.step > 0}
        proposed = {} if self._proposal is None else self._proposal.values
        return final | proposed | self._wanted

    def turn(self, name: str, value: KnobValue) -> None:
        """Note that a person has turned a knob; the newest value counts."""
        self._wanted[name] = value

    def hear(self, rank: int, message: Synced, now_s: float) -> bool:
        """Note what a rank says; return whether it was not there before."""
        before = self._ranks.get(rank)
        self._ranks[rank] = _Rank(
            message.step,
            now_s - message.since_ms / 1000,
            None if message.period_ms is None else message.period_ms / 1000,
            frozenset(message.held if message.epoch == self.epoch else ()),
        )
        return before is None or before.silent_since_s is not None

    def lose(self, rank: int, now_s: float) -> None:
        """Note that a rank has fallen silent."""
        if rank in self._ranks:
            self._ranks[rank].silent_since_s = now_s

    def leave(self, rank: int) -> None:
        """Note that a rank has ended its view, and syncs no more."""
        self._ranks.pop(rank, None)

    def decide(self, now_s: float) -> bool:
        """Propose, make final or withdraw; return whether the ranks are to be told."""
        self._forget_gone(now_s)
        self._settle()
        before = self._proposal
        if self._proposal is not None:
            if self._is_too_near(self._proposal, now_s):
                self._wanted = self._proposal.values | self._wanted
                self._proposal = None
            elif self._is_held(self._proposal):
                self._final += self._proposal.changes(is_final=True)
                self._proposal = None
        if self._proposal is None and self._wanted and self._may_propose:
            self._number += 1
            step = self._next_step(now_s)
            self._proposal = _Proposal(self._number, step, self._wanted)
            self._wanted = {}
        return self._proposal is not before

    def _next_step(self, now_s: float) -> int:
        """Return a step that no rank reaches soon, and not before earlier changes of the knobs."""
        earlier = (each.step for each in self._final if each.name in self._wanted)
        return max(*(each.first_step(now_s) for each in self._ranks.values()), *earlier, 0)

    @property
    def _may_propose(self) -> bool:
        """Whether all ranks are there, their pace is known, and the last one is not far behind."""
        is_room = len(self._final) + len(self._wanted) <= _MAX_CHANGES
        return (
            bool(self._ranks)
            and is_room
            and all(
                each.silent_since_s is None and each.period_s is not None
                for each in self._ranks.values()
            )
        )

    def _is_held(self, proposal: _Proposal) -> bool:
        return all(
            each.silent_since_s is None and proposal.number in each.held
            for each in self._ranks.values()
        )

    def _is_too_near(self, proposal: _Proposal, now_s: float) -> bool:
        return any(
            each.arrives_s(proposal.step, now_s) < now_s + _MARGIN_S
            for each in self._ranks.values()
            if each.silent_since_s is None
        )

    def _settle(self) -> None:
        """Keep what some rank has still to take, and of what all have taken each knob's last value.

        Whoever joins takes the latter at its first step. Where nobody who is there knows of a
        change, the job has begun anew, with values of its own.
        """
        settled = [self._settled(each) for each in self._final if self._is_known(each)]
        present = {each.name: each for each in settled if each.step == 0}
        self._final = [each for each in settled if each.step > 0 or present[each.name] is each]

    def _settled(self, change: Change) -> Change:
        holders = [each for each in self._ranks.values() if change.number in each.held]
        has_been_taken = all(each.step >= change.step for each in holders)
        if not has_been_taken:
            return change
        return Change(
            number=change.number, step=0, name=change.name, value=change.value, is_final=True
        )

    def _is_known(self, change: Change) -> bool:
        there = [self._ranks[rank] for rank in self.ranks]
        return not there or any(change.number in each.held for each in there)

    def _forget_gone(self, now_s: float) -> None:
        for rank, each in [*self._ranks.items()]:
            if each.silent_since_s is not None and now_s - each.silent_since_s > _GONE_S:
                del self._ranks[rank]
