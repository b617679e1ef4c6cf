"""How packets are held up behind a lost one: the rate and the delay that follow from it."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable

import pytest

from gpuview.media.link.link import Link
from gpuview.media.link.reports import PacketReport
from gpuview.media.link.tcp_stalls import FLOOR_BPS, NO_DELAY, SLACK_S, PlayoutDelay, Stalls
from tests.media.link.test_link import feedback, sending

ROUND_TRIP_S = 0.05
NBYTES = 1200
TARGET_BPS = 2e6


def following(delays_s: Iterable[float], *, round_trip_s: float = ROUND_TRIP_S) -> Stalls:
    """Return what follows packets that were sent 10 ms apart, and so long on their way."""
    stalls = Stalls()
    stalls.note_round_trip(round_trip_s)
    follow(stalls, delays_s)
    return stalls


def follow(stalls: Stalls, delays_s: Iterable[float], *, start_s: float = 0.0) -> float:
    """Return when the last one arrived."""
    now_s = start_s
    for n, delay_s in enumerate(delays_s):
        sent_s = start_s + 0.01 * n
        now_s = sent_s + delay_s
        report = PacketReport(sent_s, now_s, NBYTES)
        stalls.take_reports(now_s, [report], target_bps=TARGET_BPS)
    return now_s


def behind_tcp(n: int, loss: float, *, resend_s: float = 0.0625, seed: int = 1) -> list[float]:
    """Return the delays of ``n`` packets, of which this part is sent again, as often as needed."""
    draw, delays_s, free_s = random.Random(seed), [], 0.0
    for index in range(n):
        sent_s = 0.01 * index
        late_s = 0.025
        while draw.random() < loss:
            late_s += resend_s
        free_s = max(free_s, sent_s + late_s)  # none overtakes another
        delays_s.append(free_s - sent_s)
    return delays_s


def every(n: int, stall_s: float, *, count: int = 20) -> list[float]:
    """Return the delays where one packet of ``n`` is held up alone."""
    return [0.025 + stall_s, *[0.025] * (n - 1)] * count


def test_without_stalls_nothing_is_limited() -> None:
    stalls = following([0.025] * 1000)
    assert stalls.bound_bps == math.inf
    assert stalls.playout_delay == NO_DELAY


def test_jitter_of_a_radio_is_no_stall() -> None:
    draw = random.Random(2)
    stalls = following(0.025 + draw.uniform(0, 0.029) for _ in range(1000))
    assert stalls.bound_bps == math.inf


def test_few_stalls_may_be_chance() -> None:
    stalls = following(every(10, 0.07, count=4))  # the first packet has none before it
    assert (stalls.bound_bps, stalls.playout_delay) == (math.inf, NO_DELAY)


def test_slow_link_is_no_stall() -> None:
    """At 200 kbit/s each packet of a frame takes 48 ms, and so much more than the one before it."""
    stalls = Stalls()
    stalls.note_round_trip(ROUND_TRIP_S)
    for frame in range(50):
        reports = [PacketReport(frame, frame + 0.048 * (1 + n), NBYTES) for n in range(5)]
        stalls.take_reports(frame + 0.3, reports, target_bps=200_000)
    assert stalls.bound_bps == math.inf


def test_clock_that_is_set_is_no_stall() -> None:
    stalls = following(0.025 + 5.0 * n for n in range(50))
    assert stalls.bound_bps == math.inf


@pytest.mark.parametrize(
    ("n", "round_trip_s", "expected_bps"),
    # RFC 5348 by hand: 9600 bits by R * (sqrt(2p/3) + 12 * sqrt(3p/8) * p * (1 + 32 p^2)).
    [(70, 0.05, 1.74e6), (100, 0.05, 2.18e6), (100, 0.02, 5.45e6), (1000, 0.05, 7.37e6)],
)
def test_rate_is_what_tcp_would_carry(n: int, round_trip_s: float, expected_bps: float) -> None:
    stalls = following(every(n, 0.07), round_trip_s=round_trip_s)
    assert stalls.bound_bps == pytest.approx(expected_bps, rel=0.02)


def test_rate_never_sinks_so_low_that_a_frame_is_one_packet() -> None:
    assert following(every(3, 0.07)).bound_bps == FLOOR_BPS


def test_rate_returns_when_the_stalls_end() -> None:
    stalls = following(every(100, 0.07))
    before_bps = stalls.bound_bps
    follow(stalls, [0.025] * 2000, start_s=100.0)
    assert stalls.bound_bps > 2 * before_bps


def test_rate_follows_the_shortest_round_trip() -> None:
    stalls = following(every(100, 0.07))
    before_bps = stalls.bound_bps
    stalls.note_round_trip(1.0)
    assert stalls.bound_bps == before_bps
    stalls.note_round_trip(0.025)
    assert stalls.bound_bps == pytest.approx(2 * before_bps)
    stalls.note_round_trip(0.0)
    assert stalls.bound_bps == pytest.approx(5 * before_bps)  # none is below 10 ms


def test_delay_hides_nine_stalls_of_ten() -> None:
    stalls = following([*every(10, 0.05, count=20), *every(10, 0.5, count=1)])
    assert stalls.playout_delay == pytest.approx(PlayoutDelay(0.06, 0.11))


def test_delay_is_bounded() -> None:
    assert following(every(10, 0.5)).playout_delay == pytest.approx(PlayoutDelay(0.1, 0.15))


def test_delay_ends_with_the_stalls() -> None:
    stalls = following(every(10, 0.05))  # 2 s long
    follow(stalls, [0.025] * 900, start_s=2.0)
    assert stalls.playout_delay != NO_DELAY
    follow(stalls, [0.025] * 110, start_s=11.0)
    assert stalls.playout_delay == NO_DELAY


@pytest.mark.parametrize("loss", [0.02, 0.1])
def test_behind_tcp_most_packets_come_within_the_delay(loss: float) -> None:
    delays_s = behind_tcp(1000, loss)
    stalls = following(delays_s)
    assert stalls.bound_bps < math.inf
    within_s = 0.025 + stalls.playout_delay.most_s
    assert sum(each <= within_s + 1e-9 for each in delays_s) > 0.97 * len(delays_s)


def test_flood_of_stalls_is_bounded_work() -> None:
    stalls = following(itertools.islice(itertools.cycle([0.025, 0.5]), 20_000))
    assert len(stalls._lengths) <= 512


# --- of a link ------------------------------------------------------------------------------------


def stalling(link: Link, *, is_stalling: bool = True) -> None:
    """Let each third ten of packets be 38 ms late, as the page reports."""
    link.take_receiver_report(0.0, fraction_lost=0.0, round_trip_s=ROUND_TRIP_S)
    for n in range(60):
        now_s = 0.128 * n
        sending(link, 10, start_s=now_s)
        late = 150 if is_stalling and n % 3 == 0 else 0
        message = feedback(10 * n, 10, reference=100 + 2 * n, late=late)  # in 64 ms
        link.take_transport_feedback(now_s + 0.1, message)


def test_link_follows_stalls_only_where_packets_come_in_order() -> None:
    link, other = (Link(0.0, ceiling_bps=10e6, start_bps=10e6) for _ in range(2))
    link.set_in_order(True)
    stalling(link)
    stalling(other)
    assert (link.target_bps, other.target_bps) == (FLOOR_BPS, 10e6)
    assert link.playout_delay == PlayoutDelay(0.04, 0.04 + SLACK_S)
    assert other.playout_delay == NO_DELAY


def test_link_in_order_without_stalls_is_like_any_other() -> None:
    link, other = Link(0.0, ceiling_bps=20e6), Link(0.0, ceiling_bps=20e6)
    link.set_in_order(True)
    stalling(link, is_stalling=False)
    stalling(other, is_stalling=False)
    assert (link.target_bps, link.playout_delay) == (other.target_bps, NO_DELAY)


def test_stalls_do_not_lift_the_ceiling() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    link.set_in_order(True)
    stalling(link)
    link.set_ceiling(300_000)
    assert link.target_bps == 300_000


def test_another_way_forgets_the_stalls() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    link.set_in_order(True)
    stalling(link)
    link.set_in_order(True)  # said again with each ping
    assert link.playout_delay != NO_DELAY
    link.set_in_order(False)
    assert link.playout_delay == NO_DELAY
