"""What packets' times show: groups, trends, queues and rates."""

from __future__ import annotations

import random

import pytest

from gpuview.media.link.arrival import ArrivalGroups
from gpuview.media.link.delay_signal import DelaySignal
from gpuview.media.link.queue_delay import QueueDelay
from gpuview.media.link.throughput import Throughput
from gpuview.media.link.trendline import Usage


def usage_after(delays_s: list[float]) -> Usage:
    """Return how a link seems to be used, of a packet each 10 ms with these delays."""
    signal = DelaySignal()
    for index, delay_s in enumerate(delays_s):
        signal.add(index * 0.01, index * 0.01 + 500 + delay_s)
    return signal.usage


def test_groups_are_compared_by_their_last_packets() -> None:
    groups = ArrivalGroups()
    packets = [(0, 1), (0.004, 1.01), (0.020, 1.03), (0.022, 1.05), (0.040, 1.08), (0.060, 1.09)]

    shown = [groups.add(sent_s, arrived_s) for sent_s, arrived_s in packets]

    assert shown[:4] == [None] * 4
    assert shown[4] is not None
    assert shown[4].grown_s == pytest.approx((1.05 - 1.01) - (0.022 - 0.004))
    assert shown[5] is not None
    assert shown[5].grown_s == pytest.approx((1.08 - 1.05) - (0.040 - 0.022))


def test_packets_that_a_radio_held_and_sent_together_are_one_group() -> None:
    groups = ArrivalGroups()

    shown = [groups.add(index * 0.01, 1 + index * 0.001) for index in range(9)]

    assert shown == [None] * 9


def test_delay_that_grows_is_over_use_and_delay_that_shrinks_is_under_use() -> None:
    assert usage_after([0.001 * index for index in range(40)]) is Usage.OVER
    assert usage_after([0.1 - 0.001 * index for index in range(40)]) is Usage.UNDER
    assert usage_after([0.05] * 40) is Usage.NORMAL


def test_a_few_packets_show_no_trend() -> None:
    assert usage_after([0.005 * index for index in range(10)]) is Usage.NORMAL


def test_clock_that_is_set_shows_no_trend() -> None:
    grown = [0.001 * index for index in range(40)]

    assert usage_after([*grown, *[60.0] * 25]) is Usage.NORMAL
    assert usage_after([*grown, *[-60.0] * 25]) is Usage.NORMAL


def test_queue_is_the_delay_above_its_best_of_late() -> None:
    queue = QueueDelay()
    assert queue.queue_s == 0
    for index in range(100):
        queue.add(index * 0.01, 1000 + index * 0.01 + (0.08 if index > 50 else 0))
    assert queue.queue_s == pytest.approx(0.08)

    # A path that has become longer for good is the best there is after a while.
    for index in range(100, 2500):
        queue.add(index * 0.01, 1000.08 + index * 0.01)
    assert queue.queue_s == pytest.approx(0, abs=1e-6)


def test_jitter_is_no_queue() -> None:
    dice = random.Random(1)
    queue = QueueDelay()
    for index in range(1000):
        queue.add(index * 0.002, index * 0.002 + dice.uniform(0, 0.02))

    assert queue.queue_s < 0.005


def test_throughput_is_that_of_its_window() -> None:
    throughput = Throughput(0.1, longest_gap_s=1)
    assert throughput.rate_bps is None
    for index in range(200):
        throughput.add(index * 0.001, 1000 if index < 100 else 500)

    assert throughput.rate_bps == pytest.approx(500 * 8 * 1000, rel=0.03)


def test_throughput_begins_anew_after_a_gap() -> None:
    throughput = Throughput(0.1, longest_gap_s=0.1)
    for index in range(200):
        throughput.add(index * 0.001, 1000)
    throughput.add(0.5, 1000)
    assert throughput.rate_bps is None
    for index in range(60):
        throughput.add(0.5 + index * 0.001, 1000)
    assert throughput.rate_bps == pytest.approx(1000 * 8 * 1000, rel=0.05)
