"""Timestamps carry their picture's number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.encode.codec import CLOCK_HZ
from gpuview.media.encode.timestamp import PICTURES, timestamp_of

TIMES_NS = st.integers(0, 10**18)
TICKS = st.integers(0, 10**14)


@given(shown_ns=TIMES_NS, picture=st.integers(0, 10**9), after=TICKS)
def test_timestamp_grows_and_has_the_number_of_its_picture(
    shown_ns: int, picture: int, after: int
) -> None:
    stamp = timestamp_of(shown_ns, picture, after=after)
    assert stamp > after
    assert stamp % PICTURES == picture % PICTURES


@given(shown_ns=TIMES_NS, picture=st.integers(0, 10**9))
def test_timestamp_is_the_time_to_within_the_numbers(shown_ns: int, picture: int) -> None:
    stamp = timestamp_of(shown_ns, picture, after=0)
    earliest = max(1, shown_ns * CLOCK_HZ // 10**9)
    assert earliest <= stamp < earliest + PICTURES
