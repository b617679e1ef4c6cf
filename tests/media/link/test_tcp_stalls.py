"""How packets are held up behind a lost one: the rate and the delay that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

import pytest

from gpuview.media.link.link import Link
from gpuview.media.link.reports import PacketReport
from gpuview.media.link.tcp_stalls import FLOOR_BPS, NO_DELAY, PlayoutDelay, TcpStalls
from tests.media.link.test_link import feedback, sending

ROUND_TRIP_S = 0.05
NBYTES = 1200
TARGET_BPS = 2e6
BASE_S = 0.025


def following(delays_s: Iterable[float], *, round_trip_s: float = ROUND_TRIP_S) -> TcpStalls:
    """Return what follows packets that were sent 10 ms apart, and so long on their way."""
    stalls = TcpStalls()
    stalls.note_round_trip(round_trip_s)
    follow(stalls, delays_s)
    return stalls


def follow(
    stalls: TcpStalls,
    delays_s: Iterable[float],
    *,
    start_s: float = 0.0,
    spacing_s: float = 0.01,
    probe: int | None = None,
) -> None:
    for n, delay_s in enumerate(delays_s):
        sent_s = start_s + spacing_s * n
        report = PacketReport(sent_s, sent_s + delay_s, NBYTES, probe)
        stalls.take_reports(sent_s + delay_s, [report], rate_bps=TARGET_BPS)


def in_order(late_s: Iterable[float]) -> list[float]:
    """Return the delays of packets that are so late by themselves; none overtakes another."""
    delays_s, free_s = [], 0.0
    for n, each_s in enumerate(late_s):
        free_s = max(free_s, 0.01 * n + BASE_S + each_s)
        delays_s.append(free_s - 0.01 * n)
    return delays_s


def every(n: int, stall_s: float, *, count: int = 20) -> list[float]:
    """Return the delays where one packet of ``n`` holds up those behind it."""
    return in_order([*[0.0] * (n - 1), stall_s] * count)


def behind_tcp(n: int, loss: float, *, resend_s: float = 0.0625, seed: int = 1) -> list[float]:
    """Return the delays of ``n`` packets, of which this part is sent again, as often as needed."""
    draw = Random(seed)

    def late_s() -> float:
        return resend_s + late_s() if draw.random() < loss else 0.0

    return in_order(late_s() for _ in range(n))


def is_quiet(stalls: TcpStalls) -> bool:
    return (stalls.bound_bps, stalls.playout_delay) == (math.inf, NO_DELAY)


def test_without_stalls_nothing_is_limited() -> None:
    assert is_quiet(following([BASE_S] * 1000))


def test_jitter_of_a_radio_is_no_stall() -> None:
    draw = Random(2)
    assert is_quiet(following(in_order(draw.uniform(0, 0.029) for _ in range(1000))))


def test_few_stalls_may_be_chance() -> None:
    assert is_quiet(following(every(20, 0.07, count=3) + [BASE_S] * 20))


def test_slow_link_is_no_stall() -> None:
    """At 200 kbit/s each packet of a frame takes 48 ms, and so much more than the one before it."""
    stalls = TcpStalls()
    stalls.note_round_trip(ROUND_TRIP_S)
    for frame in range(50):
        sent_s = 0.15 * frame
        reports = [PacketReport(sent_s, sent_s + 0.048 * (1 + n), NBYTES) for n in range(3)]
        stalls.take_reports(sent_s + 0.15, reports, rate_bps=200_000)
    assert is_quiet(stalls)


def test_clock_that_is_set_is_no_stall() -> None:
    assert is_quiet(following(BASE_S + 5.0 * (n // 10) for n in range(200)))


def test_packet_that_is_overtaken_has_come_by_udp() -> None:
    assert is_quiet(following([BASE_S + 0.07, *[BASE_S] * 19] * 20))


def test_probe_may_be_held_up_by_its_own_rate() -> None:
    stalls = following([BASE_S] * 10)
    for second in range(1, 20):
        follow(stalls, [BASE_S] * 10, start_s=second)
        follow(stalls, [0.1] * 10, start_s=second + 0.1, probe=second)
        follow(stalls, [BASE_S] * 10, start_s=second + 0.3)
    assert is_quiet(stalls)


def test_first_packets_after_a_pause_wake_a_radio_up_and_widen_tcp_s_window() -> None:
    stalls = following([BASE_S] * 10)
    for second in range(1, 30):
        follow(stalls, [BASE_S] * 10 + [0.07] * 20, start_s=second, spacing_s=0.0005)
    assert is_quiet(stalls)


@pytest.mark.parametrize(
    ("n", "round_trip_s", "expected_bps"),
    # RFC 5348 by hand: 9600 bits by R * (sqrt(2p/3) + 12 * sqrt(3p/8) * p * (1 + 32 p^2)).
    [(70, 0.05, 1.74e6), (100, 0.05, 2.18e6), (100, 0.02, 5.45e6), (1000, 0.05, 7.37e6)],
)
def test_rate_is_what_tcp_would_carry(n: int, round_trip_s: float, expected_bps: float) -> None:
    stalls = following(every(n, 0.07), round_trip_s=round_trip_s)
    assert stalls.bound_bps == pytest.approx(expected_bps, rel=0.02)


def test_rate_has_a_floor_below_which_nothing_is_gained() -> None:
    assert following(every(10, 0.07)).bound_bps == FLOOR_BPS


def test_losses_within_a_round_trip_are_one() -> None:
    """As seldom as one event of 200 packets, not as two."""
    pairs = in_order([*[0.0] * 190, 0.04, 0.0, 0.0, 0.04, *[0.0] * 6] * 20)
    assert following(pairs).bound_bps == pytest.approx(
        following(every(200, 0.04)).bound_bps, rel=0.05
    )


def test_rate_returns_when_the_stalls_become_seldom() -> None:
    stalls = following(every(100, 0.07))
    before_bps = stalls.bound_bps
    follow(stalls, every(900, 0.07, count=2), start_s=20.0)
    assert stalls.bound_bps > 2 * before_bps


def test_first_interval_is_as_long_as_it_was_quiet() -> None:
    """Four intervals of 400, 100, 100 and 100 packets, and a rest: 175 each, in the mean."""
    stalls = following(in_order([*[0.0] * 300, *[*[0.0] * 99, 0.07] * 4, *[0.0] * 10]))
    assert stalls.bound_bps == pytest.approx(following(every(175, 0.07)).bound_bps, rel=0.03)


def test_rate_returns_ten_seconds_after_the_last_stall_however_little_is_sent() -> None:
    stalls = following(every(10, 0.07))  # 2 s long
    follow(stalls, [BASE_S] * 50, start_s=2.0, spacing_s=0.2)
    assert stalls.bound_bps < math.inf
    follow(stalls, [BASE_S] * 4, start_s=12.0, spacing_s=0.2)
    assert stalls.bound_bps == math.inf


def test_rate_follows_the_shortest_round_trip() -> None:
    stalls = following(every(100, 0.07))
    before_bps = stalls.bound_bps
    stalls.note_round_trip(1.0)
    assert stalls.bound_bps == before_bps
    stalls.note_round_trip(0.025)
    assert stalls.bound_bps == pytest.approx(2 * before_bps)
    stalls.note_round_trip(0.0)
    assert stalls.bound_bps == pytest.approx(5 * before_bps)  # none is below 10 ms


def test_round_trip_to_a_far_kernel_is_not_that_of_the_relay() -> None:
    near = following(every(100, 0.05), round_trip_s=0.05)
    far = following(every(100, 0.05), round_trip_s=0.25)
    assert far.bound_bps == pytest.approx(near.bound_bps)


def test_delay_hides_all_stalls_but_the_two_longest() -> None:
    def held_back(*longest_s: float) -> PlayoutDelay:
        late_s = [*[0.0] * 9, 0.05] * 20
        for each_s in longest_s:
            late_s += [0.0] * 60 + [each_s]
        return following(in_order(late_s + [0.0] * 60)).playout_delay

    assert held_back(0.5, 0.4) == pytest.approx((0.06, 0.08))
    assert held_back(0.5, 0.11, 0.4) == pytest.approx((0.12, 0.14))


def test_delay_is_bounded_and_there_is_none_where_it_would_hide_nothing() -> None:
    mixed = every(20, 0.09, count=12) + every(40, 0.3, count=4)
    assert following(mixed).playout_delay == pytest.approx((0.14, 0.16))
    assert following(every(50, 0.3)).playout_delay == NO_DELAY


def test_delay_ends_some_seconds_after_the_stalls() -> None:
    stalls = following(every(10, 0.05))  # 2 s long
    follow(stalls, [BASE_S] * 1200, start_s=2.0)
    assert stalls.playout_delay != NO_DELAY
    follow(stalls, [BASE_S] * 500, start_s=14.0)
    assert stalls.playout_delay == NO_DELAY


def test_delay_is_not_changed_back_and_forth() -> None:
    """Now and then a long stall: the delay stays what that one needs."""
    stalls = following(every(50, 0.05, count=10))
    seen = []
    for n in range(12):
        follow(stalls, every(50, 0.05 if n % 2 else 0.09, count=4), start_s=5.0 + 2.0 * n)
        seen.append(stalls.playout_delay)
    assert len(set(seen[1:])) == 1


@pytest.mark.parametrize("loss", [0.02, 0.1])
def test_behind_tcp_most_packets_come_within_the_delay(loss: float) -> None:
    delays_s = behind_tcp(1000, loss)
    stalls = following(delays_s)
    assert stalls.bound_bps < math.inf
    within_s = BASE_S + stalls.playout_delay.most_s
    assert sum(each <= within_s + 1e-9 for each in delays_s) > 0.97 * len(delays_s)


# --- of a link ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("round_trip_s", "expected_bps"), [(0.05, 64_000 * 8 / 0.15), (0.5, FLOOR_BPS)]
)
def test_relay_s_buffer_has_room_until_a_silence_is_noticed(
    round_trip_s: float, expected_bps: float
) -> None:
    stalls = TcpStalls()
    assert stalls.relay_bps == math.inf
    assert not stalls.is_silence(1e9)
    stalls.note_round_trip(round_trip_s)
    assert stalls.relay_bps == pytest.approx(expected_bps)
    assert not stalls.is_silence(round_trip_s + 0.099)
    assert stalls.is_silence(round_trip_s + 0.101)
    assert not stalls.is_silence(5.1)


def test_page_that_reports_seldom_is_not_silent_between_its_reports() -> None:
    stalls = TcpStalls()
    stalls.note_round_trip(ROUND_TRIP_S)
    for wait_s in (0.25, 0.24, 0.9, 0.26, 0.25):  # one of them was an outage
        stalls.note_wait(wait_s)
    assert not stalls.is_silence(0.37)
    assert stalls.is_silence(0.38)


def by_tcp(link: Link) -> None:
    link.set_relays(is_page_by_tcp=True, are_we_by_tcp=False)


def stalling(link: Link, *, is_stalling: bool = True) -> None:
    """Let each third ten of packets be 38 ms late, as the page reports."""
    link.take_receiver_report(0.0, fraction_lost=0.0, round_trip_s=ROUND_TRIP_S)
    for n in range(60):
        now_s = 0.128 * n
        sending(link, 10, start_s=now_s)
        late = 150 if is_stalling and n % 3 == 0 else 0
        message = feedback(10 * n, 10, reference=100 + 2 * n, late=late)  # in 64 ms
        link.take_transport_feedback(now_s + 0.1, message)


def test_link_follows_stalls_only_where_a_relay_is_by_tcp() -> None:
    link, other = (Link(0.0, ceiling_bps=10e6, start_bps=10e6) for _ in range(2))
    by_tcp(link)
    stalling(link)
    stalling(other)
    assert (link.target_bps, other.target_bps) == (FLOOR_BPS, 10e6)
    assert link.playout_delay == pytest.approx((0.04, 0.06))
    assert other.playout_delay == NO_DELAY


def test_stalls_of_our_own_relay_count_as_well() -> None:
    link = Link(0.0, ceiling_bps=10e6, start_bps=10e6)
    link.set_relays(is_page_by_tcp=False, are_we_by_tcp=True)
    stalling(link)
    assert link.target_bps == FLOOR_BPS


def test_slow_link_by_tcp_without_stalls_is_like_any_other() -> None:
    link, other = Link(0.0, ceiling_bps=20e6), Link(0.0, ceiling_bps=20e6)
    by_tcp(link)
    stalling(link, is_stalling=False)
    stalling(other, is_stalling=False)
    assert (link.target_bps, link.playout_delay) == (other.target_bps, NO_DELAY)


def test_link_by_tcp_leaves_room_in_the_relay() -> None:
    link = Link(0.0, ceiling_bps=10e6, start_bps=10e6)
    by_tcp(link)
    stalling(link, is_stalling=False)
    assert link.target_bps == pytest.approx(64_000 * 8 / (ROUND_TRIP_S + 0.1))


def reported(link: Link, n_more: int) -> None:
    """Send packets of which the page reports the first ones, and so many that it does not."""
    for n in range(6):  # some reports are lost, and never come again
        sending(link, 10)
        if n % 2:
            link.take_transport_feedback(0.05, feedback(10 * n, 10))
    for _ in range(n_more):
        link.note_sent(0.1, NBYTES, None)


@pytest.mark.parametrize(("n_more", "is_cut_off"), [(25, False), (28, True)])
def test_frames_wait_once_the_buffer_of_a_silent_relay_is_half_full(
    n_more: int, is_cut_off: bool
) -> None:
    link = Link(0.0, ceiling_bps=20e6)
    by_tcp(link)
    link.take_receiver_report(0.0, fraction_lost=0.0, round_trip_s=ROUND_TRIP_S)
    assert not link.is_silent(99.0)  # nothing was sent
    reported(link, n_more)
    assert not link.is_silent(0.24)
    assert link.is_silent(0.26)
    assert not link.is_cut_off(0.24)
    assert link.is_cut_off(0.26) is is_cut_off
    assert link.next_probe(1.5) is None
    link.take_transport_feedback(0.27, feedback(60, n_more, 104))
    assert not link.is_silent(99.0)
    assert not link.is_cut_off(99.0)


@pytest.mark.parametrize("are_we_by_tcp", [False, True])
def test_page_by_udp_has_no_relay_that_could_be_full(are_we_by_tcp: bool) -> None:
    link = Link(0.0, ceiling_bps=10e6, start_bps=10e6)
    link.set_relays(is_page_by_tcp=False, are_we_by_tcp=are_we_by_tcp)
    link.take_receiver_report(0.0, fraction_lost=0.0, round_trip_s=ROUND_TRIP_S)
    reported(link, 28)
    assert not link.is_silent(0.26)
    assert not link.is_cut_off(0.26)
    assert link.target_bps == 10e6
    assert link.next_probe(1.5) is not None


def test_ceiling_and_stalls_both_limit() -> None:
    link = Link(0.0, ceiling_bps=10e6, start_bps=10e6)
    by_tcp(link)
    stalling(link)
    link.set_ceiling(300_000)
    assert link.target_bps == 300_000
    link.set_ceiling(20e6)
    assert link.target_bps <= FLOOR_BPS


def test_another_way_forgets_the_stalls() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    by_tcp(link)
    stalling(link)
    by_tcp(link)  # said again with each ping
    assert link.playout_delay != NO_DELAY
    link.set_relays(is_page_by_tcp=False, are_we_by_tcp=False)
    assert link.playout_delay == NO_DELAY
    by_tcp(link)
    assert link.playout_delay == NO_DELAY
