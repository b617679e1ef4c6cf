"""At which step the ranks of a run take the knobs that were turned: pure, in seconds on one clock.

Each rank counts its steps, see `View.sync`. A change is proposed for a step that no rank reaches
soon. A rank that holds the proposal says so. When all hold it, and all are still far enough from
that step, it is final, and each rank takes it there. Otherwise it is proposed anew, for a later
step. So a notebook that is gone, or a link that is cut, leaves all ranks with what they have.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from gpuview.protocol.cluster_messages import Agreed, Change, Synced
from gpuview.protocol.interaction_messages import KnobValue

__all__ = ["Agreement"]

_LEAD_S = 0.7
"""A change is proposed for the first step that no rank reaches earlier."""
_MARGIN_S = 0.3
"""No rank may reach the step sooner when its change becomes final: the word of it takes time."""
_MAX_CHANGES = 512
_BEHIND_S = 600.0
"""A rank that needs longer to get to where the first one is takes changes when it hears of them."""
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
    has_reported: bool = True
    """Since a proposal was last withdrawn."""

    def arrives_s(self, step: int, now_s: float) -> float:
        """Return the earliest time at which it can reach a step."""
        if self.step >= step or self.period_s is None:
            return -math.inf
        usual_s = self.synced_s + (step - self.step) * self.period_s
        overdue_s = now_s + (step - self.step - 1) * self.period_s  # it has been held up
        return max(usual_s, overdue_s)

    def lasts_s(self, step: int) -> float:
        """Return how long it takes to get to a step."""
        assert self.period_s is not None
        return (step - self.step) * self.period_s

    def first_step(self, now_s: float) -> int:
        """Return the first step that it does not reach within the lead."""
        assert self.period_s is not None
        usual = math.ceil((now_s + _LEAD_S - self.synced_s) / self.period_s)
        overdue = 1 + math.ceil(_LEAD_S / self.period_s)
        return self.step + max(1, min(usual, overdue))


@dataclass(frozen=True, slots=True)
class _Turn:
    """One knob that a person has turned, or one press of a button."""

    name: str
    value: KnobValue
    is_press: bool
    number: int = 0
    step: int = 0
    """As in `Change`; not known before it is proposed."""

    def final(self, *, is_at_once: bool) -> Change:
        step = 0 if is_at_once else self.step
        return Change(
            number=self.number, step=step, name=self.name, value=self.value, is_final=True
        )

    @property
    def proposed(self) -> Change:
        return Change(
            number=self.number, step=self.step, name=self.name, value=self.value, is_final=False
        )


def _without_older(turns: Iterable[_Turn]) -> list[_Turn]:
    """Keep the newest turn of each knob, and every press."""
    turns = list(turns)
    newest = {each.name: each for each in turns}
    return [each for each in turns if each.is_press or newest[each.name] is each]


@dataclass(slots=True)
class Agreement:
    """The knobs of one run whose ranks call `sync`."""

    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    """Of the changes' numbers, which begin anew when the kernel does."""
    behind: frozenset[int] = frozenset()
    """Ranks that were far behind at the last proposal, as if they counted something else."""
    _ranks: dict[int, _Rank] = field(default_factory=dict)
    _wanted: list[_Turn] = field(default_factory=list)
    _proposal: list[_Turn] = field(default_factory=list)
    """All of one number and step."""
    _final: list[_Turn] = field(default_factory=list)
    """In their order. What all ranks have taken has step 0."""
    _number: int = 0

    def has(self, rank: int) -> bool:
        """Tell whether a rank has called `sync`, and is not known to have ended."""
        return rank in self._ranks

    @property
    def ranks(self) -> frozenset[int]:
        """Those that have called `sync` and are there."""
        return frozenset(rank for rank, each in self._ranks.items() if each.silent_since_s is None)

    def answer_for(self, rank: int) -> Agreed:
        """Return what a rank is told."""
        changes = [each.final(is_at_once=rank in self.behind) for each in self._final]
        changes += [each.proposed for each in self._proposal]
        return Agreed(view="notebook", epoch=self.epoch, changes=changes)

    @property
    def awaited(self) -> dict[str, KnobValue]:
        """What people have turned knobs to that some rank has not taken yet; without presses."""
        if not self._ranks:
            return {}
        final = [each for each in self._final if each.step > 0]
        turns = [*final, *self._proposal, *self._wanted]
        return {each.name: each.value for each in turns if not each.is_press}

    def turn(self, name: str, value: KnobValue) -> None:
        """Note that a person has turned a knob; the newest value counts."""
        self._wanted = _without_older([*self._wanted, _Turn(name, value, is_press=False)])

    def press(self, name: str) -> None:
        """Note that a person has pressed a button: each press counts, until too many wait."""
        if len(self._wanted) < _MAX_CHANGES:
            self._wanted.append(_Turn(name, 1, is_press=True))

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

    def resume(self, now_s: float) -> None:
        """Wait for its ranks from now on: no stream has shown the run, so all were silent."""
        for each in self._ranks.values():
            each.silent_since_s = now_s

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
        if self._proposal:
            if self._is_too_near(self._proposal[0].step, now_s):
                self._withdraw()
            elif self._is_held(self._proposal[0].number):
                self._final += self._proposal
                self._proposal = []
        if not self._proposal and self._wanted and self._may_propose:
            self._propose(now_s)
        return self._proposal != before

    def _withdraw(self) -> None:
        self._wanted = _without_older([*self._proposal, *self._wanted])
        self._proposal = []
        for each in self._ranks.values():
            each.has_reported = False

    def _propose(self, now_s: float) -> None:
        room = _MAX_CHANGES - len(self._final)
        turns, self._wanted = self._wanted[:room], self._wanted[room:]
        self._number += 1
        step = self._next_step({each.name for each in turns}, now_s)
        self._proposal = [replace(each, number=self._number, step=step) for each in turns]
        first = max(each.step for each in self._ranks.values())
        self.behind = frozenset(
            rank for rank, each in self._ranks.items() if each.lasts_s(first) > _BEHIND_S
        )

    def _next_step(self, names: Collection[str], now_s: float) -> int:
        """Return a step that no rank reaches soon, and not before earlier changes of the knobs."""
        earlier = (each.step for each in self._final if each.name in names)
        return max(*(each.first_step(now_s) for each in self._ranks.values()), *earlier, 0)

    @property
    def _may_propose(self) -> bool:
        """Whether all ranks are there, and their steps and pace are known."""
        return (
            bool(self._ranks)
            and len(self._final) < _MAX_CHANGES
            and all(
                each.silent_since_s is None and each.period_s is not None and each.has_reported
                for each in self._ranks.values()
            )
        )

    def _is_held(self, number: int) -> bool:
        return all(
            each.silent_since_s is None and number in each.held for each in self._ranks.values()
        )

    def _is_too_near(self, step: int, now_s: float) -> bool:
        return any(
            each.arrives_s(step, now_s) < now_s + _MARGIN_S
            for each in self._ranks.values()
            if each.silent_since_s is None
        )

    def _settle(self) -> None:
        """Keep what some rank has still to take, and of what all have taken each knob's last value.

        Whoever joins takes the latter at its first step, and no press that was before. Where
        nobody who is there knows of a change, the job has begun anew, with values of its own.
        """
        pending: list[_Turn] = []
        taken: list[_Turn] = []
        for each in filter(self._is_known, self._final):
            (taken if self._has_been_taken(each) else pending).append(each)
        present = _without_older(each for each in taken if not each.is_press)
        self._final = [replace(each, step=0) for each in present] + pending

    def _has_been_taken(self, turn: _Turn) -> bool:
        holders = {rank: each for rank, each in self._ranks.items() if turn.number in each.held}
        return bool(holders) and all(
            each.step >= turn.step or rank in self.behind for rank, each in holders.items()
        )

    def _is_known(self, turn: _Turn) -> bool:
        there = [self._ranks[rank] for rank in self.ranks]
        return not there or any(turn.number in each.held for each in there)

    def _forget_gone(self, now_s: float) -> None:
        for rank, each in [*self._ranks.items()]:
            if each.silent_since_s is not None and now_s - each.silent_since_s > _GONE_S:
                del self._ranks[rank]
        if not self._ranks:  # the next job has not been asked for what was asked of this one
            self._wanted, self._proposal = [], []
