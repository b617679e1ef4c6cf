"""When packets leave."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.pacer import MAX_QUEUE_S, Pacer
from gpuview.media.link.reports import Probe

MBIT = 1_000_000


def drain(pacer: Pacer[int], now_s: float) -> list[tuple[float, list[int]]]:
    """Take all, each time when the pacer says; return when, and what."""
    taken = []
    while True:
        departures = pacer.take(now_s)
        taken.append((now_s, departures.retransmissions + departures.video))
        if pacer.next_s is None:
            return taken
        assert pacer.next_s > now_s
        now_s = pacer.next_s


def test_frame_leaves_at_once_on_a_fast_link() -> None:
    pacer: Pacer[int] = Pacer(20 * MBIT)
    for n in range(25):  # 30 kB: 8 Mbit/s at 30 fps
        pacer.put_video(0.0, n, 1200)
    assert pacer.take(0.0).video == list(range(25))
    assert pacer.next_s is None
    assert pacer.free_s(0.0) < 0.0


def test_keyframe_is_spread_at_two_and_a_half_times_the_target() -> None:
    pacer: Pacer[int] = Pacer(2 * MBIT)
    for n in range(40):  # 48 kB
        pacer.put_video(10.0, n, 1200)
    taken = drain(pacer, 10.0)
    assert [n for _, items in taken for n in items] == list(range(40))
    assert max(len(items) for _, items in taken) * 1200 * 8 <= 5 * MBIT * 0.005 + 1200 * 8
    assert taken[-1][0] - 10.0 == pytest.approx(40 * 1200 * 8 / (5 * MBIT), abs=0.006)


def test_idle_time_is_not_saved_for_a_larger_burst() -> None:
    pacer: Pacer[int] = Pacer(2 * MBIT)
    pacer.take(0.0)
    for n in range(40):
        pacer.put_video(100.0, n, 1200)
    assert len(pacer.take(100.0).video) <= 3


def test_retransmissions_leave_before_video() -> None:
    pacer: Pacer[int] = Pacer(1 * MBIT)
    for n in range(10):
        pacer.put_video(0.0, n, 1200)
    for n in range(100, 103):
        pacer.put_retransmission(0.0, n, 1200)
    assert [n for _, items in drain(pacer, 0.0) for n in items] == [100, 101, 102, *range(10)]


def test_retransmissions_are_bounded() -> None:
    pacer: Pacer[int] = Pacer(1 * MBIT)
    for n in range(100_000):
        pacer.put_retransmission(0.0, n, 1200)
    assert sum(len(items) for _, items in drain(pacer, 0.0)) == 512


def test_next_frame_is_wanted_when_the_link_has_caught_up() -> None:
    pacer: Pacer[int] = Pacer(1 * MBIT)
    pacer.put_video(0.0, 0, 47_000)  # 376 ms of the link
    assert pacer.free_s(0.0) == pytest.approx(0.376 - MAX_QUEUE_S)
    assert pacer.free_s(0.1) == pytest.approx(0.376 - MAX_QUEUE_S)
    pacer.set_target(0.1, 4 * MBIT)
    assert pacer.free_s(0.1) == pytest.approx(0.1 + 0.276 / 4 - MAX_QUEUE_S)


def test_stream_at_its_target_never_waits() -> None:
    pacer: Pacer[int] = Pacer(3 * MBIT)
    for frame in range(300):
        now_s = frame / 30
        assert pacer.free_s(now_s) <= now_s
        pacer.put_video(now_s, frame, 3 * MBIT // 30 // 8)
        drain(pacer, now_s)


@pytest.mark.parametrize("rate_bps", [500_000, 5 * MBIT, 30 * MBIT])
def test_probe_is_sent_at_its_rate_with_padding_where_there_is_no_video(rate_bps: float) -> None:
    pacer: Pacer[int] = Pacer(1 * MBIT)
    probe = Probe(7, rate_bps, int(rate_bps / 8 * 0.02))
    pacer.start_probe(3.0, probe)
    pacer.put_video(3.0, 0, 1200)
    now_s, nbytes, packets = 3.0, 0, 0
    while pacer.next_s is not None:
        departures = pacer.take(now_s)
        assert departures.probe == 7
        nbytes += departures.padding_nbytes + 1200 * len(departures.video)
        packets += len(departures.video) + (departures.padding_nbytes > 0)
        now_s = pacer.next_s or now_s
    assert nbytes >= probe.nbytes
    assert packets >= 5
    assert pacer.take(now_s + 1).probe is None


def test_probe_makes_up_for_a_late_timer() -> None:
    pacer: Pacer[int] = Pacer(1 * MBIT)
    pacer.start_probe(0.0, Probe(1, 10 * MBIT, 25_000))
    sent = 0
    for tick in range(1, 9):  # every 2.5 ms, whatever the pacer asks for
        sent += pacer.take(tick * 0.0025).padding_nbytes
    assert sent == pytest.approx(10 * MBIT / 8 * 0.02, rel=0.15)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 0.2), st.integers(0, 3), st.integers(40, 60_000)), max_size=60
    ),
    target_bps=st.floats(100_000, 30_000_000),
)
def test_nothing_is_lost_reordered_or_sent_too_fast(
    steps: list[tuple[float, int, int]], target_bps: float
) -> None:
    pacer: Pacer[int] = Pacer(target_bps)
    now_s, n, largest = 0.0, 0, 0
    taken: list[int] = []
    nbytes: dict[int, int] = {}
    for wait_s, packets, size in steps:
        now_s += wait_s
        for _ in range(packets):
            pacer.put_video(now_s, n, size)
            nbytes[n] = size
            largest = max(largest, size)
            n += 1
        leaving = pacer.take(now_s).video
        assert sum(nbytes[each] for each in leaving) <= target_bps * 2.5 / 8 * 0.005 + largest
        taken += leaving
        assert math.isfinite(pacer.free_s(now_s))
    taken += [each for _, items in drain(pacer, now_s) for each in items]
    assert taken == list(range(n))


def test_repair_takes_as_long_as_the_link_needs_for_it() -> None:
    pacer: Pacer[int] = Pacer(1 * MBIT)
    for n in range(10):
        pacer.put_retransmission(0.0, n, 1250)
    assert pacer.repair_s == pytest.approx(0.1)
    pacer.take(0.0)
    assert pacer.repair_s < 0.1
    pacer.clear()
    assert pacer.repair_s == 0.0
    assert pacer.next_s is None


def test_packets_that_the_page_reports_lost_do_not_hold_the_next_frame() -> None:
    pacer: Pacer[int] = Pacer(20 * MBIT)
    for n in range(100):
        pacer.put_video(0.0, n, 1250)
    taken = drain(pacer, 0.0)
    now_s = taken[-1][0]
    pacer.set_target(now_s, 1 * MBIT)
    assert pacer.free_s(now_s) > now_s + 0.5
    pacer.note_under_way(5_000)
    assert pacer.free_s(now_s) == pytest.approx(now_s + 0.04 - MAX_QUEUE_S)
    for n in range(10):
        pacer.put_video(now_s, n, 1250)
    pacer.note_under_way(5_000)
    assert pacer.free_s(now_s) == pytest.approx(now_s + 0.14 - MAX_QUEUE_S)
