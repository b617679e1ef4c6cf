"""A worker's part in agreeing on knobs: when `sync` takes what, and for how long it waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from gpuview.cluster.knob_sync import KnobSync
from gpuview.protocol.cluster_messages import Agreed, Change, Synced

BAD = -1.0
"""A value that cannot be taken."""


class Worker:
    """One that syncs, with what it took and what it said."""

    def __init__(self, is_connected: Callable[[], bool] = lambda: True) -> None:
        self.taken: list[tuple[str, object]] = []
        self.said: list[Synced] = []
        self.problems: list[str] = []
        self.steps = KnobSync(
            self._take, self.said.append, is_connected, lambda exc: self.problems.append(str(exc))
        )

    def _take(self, name: str, value: object) -> None:
        if value == BAD:
            raise RuntimeError("can't start new thread")
        self.taken.append((name, value))

    def hear(self, *changes: Change, epoch: str = "now") -> None:
        self.steps.hear(Agreed(view="notebook", epoch=epoch, changes=list(changes)))


def change(step: int, value: float = 0.5, *, number: int = 1, is_final: bool = True) -> Change:
    return Change(number=number, step=step, name="lr", value=value, is_final=is_final)


def test_change_is_taken_at_its_step_and_once() -> None:
    worker = Worker()
    worker.hear(change(2))
    for expected in (0, 0, 1, 1):
        worker.steps.sync()
        assert len(worker.taken) == expected
    assert worker.taken == [("lr", 0.5)]


def test_steps_may_have_numbers_of_the_job_s_own() -> None:
    worker = Worker()
    worker.hear(change(4002))
    worker.steps.sync(4001)
    assert worker.taken == []
    worker.steps.sync(4002)
    assert worker.taken == [("lr", 0.5)]


def test_changes_that_are_due_are_taken_in_their_order() -> None:
    worker = Worker()
    worker.hear(change(3, 0.3, number=3), change(1, 0.1, number=1), change(2, 0.2, number=2))
    worker.steps.sync(3)
    assert [value for _, value in worker.taken] == [0.1, 0.2, 0.3]


def test_change_that_fails_reaches_no_job_and_no_other_change_is_lost() -> None:
    worker = Worker()
    worker.hear(change(0, BAD), change(0, 0.2, number=2))
    worker.steps.sync()
    assert worker.taken == [("lr", 0.2)]
    assert worker.problems == ["can't start new thread"]


def test_what_was_withdrawn_is_not_taken() -> None:
    worker = Worker()
    worker.steps.sync()
    worker.hear(change(1, is_final=False))
    worker.hear(change(9, 0.7, number=2))
    worker.steps.sync()
    assert worker.taken == []


def test_final_change_is_taken_at_its_step_whatever_a_new_kernel_says() -> None:
    worker = Worker()
    worker.hear(change(2), change(3, 0.9, number=2, is_final=False), epoch="before")
    worker.steps.sync()
    worker.hear(change(2, is_final=False))
    worker.hear()
    worker.steps.sync()
    assert worker.taken == []
    for _ in range(3):
        worker.steps.sync()
    assert worker.taken == [("lr", 0.5)]


def test_what_a_new_kernel_has_changed_is_not_changed_back() -> None:
    worker = Worker()
    worker.hear(change(5), epoch="before")
    worker.hear(change(3, 0.7))
    for _ in range(8):
        worker.steps.sync()
    assert worker.taken == [("lr", 0.7)]


def test_it_says_where_it_is_and_what_it_holds_at_once() -> None:
    worker = Worker()
    worker.hear(change(9))
    assert worker.said == []  # it has not begun
    worker.steps.sync()
    assert (worker.said[-1].step, worker.said[-1].period_ms) == (0, None)
    worker.steps.sync()
    worker.hear(change(9), change(9, number=2, is_final=False))
    said = worker.said[-1]
    assert (said.step, said.epoch, said.held) == (1, "now", [1, 2])
    assert said.period_ms is not None


def test_it_does_not_say_each_of_many_steps() -> None:
    worker = Worker()
    for _ in range(100_000):
        worker.steps.sync()
    assert len(worker.said) < 10_000


def test_step_waits_for_the_word_on_a_change_that_was_proposed_for_it() -> None:
    def be_told() -> bool:
        # The lock is held until the step waits.
        threads.append(threading.Thread(target=worker.hear, args=(change(0),)))
        threads[-1].start()
        return True

    threads: list[threading.Thread] = []
    worker = Worker(be_told)
    worker.hear(change(0, is_final=False))
    worker.steps.sync()
    for thread in threads:
        thread.join()
    assert worker.taken == [("lr", 0.5)]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long steps would have waited, in seconds: until the end, as nothing is heard."""
    waits: list[float] = []

    class Told(threading.Condition):
        def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
            if not predicate():
                assert timeout is not None
                waits.append(timeout)
            return predicate()

    monkeypatch.setattr(threading, "Condition", Told)
    return waits


def test_step_that_hears_nothing_goes_on_after_a_second_and_no_other_waits(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()
    worker.hear(change(0, is_final=False))
    for _ in range(11):
        worker.steps.sync()
    assert waits == [1.0]
    assert worker.taken == []
    worker.hear(change(0))  # it was final for the others
    with caplog.at_level(logging.WARNING, "gpuview"):
        worker.steps.sync()
    assert worker.taken == [("lr", 0.5)]
    assert "came late: lr changes at step 11 here, and perhaps at step 0" in caplog.text


def test_step_says_where_it_is_before_it_waits(waits: list[float]) -> None:
    worker = Worker()
    worker.steps.sync()
    worker.hear(change(1, is_final=False))
    assert worker.said[-1].step == 0
    worker.steps.sync()
    assert (len(waits), worker.said[-1].step) == (1, 1)


def test_without_a_notebook_no_step_waits_or_says_anything(waits: list[float]) -> None:
    worker = Worker(lambda: False)
    worker.hear(change(0, is_final=False))
    for _ in range(100):
        worker.steps.sync()
    assert (worker.taken, worker.said, waits) == ([], [], [])


def test_forked_child_agrees_with_nobody_even_where_the_lock_was_taken() -> None:
    worker = Worker()
    with worker.steps._changed:
        worker.steps.abandon()
        worker.steps.sync()
    assert worker.said == []
