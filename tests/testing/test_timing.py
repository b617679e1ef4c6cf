"""How many pictures came, and how old they were."""

from __future__ import annotations

import pytest

from gpuview.media.encode.timestamp import timestamp_of
from gpuview.protocol.page_messages import Pong
from gpuview.testing.timing import Timing, is_picture_of

AHEAD_MS = 5_000_000.0  # of the media process's clock; its timestamps have wrapped
TICKS = 2**32


def pong(sent_ms: float, *, answered_ms: float) -> Pong:
    return Pong(sent_ms=sent_ms, clock_ms=answered_ms + AHEAD_MS, width=64, height=64)


def captured(at_ms: float, picture: int) -> int:
    """Return the RTP timestamp of a picture, as it goes over the network."""
    return timestamp_of(round((at_ms + AHEAD_MS) * 1e6), picture, after=0) % TICKS


def test_the_age_of_each_picture_is_from_its_capture_until_it_came() -> None:
    timing = Timing()
    timing.hear(pong(0.0, answered_ms=5.0), 10.0)
    for n in range(21):
        timing.see(captured(100.0 * n, n), 100.0 * n + 40 + n)
    found = timing.latency(2100.0)
    assert found is not None
    assert found == pytest.approx((50, 59, 20), abs=1)  # the first may be of any age


def test_the_quickest_pong_tells_the_clock_also_of_pictures_before_it() -> None:
    timing = Timing()
    timing.see(captured(0.0, 0), 40.0)
    timing.see(captured(100.0, 1), 140.0)
    assert timing.latency(200.0) is None
    timing.hear(pong(150.0, answered_ms=550.0), 600.0)  # it waited on its way
    timing.hear(pong(700.0, answered_ms=701.0), 702.0)
    found = timing.latency(800.0)
    assert found is not None
    assert found.p50 == pytest.approx(40, abs=0.5)


def test_pictures_that_came_more_than_ten_seconds_ago_do_not_count() -> None:
    timing = Timing()
    timing.hear(pong(0.0, answered_ms=1.0), 2.0)
    timing.see(captured(0.0, 0), 10.0)
    timing.see(captured(0.0, 1), 500.0)
    timing.see(captured(9000.0, 2), 9010.0)
    found = timing.latency(10_600.0)
    assert found is not None
    assert found.n_pictures == 1
    assert timing.latency(20_000.0) is None


def test_a_repeat_is_no_picture_and_the_first_one_of_a_connection_has_no_age() -> None:
    timing = Timing()
    timing.hear(pong(0.0, answered_ms=1.0), 2.0)
    timing.see(captured(0.0, 5), 10.0)
    timing.see(captured(50.0, 5), 60.0)
    assert timing.n_pictures == 1
    assert timing.latency(100.0) is None
    timing.begin()
    timing.see(captured(50.0, 6), 1000.0)
    assert timing.n_pictures == 2
    assert timing.latency(1000.0) is None


@pytest.mark.parametrize(
    ("still", "frame", "is_same"),
    [
        (captured(100, 7), captured(100, 7), True),
        (captured(100, 7), captured(400, 7), True),  # repeated
        (captured(100, 7), captured(67, 6), True),  # decoded late
        (captured(100, 7), captured(400, 8), False),
        (TICKS - 10, 22, True),  # 32 later
        (TICKS - 10, 23, False),
    ],
)
def test_a_still_fits_until_another_picture_comes(still: int, frame: int, is_same: bool) -> None:
    assert is_picture_of(still, frame) == is_same
    assert is_picture_of(still, frame + TICKS) == is_same  # a decoder counts on
