"""When to encode."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.encode.schedule import (
    LookClock,
    RefreshClock,
    StartClock,
    StillClock,
)


def test_still_picture_is_repeated_quickly_at_first_and_then_once_a_second() -> None:
    clock = RefreshClock()
    clock.changed(0.0)
    times = []
    for _ in range(6):
        times.append(clock.due_s)
        clock.repeated(clock.due_s)
    gaps = [round(later - earlier, 3) for earlier, later in zip([0.0, *times], times, strict=False)]
    assert gaps == [0.1, 0.25, 0.5, 1.0, 1.0, 1.0]


def test_changing_picture_is_never_due_for_a_repeat() -> None:
    clock = RefreshClock()
    for frame in range(100):
        clock.changed(frame / 30)
        assert clock.due_s > (frame + 1) / 30


@pytest.mark.parametrize("fps", [5.0, 30.0, 60.0])
def test_source_that_keeps_its_rate_but_wobbles_loses_no_frame(fps: float) -> None:
    wobbles = [0.2 if frame % 2 else -0.2 for frame in range(100)]
    times = [(frame + wobble) / fps for frame, wobble in enumerate(wobbles)]
    assert started(times, fps) == times


def test_source_that_is_four_times_too_fast_is_held_back() -> None:
    times = [frame / 120 for frame in range(1200)]
    assert 300 <= len(started(times, fps=30.0)) <= 401


def test_source_that_keeps_its_rate_may_be_early_once() -> None:
    click = [10 / 30, 10 / 30 + 0.002, 10 / 30 + 0.004]
    times = [frame / 30 for frame in range(10)] + click
    assert started(times, fps=30.0) == times[:-1]


def started(times: list[float], fps: float) -> list[float]:
    """Return those of the frames that come at these times which are encoded."""
    clock, found = StartClock(), []
    for now_s in times:
        if now_s >= clock.earliest_s(fps):
            clock.started(now_s, fps)
            found.append(now_s)
    return found


def test_frame_of_a_device_is_looked_for_often_at_first_and_never_seldom() -> None:
    clock, now_s, looks = LookClock(), 10.0, []
    while now_s < 15.0:
        now_s = clock.next_s(now_s, is_expecting=True)
        looks.append(now_s)
    gaps = [later - earlier for earlier, later in itertools.pairwise([10.0, *looks])]
    assert gaps[:4] == pytest.approx([0.001] * 4)
    assert gaps == pytest.approx(sorted(gaps))
    assert gaps[-1] == pytest.approx(0.005)


def test_frame_of_a_device_that_never_comes_costs_less_and_less() -> None:
    clock, now_s, looks = LookClock(), 0.0, 0
    while now_s < 3600.0:
        now_s = clock.next_s(now_s, is_expecting=True)
        looks += 1
    assert looks < 10_000


@pytest.mark.parametrize("idle_s", [0.033, 1.0, 3600.0])
def test_frame_of_a_device_is_looked_for_often_however_long_there_was_none(idle_s: float) -> None:
    clock = LookClock()
    clock.arrived()
    assert clock.next_s(10.0, is_expecting=False) is None
    now_s = 10.0 + idle_s
    assert clock.next_s(now_s, is_expecting=True) == pytest.approx(now_s + 0.001)


def test_frame_close_behind_one_that_was_late_is_looked_for_often() -> None:
    clock = LookClock()
    clock.next_s(10.0, is_expecting=True)
    assert clock.next_s(11.0, is_expecting=True) == pytest.approx(11.005)
    clock.arrived()
    assert clock.next_s(11.01, is_expecting=True) == pytest.approx(11.011)


def test_picture_that_has_stood_still_for_a_third_of_a_second_is_due_once() -> None:
    clock = StillClock()
    assert clock.due_s > 1e9
    clock.changed(5.0)
    assert 5.25 < clock.due_s <= 5.3
    clock.done()
    assert clock.due_s > 1e9


@given(st.lists(st.floats(0.001, 0.29), max_size=100))
def test_stream_of_more_than_three_pictures_a_second_has_no_still(gaps_s: list[float]) -> None:
    clock = StillClock()
    now_s = 0.0
    for gap_s in gaps_s:
        clock.changed(now_s)
        now_s += gap_s
        assert clock.due_s > now_s
