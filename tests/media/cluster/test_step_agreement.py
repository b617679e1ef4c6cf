"""On which step ranks of every kind agree."""

from __future__ import annotations

import pytest

from gpuview.cluster.knob_sync import Schedule
from gpuview.media.cluster.step_agreement import Agreement
from gpuview.protocol.cluster_messages import Synced
from tests.media.cluster.stepping import Notebook, Rank, World


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
    (proposed,) = agreement.answer_for(0).changes
    sudden = Synced(step=proposed.step, since_ms=0, period_ms=10, epoch="", held=[])
    agreement.hear(0, sudden, 0.1)
    assert agreement.decide(0.1)
    agreement.hear(0, sudden, 0.2)
    agreement.decide(0.2)
    assert agreement.answer_for(0).changes == []
    agreement.hear(1, sudden, 0.2)
    assert agreement.decide(0.2)
    (again,) = agreement.answer_for(0).changes
    assert again.step > proposed.step


def test_rank_that_has_not_come_back_to_a_run_that_is_shown_again_keeps_its_step() -> None:
    agreement = Agreement()
    agreement.turn("lr", 0.5)
    for held in ([], [1]):
        for rank in range(2):
            message = Synced(step=5, since_ms=0, period_ms=100, epoch=agreement.epoch, held=held)
            agreement.hear(rank, message, 0.0)
        agreement.decide(0.0)
    (final,) = agreement.answer_for(0).changes
    assert (final.is_final, final.step > 5) == (True, True)
    for rank in range(2):
        agreement.lose(rank, 0.1)
    agreement.resume(1000.0)
    synced = Synced(step=final.step, since_ms=0, period_ms=100, epoch=agreement.epoch, held=[1])
    agreement.hear(0, synced, 1001.0)
    agreement.decide(1001.0)
    assert agreement.answer_for(1).changes == [final]


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
        schedule.replace(agreement.answer_for(0))
        assert [each.value for each in schedule.due(50)] == [value]
        assert schedule.due(51) == []


def test_what_is_held_of_another_epoch_counts_for_nothing() -> None:
    agreement = Agreement()
    agreement.turn("lr", 0.1)
    agreement.hear(0, Synced(step=5, since_ms=0, period_ms=100, epoch="old", held=[1]), 0.0)
    agreement.decide(0.0)
    agreement.hear(0, Synced(step=5, since_ms=0, period_ms=100, epoch="old", held=[1]), 0.1)
    agreement.decide(0.1)
    assert not any(each.is_final for each in agreement.answer_for(0).changes)
