"""Timestamps of workers on the notebook's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.cluster.timeline import Timeline, WorkerClock
from gpuview.media.encode.timestamp import PICTURES, timestamp_of

NOW_MS = 1_000_000.0
AHEAD_MS = 123_456_789.25  # a worker that has run for a day and a half longer


def worker_s(at_ms: float, picture: int, after: int = 0, ahead_ms: float = AHEAD_MS) -> int:
    """Return the timestamp that a worker gives a frame at a time on our clock."""
    return timestamp_of(round((at_ms + ahead_ms) * 1e6), picture, after=after) % 2**32


def test_time_is_ours_and_the_number_is_the_picture_s() -> None:
    placed = Timeline().place("full", worker_s(NOW_MS, 7), NOW_MS, AHEAD_MS)
    assert placed.timestamp == pytest.approx(NOW_MS * 90, abs=2 * PICTURES)
    assert placed.timestamp % PICTURES == 7
    assert placed.capture_ns == pytest.approx(NOW_MS * 1e6, abs=1e6)


def test_repeat_is_of_its_picture_and_the_next_picture_is_another() -> None:
    timeline = Timeline()
    first = timeline.place("full", worker_s(NOW_MS, 1), NOW_MS, AHEAD_MS)
    again = timeline.place("full", worker_s(NOW_MS + 100, 1), NOW_MS + 100, AHEAD_MS)
    other = timeline.place("full", worker_s(NOW_MS + 200, 2), NOW_MS + 200, AHEAD_MS)
    assert first.capture_ns == again.capture_ns < other.capture_ns
    assert first.timestamp < again.timestamp < other.timestamp
    assert timeline.n_pictures == 2


def test_picture_is_the_same_in_every_track_even_in_one_that_is_late() -> None:
    timeline = Timeline()
    full = [
        timeline.place("full", worker_s(NOW_MS + 33 * n, n), NOW_MS + 33 * n, AHEAD_MS)
        for n in range(3)
    ]
    half = [
        timeline.place("half", worker_s(NOW_MS + 33 * n, n), NOW_MS + 99, AHEAD_MS)
        for n in range(3)
    ]
    assert half == full
    assert timeline.n_pictures == 3


def test_picture_of_a_still_is_known_by_the_frame_that_showed_it() -> None:
    timeline = Timeline()
    placed = timeline.place("full", worker_s(NOW_MS, 4), NOW_MS, AHEAD_MS)
    again = worker_s(NOW_MS + 250, 4)
    assert timeline.shown_at(again, NOW_MS + 300, AHEAD_MS) == placed.capture_ns
    assert timeline.shown_at(worker_s(NOW_MS + 250, 5), NOW_MS + 300, AHEAD_MS) is None


def test_old_picture_is_shown_and_one_of_the_future_is_a_lie() -> None:
    timeline = Timeline()
    hour_ms = 3_600_000
    placed = timeline.place("full", worker_s(NOW_MS, 1), NOW_MS + hour_ms, AHEAD_MS)
    assert placed.timestamp == pytest.approx(NOW_MS * 90, abs=2 * PICTURES)
    with pytest.raises(ValueError, match="future"):
        timeline.place("full", worker_s(NOW_MS + hour_ms + 10_000, 2), NOW_MS + hour_ms, AHEAD_MS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["full", "half"]),
            st.floats(-200, 200),  # jitter, and clocks that are set wrong
            st.integers(0, 3),  # how many pictures later
            st.booleans(),  # whether another worker begins
        ),
        max_size=60,
    )
)
def test_time_never_goes_back_whoever_sends(
    steps: list[tuple[str, float, int, bool]],
) -> None:
    timeline, picture, newest = Timeline(), 0, 0
    last = {"full": 0, "half": 0}
    for n, (track, error_ms, later, is_other) in enumerate(steps):
        now_ms = NOW_MS + 30 * n
        picture += later
        floor = newest if is_other else 0
        if is_other:
            timeline.begin()
        placed = timeline.place(track, worker_s(now_ms, picture), now_ms, AHEAD_MS + error_ms)
        assert placed.timestamp > max(last[track], floor)
        assert placed.timestamp % PICTURES == picture % PICTURES
        assert placed.capture_ns <= now_ms * 1e6
        last[track] = placed.timestamp
        newest = max(newest, placed.timestamp)


def test_clock_is_known_by_the_shortest_round_trip_and_follows_it_slowly() -> None:
    clock = WorkerClock()
    clock.take_pong(0.0, 100.0, AHEAD_MS + 90.0)  # 90 ms there, 10 ms back
    assert clock.ahead_ms == pytest.approx(AHEAD_MS + 40)
    for n in range(1, 300):
        clock.take_pong(n * 1000.0, n * 1000.0 + 2, AHEAD_MS + n * 1000.0 + 1)
    assert clock.ahead_ms == pytest.approx(AHEAD_MS)
    before_ms = clock.ahead_ms
    clock.take_pong(300_000.0, 300_500.0, AHEAD_MS + 300_400.0)  # a slow one says nothing
    assert clock.ahead_ms == pytest.approx(before_ms)


def test_clock_follows_one_that_drifts() -> None:
    clock = WorkerClock()
    for n in range(7200):
        drift_ms = n * 0.05  # 50 parts in a million
        clock.take_pong(n * 1000.0, n * 1000.0 + 1, AHEAD_MS + n * 1000.0 + 0.5 + drift_ms)
    assert clock.ahead_ms == pytest.approx(AHEAD_MS + 7200 * 0.05, abs=2)
