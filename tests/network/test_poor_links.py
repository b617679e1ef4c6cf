"""On a poor link the picture keeps moving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gpuview.media.link.tcp_stalls import LONGEST_DELAY_S
from gpuview.testing.kernel import Kernel
from gpuview.testing.link import Way
from tests.network.coturn import PASSWORD, USER, Coturn
from tests.network.link import Link
from tests.network.page import Chromium, Playwright, View
from tests.network.topology import Internet
from tests.turnserver import certificate
from tests.waiting import wait_until

pytestmark = pytest.mark.network

# Two textures that drift across each other: no motion vector fits both, so it takes many bits.
_TEXTURE = """
import torch
from gpuview import GPUStream

coarse = torch.randint(128, (2, 90, 160), dtype=torch.uint8)
one, other = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
turn = 0

def source():
    global turn
    turn += 3
    return one.roll(turn, dims=1) + other.roll(-turn, dims=1)

stream = GPUStream(source, fps=30)
display(stream)
"""
_FAST = Way(rate_bps=20e6, delay_s=0.025)
_LOSSY = Way(rate_bps=100e6, delay_s=0.025, loss=0.1)
_LATE = Way(delay_s=0.4)  # what the page asks for again takes long, so that whoever waits is seen
_RETRANSMISSION_S = _LOSSY.delay_s + _LATE.delay_s
_FRAMES = 90
_SLOWER = 4  # a picture that does not follow its link is slower by more than ten times


@dataclass(frozen=True)
class _Assembly:
    """From the first packet of each frame to its last."""

    frames: int
    seconds: float


@dataclass(frozen=True)
class _Remote:
    """A browser that shows a kernel's picture across a link."""

    link: Link
    view: View

    def assembly(self) -> _Assembly:
        """Return how long frames of several packets took, all together."""
        (video,) = (each for each in self.view.stats() if each["type"] == "inbound-rtp")
        return _Assembly(video["framesAssembledFromMultiplePackets"], video["totalAssemblyTime"])

    def time_ms(self) -> float:
        """Return how long some frames take from now on."""
        began_ms = self.view.look()["now"]
        self.view.wait_for_frames(_FRAMES)
        return float(self.view.look()["last"]) - began_ms


@pytest.fixture(scope="module")
def module_remote(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Remote]:
    folder: Path = tmp_path_factory.mktemp("link")
    with Internet() as internet, Link() as link:
        viewer = internet.host("p", "198.51.100.20/28", cable=link.connect)
        sender = internet.host("k", "203.0.113.20/28")
        link.change(down=_FAST, up=_FAST)
        with (
            Kernel(prefix=sender.prefix, env={"GPUVIEW_PUBLIC_IP": ""}) as kernel,
            Chromium(playwright, viewer, folder) as chromium,
        ):
            kernel.run(_TEXTURE)
            with chromium.show(kernel.stream()) as view:
                yield _Remote(link, view)


@pytest.fixture
def remote(module_remote: _Remote) -> _Remote:
    """The view, playing on a fast link."""
    module_remote.link.change(down=_FAST, up=_FAST)
    module_remote.view.wait_for_state("playing")
    module_remote.view.wait_for_frames(_FRAMES)
    return module_remote


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(Way(rate_bps=2e6, delay_s=0.025), id="2 Mbit/s"),
        pytest.param(Way(rate_bps=1e6, delay_s=0.025), id="1 Mbit/s"),
        pytest.param(Way(rate_bps=20e6, delay_s=0.025, loss=0.1), id="10 % loss"),
    ],
)
def test_the_picture_moves_on_when_the_link_gets_poor(remote: _Remote, way: Way) -> None:
    fast_ms = remote.time_ms()
    remote.link.change(down=way)
    assert remote.time_ms() < _SLOWER * fast_ms
    assert remote.view.connections() == 1


def test_the_picture_moves_on_after_an_outage_of_300_ms(remote: _Remote) -> None:
    fast_ms = remote.time_ms()
    remote.link.cut(0.3)
    assert remote.time_ms() < _SLOWER * fast_ms
    assert remote.view.connections() == 1


def test_a_page_holds_pictures_back_while_its_relay_by_tcp_stalls(
    playwright: Playwright, tmp_path: Path
) -> None:
    turn = Coturn("198.18.0.10")
    settings = {
        "GPUVIEW_PUBLIC_IP": "",
        "GPUVIEW_TURN_URL": turn.url("tcp"),
        "GPUVIEW_TURN_USERNAME": USER,
        "GPUVIEW_TURN_CREDENTIAL": PASSWORD,
    }
    with Internet() as internet, Link() as link:
        viewer = internet.host("p", "198.51.100.20/28", cable=link.connect)
        sender = internet.host("k", "203.0.113.20/28")
        server = internet.host("t", f"{turn.address}/24")
        internet.only_via(turn.address)
        link.change(down=_FAST, up=_FAST)
        with (
            turn.run(server, tmp_path, certificate(tmp_path / "tls", turn.address)),
            Kernel(prefix=sender.prefix, env=settings) as kernel,
            Chromium(playwright, viewer, tmp_path) as chromium,
        ):
            kernel.run(_TEXTURE)
            with chromium.show(kernel.stream()) as view:
                view.wait_for_frames(_FRAMES)

                def held_back_ms() -> float:
                    return float(kernel.evaluate("stream.stats().viewers[0].playout_delay_ms"))

                link.change(down=replace(_FAST, loss=0.1), up=_FAST)
                wait_until(held_back_ms, "the page holds pictures back")
                assert held_back_ms() <= LONGEST_DELAY_S * 1000
                view.wait_for_frames(_FRAMES)
                assert view.connections() == 1


def test_nearly_no_frame_waits_for_a_retransmission(remote: _Remote) -> None:
    remote.link.change(down=_LOSSY, up=_LATE)
    remote.view.wait_for_frames(_FRAMES)  # by then the loss is noticed
    before = remote.assembly()
    remote.view.wait_for_frames(2 * _FRAMES)
    after = remote.assembly()
    waiting_s = after.seconds - before.seconds
    assert waiting_s / _RETRANSMISSION_S < 0.1 * (after.frames - before.frames)
