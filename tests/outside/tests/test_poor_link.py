"""A poor link, without root."""

from __future__ import annotations

from glow import Plate, plate

from gpuview import GPUStream
from gpuview.testing import connect


def test_plate_is_seen_over_a_link_that_loses_packets() -> None:
    with (
        GPUStream(Plate()) as stream,
        connect(stream, loss=0.05, delay_ms=40, rate_bps=2_000_000, seed=1) as viewer,
    ):
        viewer.wait_for_frames(60)
        viewer.assert_shows(plate(19), tolerance=12)
        assert viewer.link is not None
        assert viewer.link.down.traffic.lost > 0
        assert viewer.latency_ms().p50 > 40
