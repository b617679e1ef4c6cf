"""A line that changes often is told seldom, and the newest one in the end."""

from __future__ import annotations

import threading

from gpuview.signalling.throttle import Throttle
from tests.waiting import wait_until


def test_many_changes_are_told_seldom_and_the_last_one_in_the_end() -> None:
    told: list[int] = []
    newest = 0
    sometimes = Throttle(lambda: told.append(newest), period_s=0.05)
    for step in range(1, 5001):
        newest = step
        sometimes.ask()
    wait_until(lambda: told and told[-1] == 5000, "the last one is told")
    assert told == sorted(told)
    assert len(told) < 500


def test_who_asks_does_not_wait_for_a_call_that_hangs() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def call() -> None:
        has_begun.set()
        may_end.wait()

    sometimes = Throttle(call, period_s=1000)
    sometimes.ask()
    assert has_begun.wait(10)
    for _ in range(1000):
        sometimes.ask()  # would hang here
    sometimes.close()
    may_end.set()


def test_nothing_is_told_once_it_is_closed() -> None:
    calls: list[int] = []
    sometimes = Throttle(lambda: calls.append(1), period_s=1000)
    sometimes.ask()
    wait_until(lambda: calls == [1], "it is told at once")
    sometimes.ask()
    sometimes.close()
    sometimes.ask()
    assert calls == [1]
