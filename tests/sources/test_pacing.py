"""When the next frame is due."""

from hypothesis import given
from hypothesis import strategies as st

from gpuview.sources.pacing import next_due


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
