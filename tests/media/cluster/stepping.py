"""Ranks that step on a clock of their own, without a network.

Each message takes a while, and a link that is cut loses what is under way.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gpuview.cluster.knob_sync import Schedule
from gpuview.media.cluster.step_agreement import Agreement
from gpuview.protocol.cluster_messages import Agreed, Synced

REPORT_S = 0.05


@dataclass
class World:
    """A clock, and what happens when."""

    now_s: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._count), do))

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._events)
            do()
        self.now_s = until_s


class Notebook:
    """The notebook's side of a run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.agreement = Agreement()
        self.ranks: dict[int, Rank] = {}
        self.is_alive = True

    def turn(self, value: float) -> None:
        self.agreement.turn("lr", value)
        self._decide()

    def press(self) -> None:
        self.agreement.press("save")
        self._decide()

    def hear(self, rank: Rank, message: Synced) -> None:
        is_new = self.agreement.hear(rank.number, message, self.world.now_s)
        self.ranks[rank.number] = rank
        if not self._decide() and is_new:
            rank.send(self.agreement.answer_for(rank.number))

    def lose(self, rank: Rank) -> None:
        self.agreement.lose(rank.number, self.world.now_s)
        self._decide()

    def beat(self) -> None:
        self._decide()

    def _decide(self) -> bool:
        has_changed = self.agreement.decide(self.world.now_s)
        if has_changed:
            for number in self.agreement.ranks:
                self.ranks[number].send(self.agreement.answer_for(number))
        return has_changed


class Rank:
    """A job that steps, and the link to its notebook.

    It does not wait for a word that is missing: what it did then would be seen as a disagreement.
    """

    def __init__(
        self,
        notebook: Notebook,
        number: int,
        *,
        period_s: float,
        begins_s: float = 0.0,
        first_step: int = 0,
        latency_s: float = 0.02,
        jitter: float = 0.0,
    ) -> None:
        self.number = number
        self.taken: list[tuple[int, float]] = []
        """Each value, and the step at which it was taken."""
        self.step = first_step - 1
        self.is_running = True
        self._notebook = notebook
        self._world = notebook.world
        self._schedule = Schedule()
        self._link = 0  # counts; 0 is the first
        self._is_linked = True
        self._period_s, self._latency_s, self._jitter = period_s, latency_s, jitter
        self._chance = random.Random(number)
        self._reported_s = self._synced_s = float("-inf")
        self._world.at(begins_s, self._sync)

    def cut(self) -> None:
        """Lose the link, which the notebook notices."""
        self._is_linked = False
        self._link += 1
        self._notebook.lose(self)

    def slow_down(self, period_s: float) -> None:
        self._period_s = period_s

    def join_again(self) -> None:
        self._is_linked = True

    def send(self, message: Agreed) -> None:
        """Take a message of the notebook, later."""
        self._later(lambda: self._hear(message))

    def _later(self, do: Callable[[], None]) -> None:
        link = self._link
        is_there = self._is_linked

        def arrive() -> None:
            if is_there and link == self._link and self._notebook.is_alive:
                do()

        self._world.at(self._world.now_s + self._latency_s, arrive)

    def _sync(self) -> None:
        if not self.is_running:
            return
        self.step += 1
        self._synced_s = self._world.now_s
        for change in self._schedule.due(self.step):
            assert isinstance(change.value, int | float)
            self.taken.append((self.step, change.value))
        if self._world.now_s - self._reported_s >= REPORT_S:
            self._report()
        period_s = self._period_s * (1 + self._jitter * self._chance.uniform(-1, 1))
        self._world.at(self._world.now_s + period_s, self._sync)

    def _hear(self, message: Agreed) -> None:
        self._schedule.replace(message)
        self._report()

    def _report(self) -> None:
        self._reported_s = self._world.now_s
        message = Synced(
            step=self.step,
            since_ms=(self._world.now_s - self._synced_s) * 1000,
            period_ms=self._period_s * 1000 if self.step > 0 else None,
            epoch=self._schedule.epoch,
            held=self._schedule.held,
        )
        self._later(lambda: self._notebook.hear(self, message))
