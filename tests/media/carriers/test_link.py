"""What one page takes over a carrier: links of every kind, and pages that say what is not true."""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from dataclasses import dataclass

import pytest

from gpuview.media.carriers.link import MAX_UNHEARD_NBYTES, CarrierLink
from gpuview.protocol.carrier_messages import Received

CEILING_BPS = 20e6


def link(*, every_s: float = 0.0, may_be_deaf: bool = False) -> CarrierLink:
    return CarrierLink(
        0.0, ceiling_bps=CEILING_BPS, acknowledged_every_s=every_s, may_be_deaf=may_be_deaf
    )


@dataclass
class Played:
    """What a stream looked like at the far end of a link."""

    fps: float
    p95_s: float
    target_bps: float
    """The mean of the second half: a rate that looks for its limit goes up and down."""


def play(
    capacity_bps: float,
    *,
    one_way_s: float = 0.01,
    jitter_s: float = 0.004,
    seconds: float = 20.0,
    sender: CarrierLink | None = None,
    begin_s: float = 0.0,
    burst_nbytes: int = 0,
    wanted_bps: float = 6e6,
    every_s: float = 0.0,
) -> Played:
    """Send an encoder's frames, 30 a second and as large as they may be, over a queue.

    Args:
        burst_nbytes: What a token bucket lets pass at once after a pause.
        wanted_bps: What the encoder would make of the picture, without a limit.
        every_s: The page acknowledges no more often.
    """
    chance = random.Random(1)
    sender = sender or link(every_s=every_s)
    under_way: deque[tuple[float, int]] = deque()
    waiting: list[tuple[float, int]] = []
    acks: deque[tuple[float, Received]] = deque()
    free_s = arrived_s = 0.0
    acknowledged_s = -math.inf
    delays, targets_bps = [], []
    for n in range(int((seconds + 1) * 240)):
        now_s = begin_s + n / 240
        while under_way and under_way[0][0] <= now_s:
            waiting.append(under_way.popleft())
        if waiting and now_s - acknowledged_s >= every_s:
            times = [(1e6 + at_s) * 1000 for at_s, _ in waiting]
            acks.append((now_s + one_way_s, Received(seq=waiting[-1][1], arrived_ms=times)))
            acknowledged_s = now_s
            waiting.clear()
        while acks and acks[0][0] <= now_s:
            sender.take_received(*acks.popleft())
        if seconds * 120 < n < seconds * 240:
            targets_bps.append(sender.target_bps)
        if n % 8 or n > seconds * 240 or sender.free_s(now_s) > now_s:
            continue
        nbytes = int(min(wanted_bps, sender.target_bps) / 30 / 8 * chance.uniform(0.8, 1.2)) + 200
        free_s = max(free_s, now_s - burst_nbytes * 8 / capacity_bps) + nbytes * 8 / capacity_bps
        left_s = max(free_s, now_s)
        arrived_s = max(arrived_s, left_s + one_way_s + chance.expovariate(1 / jitter_s))
        under_way.append((arrived_s, sender.note_sent(now_s, nbytes)))
        if now_s > begin_s + 2:
            delays.append(arrived_s - now_s)
    delays.sort()
    p95_s = delays[int(len(delays) * 0.95)]
    return Played(len(delays) / (seconds - 2), p95_s, statistics.mean(targets_bps))


@pytest.mark.parametrize("every_s", [0.0, 0.2])
@pytest.mark.parametrize("capacity_bps", [0.5e6, 1e6, 3e6])
def test_stream_on_a_narrow_link_is_late_by_fractions_of_a_second(
    capacity_bps: float, every_s: float
) -> None:
    played = play(capacity_bps, every_s=every_s)
    assert played.p95_s < 0.3 + every_s
    assert played.fps > 20
    assert 0.5 * capacity_bps < played.target_bps < 1.3 * capacity_bps


