"""What a real browser says of its link reaches the sender."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from gpuview.media.link.controller import START_BPS
from gpuview.media.rtp.packets import TRANSPORT_CC_URI
from gpuview.testing.kernel import Kernel
from tests.network.world import PORT_MAX, PORT_MIN, World, forwarded
from tests.waiting import wait_until

pytestmark = pytest.mark.network


class Figures(NamedTuple):
    """What `stats` says of one viewer's link."""

    estimate_bps: float
    sent_bps: float
    loss: float
    round_trip_ms: float | None
    tier: str
    quantiser: int | None


def link(kernel: Kernel) -> Figures | None:
    """Return the figures of the only viewer's link; None before there is one."""
    values = ", ".join(f"each.{name}" for name in Figures._fields)
    found = kernel.evaluate(f"[({values}) for each in stream.stats().viewers]")
    return Figures(*found[0]) if found else None


def test_chromium_reports_on_each_packet_and_a_fast_link_is_found(world: World) -> None:
    world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    with (
        world.kernel(world.office.host, forwarded()) as kernel,
        world.browser(world.home.host).show(kernel.stream()) as view,
    ):
        assert view.wait_for_state("playing", "failed") == "playing", view.text

        def grown() -> Figures | None:
            found = link(kernel)
            has_grown = found and found.estimate_bps > 4 * START_BPS and found.sent_bps > 0
            return found if has_grown else None

        found = wait_until(grown, "the estimate has grown", describe=lambda: link(kernel))
        assert found is not None
        assert found.loss < 0.1
        assert found.round_trip_ms is not None
        assert (found.tier, found.quantiser is not None) == ("full", True)
        view.wait_for_frames(30)
        assert TRANSPORT_CC_URI in view.answer()

        # On one machine, so the true latency is known to be more than nothing and less than this.
        latency_ms = wait_until(
            lambda: kernel.evaluate("stream.stats().viewers[0].latency_p50_ms"), "a latency"
        )
        assert 0 < latency_ms < 10_000
        assert "latency" in view.evaluate("document.querySelector('.gpuview-figures').title")
