"""What a link does to each packet."""

from __future__ import annotations

import statistics
from random import Random
from typing import Any

import pytest

from gpuview.errors import SettingsError
from gpuview.testing.link import Shaper, Way, poor_link


def test_packets_leave_one_after_the_other_at_the_rate() -> None:
    shaper = Shaper(Way(rate_bps=1e6, delay_s=0.025, queue_s=1.0), Random(1))
    assert [shaper.take(0.0, 1250) for _ in range(3)] == pytest.approx([0.035, 0.045, 0.055])
    assert shaper.take(1.0, 1250) == pytest.approx(1.035)


@pytest.mark.parametrize("rate_bps", [2e6, 20e6])
def test_queue_is_full_for_most_of_the_time_behind_an_even_flow(rate_bps: float) -> None:
    shaper = Shaper(Way(rate_bps=rate_bps, delay_s=0.025, queue_s=0.1), Random(1))
    interval_s = 1200 * 8 / (1.5 * rate_bps)
    sent_s = [number * interval_s for number in range(round(1.5 / interval_s))]
    due_s = [(each_s, shaper.take(each_s, 1200)) for each_s in sent_s]
    delays_s = [arrives_s - each_s for each_s, arrives_s in due_s if arrives_s is not None]
    assert min(delays_s) >= 0.025
    assert statistics.median(delays_s) == pytest.approx(0.125, abs=0.01)


def test_a_packet_that_would_wait_longer_than_the_queue_is_dropped() -> None:
    shaper = Shaper(Way(rate_bps=1e6, queue_s=0.05), Random(1))
    came = [shaper.take(0.0, 1250) for _ in range(8)]
    assert came.count(None) == 2
    assert shaper.traffic.overflowed == 2
    assert shaper.take(0.02, 1250) == pytest.approx(0.07)


def test_loss_is_random_and_the_same_for_the_same_seed() -> None:
    def lost(seed: int) -> list[bool]:
        shaper = Shaper(Way(loss=0.1), Random(seed))
        return [shaper.take(0.0, 1250) is None for _ in range(10_000)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 850 < sum(lost(1)) < 1150  # five standard deviations


def test_jitter_keeps_the_order() -> None:
    shaper = Shaper(Way(delay_s=0.025, jitter_s=0.02), Random(1))
    due = [shaper.take(each / 100, 1250) or 0.0 for each in range(1000)]
    late = [each - index / 100 for index, each in enumerate(due)]
    assert due == sorted(due)
    assert min(late) >= 0.025
    assert 0.035 < statistics.fmean(late) < max(late) <= 0.045 + 1e-9


def test_a_cut_loses_everything_until_it_ends() -> None:
    shaper = Shaper(Way(), Random(1))
    shaper.cut(0.3)
    assert [shaper.take(now, 1250) is None for now in (0.0, 0.29, 0.3)] == [True, True, False]


def test_both_directions_of_a_poor_link_behave_alike_and_lose_packets_of_their_own() -> None:
    link = poor_link(loss=0.2, delay_ms=40, rate_bps=1e6, seed=3)
    assert link is not None
    assert link.down.way == link.up.way == Way(loss=0.2, delay_s=0.04, rate_bps=1e6)
    down, up = ([each.take(n, 100) is None for n in range(200)] for each in (link.down, link.up))
    assert down != up
    assert link.down.traffic.lost == sum(down)


def test_a_link_without_faults_is_none() -> None:
    assert poor_link(loss=0, delay_ms=0, rate_bps=float("inf"), seed=1) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", 1),
        ("loss", 5),
        ("loss", -0.1),
        ("loss", float("nan")),
        ("delay_ms", -1),
        ("delay_ms", float("inf")),
        ("rate_bps", 0),
        ("rate_bps", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(name: str, value: float) -> None:
    values: dict[str, Any] = {"loss": 0.0, "delay_ms": 0.0, "rate_bps": 1e6, "seed": 1}
    with pytest.raises(SettingsError, match=f"no link has {name} = ") as caught:
        poor_link(**{**values, name: value})
    assert name in caught.value.fix
