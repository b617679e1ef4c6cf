"""What a peer may say, however absurd, leaves the target in its bounds."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.controller import CongestionController
from gpuview.media.link.reports import PacketReport

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
