"""What a peer may say, however absurd, leaves the target in its bounds."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.controller import CongestionController
from gpuview.media.link.reports import PacketReport
from tests.media.link.virtual_link import Link, Sender, run, steps

FLOOR_BPS = 100_000.0
CEILING_BPS = 20e6

times = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(-10, 200), st.integers(0, 60)
)
reports = st.builds(
    PacketReport,
    sent_s=times,
    arrived_s=st.none() | times,
    nbytes=st.integers(-1, 2**32) | st.sampled_from([0, 1200]),
    probe=st.none() | st.integers(0, 4),
)
events = st.one_of(
    st.tuples(st.just("reports"), st.lists(reports, max_size=60), st.none() | times),
    st.tuples(st.just("remb"), st.floats()),
    st.tuples(st.just("receiver report"), st.floats(), st.none() | times),
    st.tuples(st.just("silence"), times),
    st.tuples(st.just("probe")),
)


@given(st.lists(st.tuples(st.floats(0, 5), events), max_size=40))
def test_nothing_that_a_peer_says_leaves_the_bounds(story) -> None:
    now_s = 0.0
    controller = CongestionController(now_s, ceiling_bps=CEILING_BPS, floor_bps=FLOOR_BPS)
    for elapsed_s, event in story:
        now_s += elapsed_s
        match event:
            case ("reports", reports, round_trip_s):
                controller.take_reports(now_s, reports, round_trip_s=round_trip_s)
            case ("remb", bitrate_bps):
                controller.take_remb(now_s, bitrate_bps)
            case ("receiver report", fraction_lost, round_trip_s):
                controller.take_receiver_report(
                    now_s, fraction_lost=fraction_lost, round_trip_s=round_trip_s
                )
            case ("silence", sent_s):
                controller.take_silence(now_s, sent_s=sent_s)
            case ("probe",):
                probe = controller.next_probe(now_s)
                assert probe is None or probe.bitrate_bps <= 1.1 * CEILING_BPS
                assert probe is None or probe.nbytes < 100_000

        assert FLOOR_BPS <= controller.target_bps <= CEILING_BPS
        assert math.isfinite(controller.state.queue_s)
        assert 0 <= controller.state.loss <= 1


class LiedTo(CongestionController):
    """Hears absurd things of some packets, until some time."""

    def __init__(self, *args: Any, seed: int, until_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._dice = random.Random(seed)
        self._until_s = until_s

    def take_reports(self, now_s, reports, *, round_trip_s):
        if now_s < self._until_s:
            reports = [self._twisted(now_s, report) for report in reports]
            round_trip_s = self._dice.choice([None, math.nan, math.inf, -0.1, -1e9, 1e9, 0.05])
        super().take_reports(now_s, reports, round_trip_s=round_trip_s)
        assert FLOOR_BPS <= self.target_bps <= CEILING_BPS
        assert math.isfinite(self.state.queue_s)

    def _twisted(self, now_s: float, report: PacketReport) -> PacketReport:
        if self._dice.random() < 0.9:
            return report
        absurd_s = [math.nan, math.inf, -math.inf, 1e308, -1e308, now_s + 1e6, now_s, 0.0, -50.0]
        name = self._dice.choice(["sent_s", "arrived_s", "nbytes"])
        values = absurd_s if name != "nbytes" else [-1, 0, 1, 2**16, 2**40]
        return dataclasses.replace(report, **{name: self._dice.choice(values)})


@pytest.mark.parametrize("seed", range(4))
def test_lies_leave_the_bounds_and_no_trace(seed: int) -> None:
    sender = Sender(Link(steps((0, 20e6), (14, 4e6))))
    sender.controller = LiedTo(0, ceiling_bps=CEILING_BPS, seed=seed, until_s=5)

    run(24, sender)

    assert sender.video_bps(10, 14) > 14e6
    assert sender.queue_s(16, 24) < 0.15
    assert sender.video_bps(16, 24) > 2.5e6


def test_ceiling_may_be_set_at_any_time() -> None:
    controller = CongestionController(0, ceiling_bps=CEILING_BPS, start_bps=5e6)

    controller.ceiling_bps = 1e6
    assert controller.target_bps == 1e6
    controller.ceiling_bps = 50_000
    assert controller.target_bps == 50_000
    controller.ceiling_bps = CEILING_BPS
    assert controller.target_bps == 5e6


def test_memory_is_bounded_however_much_is_reported() -> None:
    controller = CongestionController(0, ceiling_bps=CEILING_BPS)
    controller.next_probe(0)
    for message in range(200):
        now_s = 1 + message / 1000
        same = [PacketReport(now_s, 5.0, 1, probe=1) for _ in range(1000)]
        controller.take_reports(now_s, same, round_trip_s=0.05)

    assert controller.target_bps <= CEILING_BPS
    assert sum(len(part) for part in _sequences(controller)) < 20_000


def _sequences(thing: object, depth: int = 0) -> list:
    """Return all lists and queues that an object holds."""
    if isinstance(thing, list) or type(thing).__name__ == "deque":
        return [thing]
    if depth > 4 or not hasattr(thing, "__dict__"):
        slots = getattr(type(thing), "__slots__", ())
        return [s for name in slots for s in _sequences(getattr(thing, name, None), depth + 1)]
    return [s for part in vars(thing).values() for s in _sequences(part, depth + 1)]
