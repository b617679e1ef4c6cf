"""When a viewer is given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.viewer import CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S, is_overdue, is_silent

TIMES = st.floats(0, 1e6)


def test_offer_that_never_connects_is_given_up_after_its_time() -> None:
    assert not is_overdue(CONNECT_TIMEOUT_S, created_s=0.0, connected_s=None)
    assert is_overdue(CONNECT_TIMEOUT_S + 0.1, created_s=0.0, connected_s=None)


@given(now_s=TIMES, created_s=TIMES, connected_s=TIMES)
def test_connection_that_came_is_never_overdue(
    now_s: float, created_s: float, connected_s: float
) -> None:
    assert not is_overdue(now_s, created_s=created_s, connected_s=connected_s)


def test_page_that_never_pings_has_as_long_as_one_that_stopped() -> None:
    late = SILENCE_TIMEOUT_S + 0.1
    assert is_silent(10 + late, connected_s=10.0, last_message_s=None)
    assert is_silent(50 + late, connected_s=10.0, last_message_s=50.0)


@given(last_message_s=TIMES, connected_s=TIMES)
def test_page_that_pings_is_not_silent(last_message_s: float, connected_s: float) -> None:
    now_s = max(last_message_s, connected_s) + 2
    assert not is_silent(now_s, connected_s=connected_s, last_message_s=now_s - 2)


def test_page_is_not_silent_before_it_is_connected() -> None:
    assert not is_silent(1e6, connected_s=None, last_message_s=None)
