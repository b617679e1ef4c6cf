"""On which step ranks of every kind agree. They run on a clock of their own, without a network.

Each message takes a while, and a link that is cut loses what is under way.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gpuview.cluster.knob_sync import Schedule
from gpuview.media.cluster.agreement import Agreement
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
            rank.send(self.agreement.told_to(rank.number))

    def lose(self, rank: Rank) -> None:
        self.agreement.lose(rank.number, self.world.now_s)
        self._decide()

    def beat(self) -> None:
        self._decide()

    def _decide(self) -> bool:
        has_changed = self.agreement.decide(self.world.now_s)
        if has_changed:
            for number in self.agreement.ranks:
                self.ranks[number].send(self.agreement.told_to(number))
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


@pytest.fixture
def notebook() -> Notebook:
    return Notebook(World())


@pytest.mark.parametrize("period_s", [0.001, 0.03, 0.4, 5.0])
def test_ranks_in_step_take_each_value_at_the_same_step_and_soon(
    notebook: Notebook, period_s: float
) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=period_s, jitter=0.1) for n in range(4)]
    world.run(20.0)
    notebook.turn(0.5)
    turned_at = ranks[0].step
    world.run(40.0)
    assert [each for _, each in ranks[0].taken] == [0.5]
    assert all(each.taken == ranks[0].taken for each in ranks)
    assert ranks[0].taken[0][0] - turned_at <= 1.5 / period_s + 2


def test_ranks_of_every_speed_and_latency_agree_on_the_step(notebook: Notebook) -> None:
    world = notebook.world
    for n, (period_s, latency_s) in enumerate([(0.01, 0.001), (0.07, 0.15), (0.5, 0.02)]):
        Rank(notebook, n, period_s=period_s, latency_s=latency_s, jitter=0.3)
    world.run(5.0)
    for value in (0.1, 0.2, 0.3):
        notebook.turn(value)
        world.run(world.now_s + 2.0)
    world.run(4000.0)  # the slowest reaches the step of the quickest much later
    taken = [each.taken for each in notebook.ranks.values()]
    assert [value for _, value in taken[0]][-1] == 0.3
    assert taken[0] == taken[1] == taken[2]


def test_newer_value_is_taken_after_the_older_one_even_where_steps_become_slow(
    notebook: Notebook,
) -> None:
    world = notebook.world
    rank = Rank(notebook, 0, period_s=0.001)
    world.run(1.0)
    notebook.turn(0.5)
    world.run(1.1)  # it is final, for hundreds of steps later
    rank.slow_down(0.4)
    world.run(5.0)
    notebook.turn(0.7)
    world.run(1000.0)
    assert [value for _, value in rank.taken] == [0.5, 0.7]


def test_many_turns_become_few_changes_and_the_newest_wins(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    for n in range(40):
        notebook.turn(n / 100)
        world.run(world.now_s + 0.02)
    world.run(10.0)
    assert ranks[0].taken == ranks[1].taken
    assert ranks[0].taken[-1][1] == 0.39
    assert notebook.agreement.awaited == {}


def test_rank_that_joins_late_has_the_value_from_its_first_steps_on(notebook: Notebook) -> None:
    world = notebook.world
    first = Rank(notebook, 0, period_s=0.03)
    world.run(1.0)
    notebook.turn(0.5)
    world.run(5.0)
    late = Rank(notebook, 1, period_s=0.03, begins_s=5.0, first_step=first.step)
    world.run(6.0)
    assert [value for _, value in late.taken] == [0.5]
    notebook.turn(0.7)
    world.run(10.0)
    assert first.taken[-1] == late.taken[-1]
    assert first.taken[-1][1] == 0.7


def test_rank_that_begins_anew_takes_at_its_first_steps_what_the_others_have(
    notebook: Notebook,
) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    notebook.turn(0.5)
    world.run(5.0)
    ranks[1].is_running = False
    ranks[1].cut()
    again = Rank(notebook, 1, period_s=0.03, begins_s=6.0)
    world.run(7.0)
    ((step, value),) = again.taken
    assert (step < 5, value) == (True, 0.5)
    assert len(ranks[0].taken) == 1


def test_job_that_begins_anew_has_values_of_its_own(notebook: Notebook) -> None:
    world = notebook.world
    before = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    notebook.turn(0.5)
    world.run(5.0)
    for each in before:
        each.is_running = False
        each.cut()
    after = [Rank(notebook, n, period_s=0.03, begins_s=6.0 + n) for n in range(2)]
    world.run(20.0)
    assert [each.taken for each in after] == [[], []]
    notebook.turn(0.7)
    world.run(60.0)  # one of them is a second behind
    assert [value for _, value in after[0].taken] == [0.7]
    assert after[0].taken == after[1].taken


@pytest.mark.parametrize("cut_after_s", [0.0, 0.01, 0.03, 0.045])
def test_link_that_is_lost_before_all_have_agreed_leaves_all_as_they_are_until_it_is_back(
    notebook: Notebook, cut_after_s: float
) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03, latency_s=0.025) for n in range(3)]
    world.run(1.0)
    notebook.turn(0.5)
    world.run(1.0 + cut_after_s)
    ranks[2].cut()
    world.run(30.0)
    assert [each.taken for each in ranks] == [[], [], []]
    assert notebook.agreement.awaited == {"lr": 0.5}
    ranks[2].join_again()
    world.run(33.0)
    assert [value for _, value in ranks[0].taken] == [0.5]
    assert ranks[0].taken == ranks[1].taken == ranks[2].taken


def test_each_press_counts_and_none_is_told_again(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    for _ in range(3):  # while the first is being agreed on, too
        notebook.press()
        world.run(world.now_s + 0.01)
    assert notebook.agreement.awaited == {}
    world.run(5.0)
    assert [value for _, value in ranks[0].taken] == [1, 1, 1]
    assert ranks[0].taken == ranks[1].taken
    ranks[1].is_running = False
    ranks[1].cut()
    again = Rank(notebook, 1, period_s=0.03, begins_s=6.0)
    world.run(20.0)
    assert again.taken == []


def test_press_is_kept_where_its_proposal_is_withdrawn(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    for _ in range(2):
        notebook.press()
        notebook.turn(0.5)
    ranks[1].cut()
    world.run(10.0)
    ranks[1].join_again()
    world.run(20.0)
    assert sorted(value for _, value in ranks[0].taken) == [0.5, 1, 1]
    assert ranks[0].taken == ranks[1].taken


def test_presses_that_are_not_taken_stop_no_other_knob_and_take_no_room(
    notebook: Notebook,
) -> None:
    world = notebook.world
    rank = Rank(notebook, 0, period_s=0.03)
    world.run(0.025)  # its pace is not known
    for _ in range(2000):
        notebook.press()
    notebook.turn(0.5)
    world.run(10.0)
    assert 0.5 in [value for _, value in rank.taken]
    assert len(rank.taken) < 600
    assert notebook.agreement.awaited == {}


def test_what_was_asked_of_a_job_that_has_ended_is_asked_of_no_other(notebook: Notebook) -> None:
    world = notebook.world
    before = Rank(notebook, 0, period_s=0.03)
    world.run(1.0)
    before.is_running = False
    before.cut()
    notebook.turn(0.5)
    world.run(130.0)
    notebook.beat()
    after = Rank(notebook, 1, period_s=0.03, begins_s=130.0)
    world.run(140.0)
    assert notebook.agreement.awaited == {}
    assert after.taken == []


def test_nobody_waits_for_a_change_that_the_dead_rank_of_a_job_has_not_taken() -> None:
    agreement = Agreement()
    agreement.hear(0, Synced(step=5, since_ms=0, period_ms=100, epoch="", held=[]), 0.0)
    agreement.turn("lr", 0.5)
    agreement.decide(0.0)
    held = Synced(step=5, since_ms=0, period_ms=100, epoch=agreement.epoch, held=[1])
    agreement.hear(0, held, 0.0)
    agreement.decide(0.0)
    assert agreement.awaited == {"lr": 0.5}
    agreement.lose(0, 0.1)
    agreement.decide(130.0)
    assert agreement.awaited == {}


def test_rank_that_counts_from_0_beside_others_far_ahead_takes_changes_at_once(
    notebook: Notebook,
) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03, first_step=50_000) for n in range(2)]
    world.run(1.0)
    again = Rank(notebook, 2, period_s=0.03, begins_s=1.0)
    world.run(3.0)
    for value in (0.5, 0.7):
        notebook.turn(value)
        world.run(world.now_s + 5.0)
    assert [value for _, value in again.taken] == [0.5, 0.7]
    assert again.taken[-1][0] < 1000
    assert [value for _, value in ranks[0].taken] == [0.5, 0.7]
    assert ranks[0].taken == ranks[1].taken
    assert notebook.agreement.awaited == {}


def test_what_was_withdrawn_is_not_proposed_again_before_every_rank_has_said_where_it_is() -> None:
    agreement = Agreement()
    for rank in range(2):
        agreement.hear(rank, Synced(step=5, since_ms=0, period_ms=100, epoch="", held=[]), 0.0)
    agreement.turn("lr", 0.5)
    agreement.decide(0.0)
    (proposed,) = agreement.told_to(0).changes
    sudden = Synced(step=proposed.step, since_ms=0, period_ms=10, epoch="", held=[])
    agreement.hear(0, sudden, 0.1)
    assert agreement.decide(0.1)
    agreement.hear(0, sudden, 0.2)
    agreement.decide(0.2)
    assert agreement.told_to(0).changes == []
    agreement.hear(1, sudden, 0.2)
    assert agreement.decide(0.2)
    (again,) = agreement.told_to(0).changes
    assert again.step > proposed.step


def test_link_that_is_lost_after_all_have_heard_changes_nothing(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    notebook.turn(0.5)
    world.run(1.2)
    ranks[1].cut()
    world.run(5.0)
    assert ranks[0].taken == ranks[1].taken != []


@pytest.mark.parametrize("dies_after_s", [0.0, 0.01, 0.03])
def test_notebook_that_is_gone_leaves_all_ranks_alike(
    notebook: Notebook, dies_after_s: float
) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(3)]
    world.run(1.0)
    notebook.turn(0.5)
    world.run(1.0 + dies_after_s)
    notebook.is_alive = False
    world.run(10.0)
    assert ranks[0].taken == ranks[1].taken == ranks[2].taken == []


def test_rank_that_has_ended_is_waited_for_two_minutes(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    ranks[1].is_running = False
    ranks[1].cut()
    notebook.turn(0.5)
    world.run(60.0)
    assert ranks[0].taken == []
    world.run(125.0)
    assert [value for _, value in ranks[0].taken] == [0.5]


def test_rank_that_has_closed_its_view_is_not_waited_for(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    ranks[1].is_running = False
    notebook.agreement.leave(1)
    notebook.turn(0.5)
    world.run(3.0)
    assert [value for _, value in ranks[0].taken] == [0.5]


def test_rank_that_is_held_up_is_asked_for_a_step_that_it_reaches_soon(notebook: Notebook) -> None:
    world = notebook.world
    ranks = [Rank(notebook, n, period_s=0.03) for n in range(2)]
    world.run(1.0)
    for each in ranks:
        each.is_running = False  # an evaluation
    world.run(60.0)
    notebook.turn(0.5)
    world.run(61.0)
    for each in ranks:
        each.is_running = True
        world.at(61.0, each._sync)
    world.run(63.0)
    assert [value for _, value in ranks[0].taken] == [0.5]
    assert ranks[0].taken == ranks[1].taken
    assert ranks[0].taken[0][0] < 33 + 40


def test_run_whose_ranks_do_not_sync_has_nothing_to_agree_on() -> None:
    agreement = Agreement()
    assert not agreement.has(0)
    assert agreement.decide(0.0) is False


def test_kernel_that_was_restarted_begins_anew_and_its_numbers_are_not_the_old_ones() -> None:
    schedule = Schedule()
    first, second = Agreement(), Agreement()
    for agreement, value in ((first, 0.1), (second, 0.2)):
        agreement.turn("lr", value)
        synced = Synced(step=5, since_ms=0, period_ms=100, epoch=agreement.epoch, held=[])
        agreement.hear(0, synced, 0.0)
        assert agreement.decide(0.0)
        synced = Synced(step=5, since_ms=0, period_ms=100, epoch=agreement.epoch, held=[1])
        agreement.hear(0, synced, 0.0)
        assert agreement.decide(0.0)
        schedule.replace(agreement.told_to(0))
        assert [each.value for each in schedule.due(50)] == [value]
        assert schedule.due(51) == []


def test_what_is_held_of_another_epoch_counts_for_nothing() -> None:
    agreement = Agreement()
    agreement.turn("lr", 0.1)
    agreement.hear(0, Synced(step=5, since_ms=0, period_ms=100, epoch="old", held=[1]), 0.0)
    agreement.decide(0.0)
    agreement.hear(0, Synced(step=5, since_ms=0, period_ms=100, epoch="old", held=[1]), 0.1)
    agreement.decide(0.1)
    assert not any(each.is_final for each in agreement.told_to(0).changes)
