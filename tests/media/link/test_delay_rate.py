"""What growing, shrinking and standing delay makes of the rate."""

from __future__ import annotations

import pytest

from gpuview.media.link.delay_rate import DelayRate
from gpuview.media.link.trendline import Usage

MBPS = 1e6


def follow(
    rate: DelayRate,
    usage: Usage,
    *,
    seconds: float = 0.05,
    from_s: float = 1.0,
    queue_s: float = 0.0,
    acknowledged_bps: float | None = 4 * MBPS,
    is_application_limited: bool = False,
) -> None:
    for message in range(1, round(seconds / 0.05) + 1):
        rate.update(
            from_s + message * 0.05,
            usage,
            queue_s=queue_s,
            acknowledged_bps=acknowledged_bps,
            bounded_bps=rate.rate_bps,
            is_application_limited=is_application_limited,
            round_trip_s=0.05,
        )


def test_over_use_lowers_the_rate_to_a_part_of_what_arrives() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.04)

    assert rate.rate_bps == pytest.approx(0.85 * 4 * MBPS)
    assert rate.lowered_s == pytest.approx(1.05)


def test_over_use_without_a_queue_is_jitter() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.005)

    assert rate.rate_bps == 6 * MBPS


def test_rate_rises_by_eight_percent_a_second_up_to_a_multiple_of_what_arrives() -> None:
    rate = DelayRate(1, 4 * MBPS)

    follow(rate, Usage.NORMAL, seconds=1)
    assert rate.rate_bps == pytest.approx(4 * MBPS * 1.08, rel=0.01)
    follow(rate, Usage.NORMAL, from_s=2, seconds=60)
    assert rate.rate_bps == pytest.approx(6 * MBPS)


def test_rate_rises_slowly_near_to_what_was_too_much() -> None:
    rate = DelayRate(1, 6 * MBPS)
    follow(rate, Usage.OVER, queue_s=0.04, acknowledged_bps=4.5 * MBPS)
    lowered_bps = rate.rate_bps

    follow(rate, Usage.NORMAL, from_s=1.05, seconds=1)

    assert lowered_bps < rate.rate_bps < 1.04 * lowered_bps


def test_nothing_rises_while_delay_shrinks_or_little_is_sent() -> None:
    rate = DelayRate(1, 4 * MBPS)

    follow(rate, Usage.UNDER, seconds=5)
    follow(rate, Usage.NORMAL, from_s=6, seconds=5, is_application_limited=True)

    assert rate.rate_bps == 4 * MBPS


def test_little_that_arrives_does_not_lower_the_rate_unless_a_queue_stands() -> None:
    rate = DelayRate(0, 10 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.04, is_application_limited=True)
    assert rate.rate_bps == 10 * MBPS
    follow(rate, Usage.OVER, from_s=2, queue_s=0.1, is_application_limited=True)
    assert rate.rate_bps == pytest.approx(0.85 * 4 * MBPS)


def test_queue_that_stands_lowers_the_rate_to_what_arrives_and_on() -> None:
    rate = DelayRate(1, 6 * MBPS)

    follow(rate, Usage.NORMAL, queue_s=0.15)
    assert rate.rate_bps == pytest.approx(4 * MBPS)
    follow(rate, Usage.NORMAL, from_s=1.05, seconds=1, queue_s=0.15)
    assert rate.rate_bps == pytest.approx(4 * MBPS / 1.08, rel=0.01)


def test_long_queue_is_drained_and_the_rate_stays_what_the_link_takes() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.4)
    lowered_bps = rate.rate_bps
    assert lowered_bps == pytest.approx(0.85 * 4 * MBPS)
    assert rate.is_draining
    follow(rate, Usage.NORMAL, from_s=1.05, seconds=0.8, queue_s=0.1)
    assert rate.is_draining
    follow(rate, Usage.UNDER, from_s=1.85, queue_s=0.04, acknowledged_bps=lowered_bps / 2)
    assert not rate.is_draining
    assert rate.drained_s == pytest.approx(1.9)
    # What was sent last while it was drained.
    follow(rate, Usage.OVER, from_s=1.9, queue_s=0.04, acknowledged_bps=lowered_bps / 2)
    assert rate.rate_bps == lowered_bps
    follow(rate, Usage.OVER, from_s=2.5, queue_s=0.04, acknowledged_bps=lowered_bps / 2)
    assert rate.rate_bps == pytest.approx(0.85 * lowered_bps / 2)


@pytest.mark.parametrize("acknowledged_bps", [1.7 * MBPS, None])
def test_what_arrives_while_a_queue_is_drained_does_not_lower_the_rate(
    acknowledged_bps: float | None,
) -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.4)
    lowered_bps = rate.rate_bps
    follow(rate, Usage.OVER, from_s=1.5, queue_s=0.3, acknowledged_bps=acknowledged_bps)

    assert rate.rate_bps == lowered_bps


def test_link_that_falls_while_its_queue_is_drained_lowers_the_rate() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.4)
    follow(rate, Usage.OVER, from_s=1.5, queue_s=0.8, acknowledged_bps=1 * MBPS)
    assert rate.rate_bps == pytest.approx(0.85 * 1 * MBPS)
    # For as long as its longer queue needs.
    follow(rate, Usage.NORMAL, from_s=3.8, queue_s=0.1, acknowledged_bps=1 * MBPS)
    assert rate.is_draining


def test_queue_that_others_fill_is_drained_once_until_it_has_been_empty() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.4)
    lowered_bps = rate.rate_bps
    follow(rate, Usage.NORMAL, from_s=1.05, seconds=1.1, queue_s=0.4)
    assert rate.is_draining
    follow(rate, Usage.NORMAL, from_s=2.2, seconds=0.5, queue_s=0.4, acknowledged_bps=1.7 * MBPS)
    assert not rate.is_draining
    assert rate.rate_bps == lowered_bps
    follow(rate, Usage.NORMAL, from_s=3, seconds=20, queue_s=0.4)
    assert not rate.is_draining
    follow(rate, Usage.NORMAL, from_s=24, queue_s=0.01)
    follow(rate, Usage.OVER, from_s=25, queue_s=0.4)
    assert rate.is_draining


def test_rate_that_was_measured_ends_a_drain() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.OVER, queue_s=0.4)
    rate.set(1 * MBPS)
    assert not rate.is_draining
    follow(rate, Usage.OVER, from_s=2, queue_s=0.4, acknowledged_bps=1 * MBPS)
    assert rate.is_draining


def test_queue_that_empties_by_itself_is_not_drained() -> None:
    rate = DelayRate(0, 6 * MBPS)

    follow(rate, Usage.UNDER, queue_s=0.4)

    assert not rate.is_draining
