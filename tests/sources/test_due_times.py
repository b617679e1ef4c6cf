"""When the next frame is due."""

from hypothesis import given
from hypothesis import strategies as st

from gpuview.sources.due_times import Haste, next_due


def test_after_a_frame_in_time_the_next_is_due_a_period_later():
    assert next_due(now=10.3, due=10, period=1) == 11


def test_a_late_frame_does_not_move_the_grid():
    assert next_due(now=11.4, due=10, period=1) == 11


def test_at_most_one_missed_frame_is_made_up_for():
    assert next_due(now=15.5, due=10, period=1) == 15


@given(due=st.integers(0, 10**6), late=st.integers(0, 10**4), period=st.integers(1, 10**3))
def test_due_times_stay_on_the_grid_and_never_fall_further_behind(due, late, period):
    after = next_due(due + late, due, period)

    assert (after - due) % period == 0
    assert after > due
    assert after > due + late - period


def test_a_frame_is_made_at_once_for_a_click_and_the_next_one_a_period_later():
    now = Haste().due(now=10.3, due=11, period=1)

    assert now == 10.3
    assert next_due(now=10.4, due=now, period=1) == 11.3


def test_a_frame_that_is_late_is_not_put_off_for_a_click():
    assert Haste().due(now=11.4, due=11, period=1) == 11


def test_who_clicks_all_the_time_gets_a_quarter_more_frames():
    haste, due, made = Haste(), 0.0, 0
    for tick in range(4000):
        now = tick / 100
        due = haste.due(now, due, period=1)
        if now >= due:
            made += 1
            due = next_due(now, due, period=1)

    assert 40 < made <= 51
