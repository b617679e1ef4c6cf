"""What a link is told, and what it makes of it."""

from __future__ import annotations

import struct

import pytest

from gpuview.media.link.link import Link


def feedback(base: int, count: int, reference: int = 100, *, late: int = 0) -> bytes:
    """These packets arrived, 1 ms apart, all of them ``late`` times 0.25 ms later."""
    fci = struct.pack("!HHIH", base, count, reference << 8, 1 << 13 | count)
    return fci + bytes([4 + late, *[4] * (count - 1)])


def sending(link: Link, count: int, *, start_s: float = 0.0, nbytes: int = 1200) -> None:
    for n in range(count):
        link.note_sent(start_s + n * 0.001, nbytes, None)


def test_estimate_of_the_page_counts_only_where_there_is_no_feedback() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    link.take_remb(0.0, 3e6)
    assert link.target_bps == 3e6
    sending(link, 10)
    link.take_transport_feedback(0.1, feedback(0, 10))
    before_bps = link.target_bps
    link.take_remb(0.2, 200_000)
    assert link.target_bps == before_bps


def test_a_link_that_is_no_network_begins_where_it_may_end() -> None:
    assert Link(0.0, ceiling_bps=7e6, start_bps=7e6).target_bps == 7e6


def test_nothing_is_above_the_ceiling() -> None:
    link = Link(0.0, ceiling_bps=1e6)
    assert link.target_bps == 1e6
    link.set_ceiling(500_000)
    assert link.target_bps == 500_000


def test_round_trip_is_that_of_the_feedback_until_a_report_tells_it() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    assert link.stats(0.0).round_trip_s is None
    sending(link, 10)
    link.take_transport_feedback(0.1, feedback(0, 10))
    assert link.round_trip_s == pytest.approx(0.1 - 0.009)
    for n in range(60):
        link.take_receiver_report(1.0 + n, fraction_lost=0.0, round_trip_s=0.03)
    assert link.round_trip_s == pytest.approx(0.03)


@pytest.mark.parametrize("round_trip_s", [-1.0, 11.0, float("inf"), float("nan"), None])
def test_absurd_round_trip_is_not_believed(round_trip_s: float | None) -> None:
    link = Link(0.0, ceiling_bps=20e6)
    link.take_receiver_report(1.0, fraction_lost=0.0, round_trip_s=round_trip_s)
    assert link.round_trip_s is None


def test_thousand_reports_a_second_are_not_all_worked_on() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    sending(link, 1000)
    for n in range(1000):
        link.take_transport_feedback(1.0, feedback(n, 1))
    assert len(link._sent._sent) >= 900


def test_feedback_that_says_nothing_new_is_nothing() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    sending(link, 1)
    for fci in (b"", feedback(1, 1), feedback(40_000, 5)):
        link.take_transport_feedback(0.1, fci)
    assert not link.is_awaiting
    link.take_transport_feedback(0.1, feedback(0, 1))
    assert not link.is_awaiting
    sending(link, 1)
    assert link.is_awaiting


def test_silence_lowers_the_target() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    sending(link, 10)
    link.take_transport_feedback(0.1, feedback(0, 10))
    before_bps = link.target_bps
    sending(link, 10, start_s=0.2)
    for n in range(100):
        link.wait(0.2 + n * 0.05)
    assert link.target_bps < before_bps / 4


def test_what_is_sent_is_measured_and_retransmissions_take_from_the_video() -> None:
    link = Link(0.0, ceiling_bps=20e6)

    def video_bps(now_s: float) -> float:
        return link.protection(now_s, can_repeat=True).video_bps

    before_bps = video_bps(0.0)
    sending(link, 1000, nbytes=125)
    assert link.stats(1.0).sent_bps == pytest.approx(1e6)
    link.note_retransmitted(1.0, 62_500)
    link.note_retransmitted(2.0, 0)
    assert video_bps(2.0) == pytest.approx(before_bps - 500_000)
    assert video_bps(3.5) == before_bps
    link.note_retransmitted(3.5, 10**7)
    assert video_bps(4.5) == link.target_bps / 2
    assert link.stats(9.0).sent_bps == 0


def test_what_is_under_way_is_what_the_page_has_not_reported_on() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    sending(link, 10)
    assert link.under_way_nbytes is None
    link.take_transport_feedback(0.2, feedback(0, 7))
    assert link.under_way_nbytes == 3 * 1200


def test_copies_are_of_no_use_where_the_page_s_relay_is_by_tcp() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    link.take_remb(0.0, 20e6)
    for second in range(1, 10):
        link.take_receiver_report(second, fraction_lost=0.05, round_trip_s=0.05)
    assert link.protection(10.0, can_repeat=True).n_copies > 0
    link.set_relays(is_page_by_tcp=True, are_we_by_tcp=False)
    assert link.protection(10.0, can_repeat=True).n_copies == 0
    link.set_relays(is_page_by_tcp=False, are_we_by_tcp=True)
    assert link.protection(10.0, can_repeat=True).n_copies > 0


def test_loss_that_lasts_is_worth_copies_and_is_forgotten() -> None:
    link = Link(0.0, ceiling_bps=20e6)
    link.take_remb(0.0, 20e6)
    losses = [0.05] * 10 + [0.0] * 10
    copies = []
    for second, loss in enumerate(losses, start=1):
        link.take_receiver_report(second, fraction_lost=loss, round_trip_s=0.05)
        copies.append(link.protection(second, can_repeat=True).n_copies)
    assert (copies[0], copies[9], copies[-1]) == (1, 2, 0)