@pytest.mark.parametrize("every_s", [0.0, 0.2])
@pytest.mark.parametrize("jitter_s", [0.004, 0.015])
def test_stream_on_a_wide_link_gets_what_it_needs_although_the_page_is_busy(
    jitter_s: float, every_s: float
) -> None:
    played = play(100e6, jitter_s=jitter_s, every_s=every_s)
    assert played.fps > 28
    assert played.target_bps > 5e6


def test_first_picture_over_loopback_finds_that_the_link_is_wide() -> None:
    sender = link()
    start_bps = sender.target_bps
    # As many bytes as the start allows a keyframe, and what a page took to answer it.
    sender.note_sent(0.0, round(0.1 * start_bps / 8))
    sender.take_received(0.01, Received(seq=0, arrived_ms=[5.0]))
    assert sender.target_bps == pytest.approx(10 * start_bps)
    played = play(1e9, one_way_s=0.001, jitter_s=0.002, seconds=2.5, wanted_bps=CEILING_BPS)
    assert played.target_bps == CEILING_BPS


def test_round_trip_of_nothing_is_not_believed() -> None:
    sender = link()
    sender.note_sent(1.0, 1000)
    sender.take_received(1.0, Received(seq=0, arrived_ms=[5.0]))
    assert sender.target_bps == pytest.approx(8e6)


@pytest.mark.parametrize("capacity_bps", [0.5e6, 1e6, 3e6])
def test_link_that_lets_a_burst_pass_is_not_taken_for_a_wide_one_for_long(
    capacity_bps: float,
) -> None:
    played = play(capacity_bps, burst_nbytes=64_000)
    assert played.p95_s < 0.3
    assert played.fps > 15
    assert played.target_bps < 1.3 * capacity_bps


def test_link_that_was_found_narrow_is_never_again_taken_for_wide_at_once() -> None:
    sender = link()
    play(1e6, sender=sender, seconds=5.0)
    before_bps = sender.target_bps
    seq = sender.note_sent(6.0, 40_000)
    sender.take_received(6.01, Received(seq=seq, arrived_ms=[(1e6 + 6.005) * 1000]))
    assert sender.target_bps < 1.2 * before_bps


def test_nothing_is_wanted_while_the_oldest_packet_is_unheard_of_for_long() -> None:
    sender = link()
    sender.note_sent(0.0, 100)
    assert sender.free_s(0.1) == 0.1
    assert sender.free_s(1.0) == math.inf
    sender.take_received(1.0, Received(seq=0, arrived_ms=[5.0]))
    assert sender.free_s(1.0) == 1.0


def test_page_that_acknowledges_nothing_gets_no_more_than_the_bound() -> None:
    for may_be_deaf in (False, True):
        sender, sent = link(may_be_deaf=may_be_deaf), 0
        for n in range(10_000):
            now_s = n * 0.1
            if sender.free_s(now_s) <= now_s or sender.wants_keyframe(now_s):
                sender.note_sent(now_s, 100_000)
                sent += 100_000
        assert sent < MAX_UNHEARD_NBYTES + 100_001
        assert sender.unheard_nbytes == sent


def test_page_that_may_be_deaf_gets_a_keyframe_a_second() -> None:
    sender = link(may_be_deaf=True)
    sender.note_sent(0.0, 1000)
    assert not sender.wants_keyframe(0.9)
    assert sender.wants_keyframe(1.0)
    sender.note_sent(1.0, 1000)
    assert not sender.wants_keyframe(1.9)
    assert sender.wants_keyframe(2.0)
    assert not link().wants_keyframe(100.0)


@pytest.mark.parametrize("seq", [-5, -1, 3, 2**40])
def test_acknowledgement_of_what_was_never_sent_changes_nothing(seq: int) -> None:
    sender = link()
    for n in range(3):
        sender.note_sent(n / 100, 40_000)
    target_bps = sender.target_bps
    sender.take_received(0.1, Received(seq=seq, arrived_ms=[100.0]))
    assert sender.unheard_nbytes == 120_000
    assert (sender.target_bps, sender.round_trip_s) == (target_bps, None)


