"""The congestion controller on virtual links: 25 ms each way, 200 ms of queue, unless said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gpuview.media.link.controller import CongestionController
from gpuview.media.link.reports import PacketReport
from tests.media.link.virtual_link import Greedy, Link, Sender, run, steps

MBPS = 1e6
FAST = steps((0, 20 * MBPS))
MOTION_AT_5_AND_65_S = steps((0, math.inf), (5, 0.05 * MBPS), (65, math.inf))


@pytest.mark.parametrize("feedback_s", [0.05, 0.066, 0.1])
def test_target_follows_a_link_that_falls_and_returns(feedback_s: float) -> None:
    rates = ((0, 20 * MBPS), (10, 2 * MBPS), (20, 20 * MBPS), (30, 1 * MBPS), (40, 20 * MBPS))
    sender = Sender(Link(steps(*rates)), feedback_s=feedback_s)

    run(50, sender)

    assert sender.reached_s(15 * MBPS, from_s=0) < 2
    for from_s, to_s, rate_bps in [(3, 10, 20 * MBPS), (11, 20, 2 * MBPS), (31, 40, 1 * MBPS)]:
        assert sender.queue_s(from_s, to_s) < 0.15
        assert sender.queue_s(from_s, to_s, part=0.5) < 0.05
        assert sender.video_bps(from_s, to_s) > 0.8 * rate_bps
        assert sender.lost(from_s, to_s) < 0.01
    for returned_s in (20, 40):
        assert sender.reached_s(10 * MBPS, from_s=returned_s) < 4
        assert sender.video_bps(returned_s + 5, returned_s + 10) > 15 * MBPS


@pytest.mark.parametrize(
    ("link_options", "sender_options"),
    [
        ({"delay_s": 0.1}, {}),
        ({}, {"feedback_s": 0.25}),
        ({}, {"feedback_loss": 0.1}),
        ({}, {"frames_per_s": 10}),
        ({}, {"frames_per_s": 60}),
        ({"queue_s": 1.0}, {}),
    ],
    ids=["far", "rare feedback", "lost feedback", "10 fps", "60 fps", "long queue"],
)
def test_target_follows_other_links_too(
    link_options: dict[str, Any], sender_options: dict[str, Any]
) -> None:
    rates = ((0, 20 * MBPS), (10, 2 * MBPS), (25, 20 * MBPS))
    sender = Sender(Link(steps(*rates), **link_options), **sender_options)

    run(35, sender)

    assert sender.video_bps(5, 10) > 14 * MBPS
    assert sender.queue_s(15, 25) < 0.15
    assert sender.video_bps(13, 25) > 1.4 * MBPS
    assert sender.reached_s(10 * MBPS, from_s=25) < 5


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("queue_s", [0.5, 1.0])
@pytest.mark.parametrize("ceiling_bps", [3.4 * MBPS, 20 * MBPS], ids=["by TCP", "free"])
def test_long_queue_of_a_link_that_falls_is_empty_within_two_seconds(
    ceiling_bps: float, queue_s: float, seed: int
) -> None:
    """coturn keeps 64 kB for a page by TCP: half a second at 1 Mbit/s."""
    link = Link(steps((0, 20 * MBPS), (10, 1 * MBPS), (20, 20 * MBPS)), queue_s=queue_s, seed=seed)
    sender = Sender(link, ceiling_bps=ceiling_bps, seed=seed)

    run(26, sender)

    assert sender.queue_s(10, 11) > 0.4
    assert sender.queue_s(12, 20) < 0.15
    assert sender.video_bps(12, 20) > 0.8 * MBPS
    assert sender.reached_s(0.9 * ceiling_bps, from_s=20) < 5


@pytest.mark.parametrize("queue_s", [0.5, 1.0])
def test_long_queue_is_drained_again_when_the_link_falls_once_more(queue_s: float) -> None:
    rates = ((0, 20 * MBPS), (10, 2 * MBPS), (10.8, 0.5 * MBPS))
    sender = Sender(Link(steps(*rates), queue_s=queue_s))

    run(20, sender)

    assert sender.queue_s(10.8, 11.8) > 0.4
    assert sender.queue_s(14, 20) < 0.15


def test_others_who_fill_a_long_queue_take_no_share_by_our_draining_it() -> None:
    link = Link(steps((0, 10 * MBPS)), queue_s=1.0)
    sender = Sender(link)

    run(60, sender, Greedy(link, from_s=10, to_s=20, wait_s=0.4))

    # Half of the rate while it drains; then the rate sinks slowly, as behind any queue that stands.
    assert sender.lowest_bps(10, 12.5) < 4.5 * MBPS
    assert sender.target_bps(13) > 5 * MBPS
    assert sender.target_bps(19.9) > 2.6 * MBPS
    assert sender.video_bps(25, 60) > 7.5 * MBPS


@pytest.mark.parametrize("wanted_bps", [3 * MBPS, math.inf])
def test_radio_that_stops_now_and_then_does_not_lower_the_rate(wanted_bps: float) -> None:
    def stalls_until(at_s: float) -> float:
        began_s = at_s // 2 * 2
        return began_s + 0.15 if 2 < at_s < began_s + 0.15 else at_s

    sender = Sender(Link(FAST, stalls_until=stalls_until), wanted_bps=lambda _: wanted_bps)

    run(40, sender)

    assert sender.lowest_bps(3, 40) > 5 * MBPS
    assert sender.video_bps(3, 40) > 0.6 * min(wanted_bps, 20 * MBPS)


def test_slow_link_is_not_overrun_at_the_start() -> None:
    sender = Sender(Link(steps((0, 0.5 * MBPS))))

    run(10, sender)

    assert sender.queue_s(2, 10) < 0.15
    assert sender.video_bps(2, 10) > 0.35 * MBPS


@pytest.mark.parametrize(("loss", "least_bps"), [(0.02, 14 * MBPS), (0.1, 12 * MBPS)])
def test_random_loss_alone_does_not_starve_the_picture(loss: float, least_bps: float) -> None:
    sender = Sender(Link(FAST, loss=loss))

    run(30, sender)

    assert sender.video_bps(2, 5) > least_bps
    assert sender.video_bps(5, 30) > least_bps
    assert sender.lowest_bps(2, 30) > 8 * MBPS


def test_loss_that_a_shallow_queue_makes_lowers_the_rate() -> None:
    sender = Sender(Link(steps((0, 12 * MBPS), (10, 4 * MBPS)), queue_s=0.02))

    run(40, sender)

    assert sender.lost(12, 40) < 0.12
    assert sender.video_bps(12, 40) > 3 * MBPS


@pytest.mark.parametrize("rate_bps", [4 * MBPS, 20 * MBPS])
def test_jitter_of_a_radio_does_not_lower_the_rate(rate_bps: float) -> None:
    sender = Sender(Link(steps((0, rate_bps)), jitter_s=0.01))

    run(40, sender)

    assert sender.video_bps(2, 40) > 0.8 * rate_bps
    assert sender.lowest_bps(6, 40) > 0.65 * rate_bps


def test_jitter_does_not_lower_an_estimate_that_is_hardly_used() -> None:
    sender = Sender(Link(FAST, jitter_s=0.01), wanted_bps=lambda _: 3 * MBPS)

    run(60, sender)

    assert sender.lowest_bps(5, 60) > 10 * MBPS


def test_two_share_a_link() -> None:
    link = Link(steps((0, 4 * MBPS)))
    one, other = Sender(link), Sender(link, seed=2, starts_s=0.1)

    run(60, one, other)

    for sender in (one, other):
        assert sender.video_bps(10, 60) > 1.3 * MBPS
        assert sender.lost(10, 60) < 0.02


def test_one_who_comes_later_gets_its_share() -> None:
    link = Link(steps((0, 4 * MBPS)))
    first, later = Sender(link), Sender(link, seed=2, starts_s=15)

    run(65, first, later)

    for sender in (first, later):
        assert sender.video_bps(25, 65) > 1.3 * MBPS


def test_motion_after_an_idle_minute_is_sharp_at_once() -> None:
    sender = Sender(Link(FAST), wanted_bps=MOTION_AT_5_AND_65_S)

    run(70, sender)

    assert sender.lowest_bps(5, 66) > 14 * MBPS
    assert sender.video_bps(65, 66) > 14 * MBPS
    assert sender.queue_s(65, 70) < 0.15


@pytest.mark.parametrize("fallen_bps", [2 * MBPS, 8 * MBPS])
def test_motion_after_an_idle_minute_does_not_overrun_a_link_that_fell(fallen_bps: float) -> None:
    link = Link(steps((0, 20 * MBPS), (30, fallen_bps)))
    sender = Sender(link, wanted_bps=MOTION_AT_5_AND_65_S)

    run(70, sender)

    assert sender.queue_s(65, 66) < 0.15
    assert sender.video_bps(65, 70) > 0.7 * fallen_bps


def test_idle_sender_finds_that_a_link_has_become_fast() -> None:
    link = Link(steps((0, 2 * MBPS), (30, 20 * MBPS)))
    sender = Sender(link, wanted_bps=MOTION_AT_5_AND_65_S)

    run(66, sender)

    assert sender.video_bps(65, 66) > 10 * MBPS


def test_little_that_is_sent_says_nothing_against_the_link() -> None:
    sender = Sender(Link(FAST), wanted_bps=lambda _: 1 * MBPS)

    run(30, sender)

    assert sender.lowest_bps(3, 30) > 14 * MBPS
    # What shows it costs little.
    padding = sum(p.nbytes for p in sender.packets if not p.is_video and p.sent_s > 3)
    assert padding * 8 / 27 < 0.1 * MBPS


def test_link_that_falls_below_the_little_that_is_sent_is_noticed() -> None:
    link = Link(steps((0, 20 * MBPS), (10, 3 * MBPS)))
    sender = Sender(link, wanted_bps=lambda _: 6 * MBPS)

    run(20, sender)

    assert sender.queue_s(11, 20) < 0.15
    assert sender.video_bps(11, 20) > 2 * MBPS


def test_no_probe_goes_far_beyond_the_ceiling() -> None:
    sender = Sender(Link(steps((0, 100 * MBPS))), ceiling_bps=8 * MBPS)

    run(20, sender)

    assert max(probe.bitrate_bps for _, probe in sender.probes) < 1.1 * 8 * MBPS
    assert sender.video_bps(5, 20) > 7 * MBPS


def test_rate_returns_soon_after_a_burst_of_nothing() -> None:
    sender = Sender(Link(steps((0, 20 * MBPS), (10, 0), (10.3, 20 * MBPS))))

    run(12, sender)

    assert sender.video_bps(10.35, 10.8) > 10 * MBPS
    assert sender.lowest_bps(10, 12) > 10 * MBPS


def test_target_falls_while_nothing_is_heard_and_returns_soon_after() -> None:
    sender = Sender(Link(steps((0, 20 * MBPS), (10, 0), (14, 20 * MBPS))))

    run(16, sender)

    assert sender.target_bps(13.9) < 4 * MBPS
    assert sender.reached_s(10 * MBPS, from_s=14) < 1


def test_estimate_of_the_peer_counts_where_there_are_no_reports() -> None:
    controller = CongestionController(0, ceiling_bps=20 * MBPS, floor_bps=0.1 * MBPS)

    controller.take_remb(1, 5 * MBPS)
    assert controller.target_bps == 5 * MBPS
    controller.take_remb(2, math.nan)
    assert controller.target_bps == 5 * MBPS
    controller.take_remb(3, 0)
    assert controller.target_bps == 0.1 * MBPS
    controller.take_remb(4, 1e12)
    assert controller.target_bps == 20 * MBPS

    controller.take_reports(5, [PacketReport(4.9, 0.0, 1200)], round_trip_s=0.05)
    controller.take_remb(6, 1 * MBPS)
    assert controller.target_bps == 20 * MBPS


def test_receiver_reports_lower_the_rate_when_much_is_lost_and_raise_it_when_nothing_is() -> None:
    controller = CongestionController(0, ceiling_bps=20 * MBPS, start_bps=4 * MBPS)

    controller.take_receiver_report(1, fraction_lost=0.3, round_trip_s=0.05)
    lowered_bps = controller.target_bps
    assert lowered_bps < 3 * MBPS
    for second in range(2, 30):
        controller.take_receiver_report(second, fraction_lost=0, round_trip_s=0.05)
    assert controller.target_bps > 2 * lowered_bps


def test_state_names_what_limits() -> None:
    sender = Sender(Link(steps((0, 2 * MBPS))))

    run(10, sender)

    state = sender.controller.state
    assert state.target_bps == sender.controller.target_bps == pytest.approx(state.delay_bps)
    assert state.loss == 0
    assert 0 <= state.queue_s < 0.2
    assert not state.is_application_limited
