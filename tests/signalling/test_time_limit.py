"""A call that may hang returns, raises, or is left behind in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gpuview.signalling.time_limit import Overdue, call_within

SOON_S = 0.05


@pytest.fixture
def hangs() -> Iterator[threading.Event]:
    """Give what hanging calls wait for, which ends them with the test."""
    released = threading.Event()
    yield released
    released.set()


def test_a_call_returns_or_raises_as_it_would_here() -> None:
    assert call_within(30.0, lambda: 7) == 7
    with pytest.raises(KeyError, match="a"):
        call_within(30.0, lambda: {}["a"])


def test_a_calls_own_time_out_is_not_taken_for_ours() -> None:
    def call() -> None:
        raise TimeoutError("of a socket")

    with pytest.raises(TimeoutError, match="of a socket"):
        call_within(30.0, call)


def test_calls_that_hang_are_left_behind_and_not_too_many(hangs: threading.Event) -> None:
    called: list[int] = []

    def call() -> None:
        called.append(1)
        hangs.wait()

    for _ in range(20):
        with pytest.raises(Overdue):
            call_within(SOON_S, call)
    hangs.set()
    for thread in threading.enumerate():
        if thread.name == "gpuview-call":
            thread.join()
    assert len(called) == 16
    assert call_within(30.0, lambda: 7) == 7