def test_acknowledgement_counts_for_all_before_it_and_once() -> None:
    sender = link()
    for n in range(3):
        sender.note_sent(n / 100, 40_000)
    for _ in range(2):
        sender.take_received(0.1, Received(seq=1, arrived_ms=[100.0]))
        assert sender.unheard_nbytes == 40_000
    assert sender.round_trip_s == pytest.approx(0.09)


@pytest.mark.parametrize("at_ms", [0.0, 1e15])
def test_clock_that_makes_no_sense_raises_nothing(at_ms: float) -> None:
    sender = link()
    for n in range(100):
        sender.note_sent(n / 30, 40_000)
        sender.take_received(n / 30 + 0.01, Received(seq=n, arrived_ms=[at_ms]))
    assert 0 < sender.target_bps <= CEILING_BPS
    assert sender.unheard_nbytes == 0


def test_page_that_is_busy_while_little_is_sent_does_not_lower_the_rate() -> None:
    chance = random.Random(2)
    sender = link()
    before_bps, at_page_s = sender.target_bps, 0.0
    for n in range(600):
        now_s = n / 30
        seq = sender.note_sent(now_s, 300)
        at_page_s = max(at_page_s, now_s + chance.expovariate(1 / 0.08))
        sender.take_received(now_s + 0.03, Received(seq=seq, arrived_ms=[at_page_s * 1000]))
    assert sender.target_bps == before_bps


def test_rate_follows_a_link_that_becomes_narrow_and_wide_again() -> None:
    sender = link()
    rates = [
        play(capacity_bps, sender=sender, begin_s=begin_s, seconds=10.0).target_bps
        for begin_s, capacity_bps in ((0.0, 20e6), (11.0, 2e6), (22.0, 20e6))
    ]
    assert rates[0] > 5e6
    assert 1e6 < rates[1] < 2.6e6
    assert rates[2] > 5e6


def test_page_that_shows_too_little_of_what_arrives_is_sent_less_but_never_nothing() -> None:
    sender = link()
    for n in range(8):
        sender.note_sent(n / 100, 100)
    sender.take_received(0.1, Received(seq=7, arrived_ms=[100.0], shown=0))
    assert sender.free_s(0.1) == pytest.approx(0.35)
    sender.take_received(0.2, Received(seq=7, arrived_ms=[], shown=3))
    assert sender.free_s(0.2) == 0.2
    sender.take_received(0.3, Received(seq=7, arrived_ms=[100.0], shown=0))
    assert sender.free_s(0.6) == 0.6


def test_page_with_many_decoders_shows_more_packets_at_a_time_later() -> None:
    """Of 16 tiles, 16 packets arrive before the page paints."""
    for n_tiles, is_slow in ((1, True), (16, False)):
        sender = link()
        sender.set_tiles(n_tiles)
        for _ in range(32):
            sender.note_sent(0.0, 1000)
        sender.take_received(0.1, Received(seq=31, arrived_ms=[100.0], shown=10))
        assert (sender.free_s(0.1) > 0.1) == is_slow


def test_page_that_has_shown_nothing_yet_is_sent_more() -> None:
    sender = link()
    for n in range(8):
        sender.note_sent(n / 100, 100)
    sender.take_received(0.1, Received(seq=7, arrived_ms=[100.0]))
    assert sender.free_s(0.1) == 0.1


def test_arrival_times_are_those_of_the_newest_packets_and_may_be_too_many() -> None:
    for times in ([5.0], [1.0, 2.0, 3.0], [float(n) for n in range(64)], [9.0, 1.0, 1e15, 0.0]):
        sender = link()
        for n in range(3):
            sender.note_sent(n / 100, 40_000)
        sender.take_received(0.1, Received(seq=1, arrived_ms=times))
        assert sender.unheard_nbytes == 40_000
        assert 0 < sender.target_bps <= CEILING_BPS


def test_acknowledgement_without_a_time_is_not_believed() -> None:
    sender = link()
    sender.note_sent(0.0, 40_000)
    sender.take_received(0.1, Received(seq=0, arrived_ms=[]))
    assert sender.unheard_nbytes == 40_000
