"""Handlers run one at a time and in order, and one that does not return holds up nothing else."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from gpuview.interaction import dispatcher as module
from gpuview.interaction.dispatcher import Dispatcher
from gpuview.interaction.events import Work
from tests.waiting import wait_until

WAIT_S = 30


class FakeHost:
    """A thread that makes frames, which a test drives."""

    def __init__(self) -> None:
        self.is_running = True
        self.n_woken = 0
        self.has_gone_on = threading.Event()

    def wake(self) -> bool:
        self.n_woken += self.is_running
        return self.is_running

    def go_on(self) -> None:
        self.has_gone_on.set()


class Working:
    """A dispatcher, and what it has said and done."""

    def __init__(self) -> None:
        self.done: queue.Queue[tuple[object, str]] = queue.Queue()
        self.slow: queue.Queue[str] = queue.Queue()
        self.dispatcher = Dispatcher(self.slow.put)

    def put(self, what: object) -> None:
        self.dispatcher.put(Work(self._do, what))

    def put_that_waits_for(self, event: threading.Event) -> None:
        def run(_what: object) -> None:
            self.dispatcher.call("the slow one", lambda: (event.wait(WAIT_S), None)[1])

        self.dispatcher.put(Work(run, None))

    def _do(self, what: object) -> None:
        name = threading.current_thread().name
        self.dispatcher.call("a quick one", lambda: self.done.put((what, name)))

    def next(self) -> tuple[object, str]:
        return self.done.get(timeout=WAIT_S)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> Iterator[Working]:
    monkeypatch.setattr(module, "_IDLE_S", 0.05)
    working = Working()
    yield working
    working.dispatcher.close()
    wait_until(lambda: not threads(), "its threads end")


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if "handlers" in each.name]


def test_work_is_done_in_order_on_a_thread_that_lives_while_there_is_work(working: Working) -> None:
    for n in range(100):
        working.put(n)
    assert [working.next() for _ in range(100)] == [(n, "gpuview-handlers") for n in range(100)]
    wait_until(lambda: not threads(), "the threads end")
    working.put("again")
    assert working.next() == ("again", "gpuview-handlers")


def test_work_is_done_at_once_although_two_threads_wait(
    working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_S", threading.TIMEOUT_MAX)
    monkeypatch.setattr(module, "SLOW_S", threading.TIMEOUT_MAX)
    for n in range(10):
        working.put(n)  # to the thread that works, and not to the one that looks for slow handlers
        assert working.next()[0] == n


def test_where_frames_are_made_work_waits_for_that_thread(working: Working) -> None:
    host = working.dispatcher.host = FakeHost()
    working.put(1)
    assert (host.n_woken, working.done.empty()) == (1, True)
    working.dispatcher.run_waiting()
    assert working.next() == (1, threading.current_thread().name)
    host.is_running = False
    working.put(2)
    assert working.next() == (2, "gpuview-handlers")


def test_handler_that_does_not_return_is_named_and_frames_go_on_elsewhere(working: Working) -> None:
    host = working.dispatcher.host = FakeHost()
    host.is_running = False
    gate = threading.Event()
    working.put_that_waits_for(gate)
    working.put("later")
    assert "the slow one has been running" in working.slow.get(timeout=WAIT_S)
    assert host.has_gone_on.wait(WAIT_S)
    working.dispatcher.run_waiting()  # of the thread that makes frames now: it must not wait
    assert working.done.empty()
    gate.set()
    assert working.slow.get(timeout=WAIT_S) == ""
    assert working.next()[0] == "later"


def test_closed_one_drops_what_waits(working: Working) -> None:
    gate = threading.Event()
    working.put_that_waits_for(gate)
    working.put("never")
    wait_until(lambda: "in the slow one" in repr(working.dispatcher), "it begins")
    working.dispatcher.close()
    gate.set()
    working.put("never")
    wait_until(lambda: not threads(), "its threads end")
    assert working.done.empty()
