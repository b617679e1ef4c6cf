"""A few at once, then a steady rate."""

from __future__ import annotations

from gpuview.signalling.rate_limit import RateLimit


def test_a_burst_passes_then_a_steady_rate_and_a_pause_fills_no_more_than_the_burst() -> None:
    limit = RateLimit(burst=3, per_s=2.0)
    assert [limit.stops(50.0) for _ in range(5)] == [False] * 3 + [True] * 2
    assert limit.take_stopped() == 2
    assert limit.take_stopped() == 0
    assert [limit.stops(now_s) for now_s in (50.25, 50.5, 50.75, 51.0)] == [True, False] * 2
    assert [limit.stops(1000.0) for _ in range(4)] == [False] * 3 + [True]
