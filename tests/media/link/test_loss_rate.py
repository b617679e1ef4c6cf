"""Loss that the rate makes, and loss that is the link's own."""

from __future__ import annotations

import math

from gpuview.media.link.loss_rate import LossRate
from gpuview.media.link.reports import PacketReport

TARGET_BPS = 4e6


def send(
    loss_rate: LossRate, from_s: float, seconds: float, *, loss: float, queue_s: float = 0.0
) -> bool:
    """Report 400 packets a second, of which each so-manieth is lost, in messages of 50 ms."""
    was_gone = False
    each = round(1 / loss) if loss else 0
    for message in range(round(seconds / 0.05)):
        began_s = from_s + message * 0.05
        reports = [
            PacketReport(
                began_s + index * 0.0025,
                None if each and (20 * message + index) % each == 0 else began_s,
                1200,
            )
            for index in range(20)
        ]
        was_gone |= loss_rate.take_reports(
            began_s + 0.05,
            reports,
            target_bps=min(TARGET_BPS, loss_rate.bound_bps),
            acknowledged_bps=3e6,
            lowered_s=-math.inf,
            queue_s=queue_s,
        )
    return was_gone


def test_little_loss_lowers_nothing() -> None:
    loss_rate = LossRate(0)

    send(loss_rate, 0, 10, loss=0.05)

    assert loss_rate.bound_bps > TARGET_BPS
    assert loss_rate.loss == 0.05


def test_loss_that_stays_when_the_rate_goes_down_is_the_links_own() -> None:
    loss_rate = LossRate(0)

    send(loss_rate, 0, 0.25, loss=0.2)
    assert loss_rate.bound_bps < 0.9 * TARGET_BPS
    send(loss_rate, 0.25, 1, loss=0.2)
    assert loss_rate.bound_bps > TARGET_BPS
    send(loss_rate, 1.25, 10, loss=0.2)
    assert loss_rate.bound_bps > TARGET_BPS


def test_loss_that_goes_away_with_the_rate_was_made_by_it() -> None:
    loss_rate = LossRate(0)

    send(loss_rate, 0, 0.25, loss=0.2)
    lowered_bps = loss_rate.bound_bps
    send(loss_rate, 0.25, 1, loss=0)

    assert lowered_bps < 0.9 * TARGET_BPS
    assert lowered_bps < loss_rate.bound_bps < 1.15 * lowered_bps


def test_loss_while_packets_wait_is_never_the_links_own() -> None:
    loss_rate = LossRate(0)

    send(loss_rate, 0, 5, loss=0.2, queue_s=0.1)

    assert loss_rate.bound_bps < 0.7 * TARGET_BPS


def test_link_that_was_gone_for_a_while_is_no_overflow() -> None:
    loss_rate = LossRate(0)
    send(loss_rate, 0, 1, loss=0)

    assert not send(loss_rate, 1, 0.3, loss=1)
    assert send(loss_rate, 1.3, 0.5, loss=0)
    assert loss_rate.bound_bps > TARGET_BPS
    assert loss_rate.loss == 0


def test_losses_of_a_probe_are_not_counted() -> None:
    loss_rate = LossRate(0)
    for message in range(40):
        now_s = message * 0.05
        reports = [PacketReport(now_s, None if i % 3 else now_s, 1200, probe=1) for i in range(20)]
        reports += [PacketReport(now_s, now_s, 1200) for _ in range(20)]
        loss_rate.take_reports(
            now_s,
            reports,
            target_bps=TARGET_BPS,
            acknowledged_bps=3e6,
            lowered_s=-math.inf,
            queue_s=0,
        )

    assert loss_rate.loss == 0


def test_lasting_loss_is_that_of_some_seconds() -> None:
    loss_rate = LossRate(0)

    send(loss_rate, 0, 8, loss=0.1)
    assert 0.09 < loss_rate.lasting_loss < 0.11
    send(loss_rate, 8, 0.5, loss=0)
    assert loss_rate.loss == 0
    assert loss_rate.lasting_loss > 0.07
    send(loss_rate, 8.5, 10, loss=0)
    assert loss_rate.lasting_loss < 0.002


def test_what_a_full_queue_or_an_outage_loses_is_no_lasting_loss() -> None:
    loss_rate = LossRate(0)

    send(loss_rate, 0, 5, loss=0.2, queue_s=0.1)
    send(loss_rate, 5, 0.3, loss=1)
    send(loss_rate, 5.3, 1, loss=0)
    assert loss_rate.lasting_loss == 0
