"""When a higher rate is tried, and what that shows."""

from __future__ import annotations

import pytest

from gpuview.media.link.probes import Probes, Try
from gpuview.media.link.reports import PacketReport, Probe

CEILING_BPS = 20e6


def ask(probes: Probes, now_s: float, estimate_bps: float, *, idle: bool = False) -> Probe | None:
    return probes.next(
        now_s, estimate_bps=estimate_bps, ceiling_bps=CEILING_BPS, is_application_limited=idle
    )


def answer(
    probes: Probes, now_s: float, probe: Probe, *, link_bps: float, n_lost: int = 0
) -> Try | None:
    """Send a probe over a link of that rate, and report it."""
    nbytes = probe.nbytes / 10
    reports = [
        PacketReport(
            sent_s=now_s + index * nbytes * 8 / probe.bitrate_bps,
            arrived_s=None
            if index < n_lost
            else 77 + index * nbytes * 8 / min(link_bps, probe.bitrate_bps),
            nbytes=round(nbytes),
            probe=probe.number,
        )
        for index in range(10)
    ]
    return probes.take_reports(now_s + 0.1, reports, estimate_bps=1.5e6)


def first(probes: Probes) -> Probe:
    probe = ask(probes, 0, 1.5e6)
    assert probe is not None
    return probe


def test_first_probe_is_due_at_once_and_the_next_when_it_is_answered() -> None:
    probes = Probes(0, 1.5e6)

    probe = first(probes)
    assert probe.bitrate_bps == 4.5e6
    assert ask(probes, 0.5, 1.5e6) is None
    shown = answer(probes, 0.5, probe, link_bps=50e6)
    assert shown is not None
    assert shown.rate_bps == pytest.approx(4.5e6, rel=0.01)
    assert not shown.is_limited
    following = ask(probes, 0.6, shown.rate_bps)
    assert following is not None
    assert following.bitrate_bps == pytest.approx(9e6, rel=0.01)


def test_probe_that_the_link_does_not_take_shows_what_it_takes() -> None:
    probes = Probes(0, 1.5e6)

    shown = answer(probes, 0, first(probes), link_bps=2e6)

    assert shown is not None
    assert shown.is_limited
    assert 1.8e6 < shown.rate_bps < 2e6
    assert shown.stretched_s > 0.01


def test_while_the_link_is_the_limit_a_probe_is_due_every_two_seconds() -> None:
    probes = Probes(0, 1.5e6)
    answer(probes, 0, first(probes), link_bps=2e6)

    assert ask(probes, 1.9, 2e6) is None
    assert ask(probes, 2.2, 2e6) is not None


def test_while_little_is_sent_a_probe_is_due_every_five_seconds() -> None:
    probes = Probes(0, 1.5e6)
    answer(probes, 0, first(probes), link_bps=2e6)

    assert ask(probes, 4.9, 2e6, idle=True) is None
    assert ask(probes, 5.2, 2e6, idle=True) is not None


def test_nothing_is_probed_where_the_ceiling_is_in_use() -> None:
    probes = Probes(0, 1.5e6)

    assert ask(probes, 0, CEILING_BPS) is None
    probe = ask(probes, 10, CEILING_BPS, idle=True)
    assert probe is not None
    assert probe.bitrate_bps < 1.1 * CEILING_BPS


def test_probe_without_answer_is_repeated_once_at_once() -> None:
    probes = Probes(0, 1.5e6)
    first(probes)

    assert ask(probes, 0.9, 1.5e6) is None
    assert ask(probes, 1.1, 1.5e6) is not None
    assert ask(probes, 2.2, 1.5e6) is None
    assert ask(probes, 4.3, 1.5e6) is not None


def test_probe_of_which_much_is_lost_shows_nothing() -> None:
    probes = Probes(0, 1.5e6)

    assert answer(probes, 0, first(probes), link_bps=50e6, n_lost=3) is None


def test_probe_may_be_hastened() -> None:
    probes = Probes(0, 1.5e6)
    answer(probes, 0, first(probes), link_bps=2e6)

    probes.hasten()

    assert ask(probes, 0.2, 2e6) is not None
