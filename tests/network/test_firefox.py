"""Firefox, which has no H.264 here, shows no address of its own and ends its candidates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.firefox import LabFirefox
from tests.network.world import PORT_MAX, PORT_MIN, TURN, TURN_IP, World, forwarded, static_turn
from tests.waiting import wait_until

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def firefox(module_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFirefox]:
    with LabFirefox(module_world.home.host, tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


def test_firefox_plays_a_forwarded_kernel(world: World, firefox: LabFirefox) -> None:
    world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    with world.stream(world.office.host, forwarded()) as stream, firefox.show(stream) as view:
        assert view.wait_for_state("playing", "failed") == "playing", view.text
        view.wait_for_frames(30)
        assert view.pair().address == f"203.0.113.10:{PORT_MIN}"
        assert "VP8" in view.text


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_firefox_plays_through_turn(world: World, firefox: LabFirefox, transport: str) -> None:
    world.internet.only_via(TURN_IP)
    if transport == "tcp":
        world.internet.block("b")
    settings = static_turn(TURN.url(transport))
    with world.stream(world.office.host, settings) as stream, firefox.show(stream) as view:
        assert view.wait_for_state("playing", "failed") == "playing", view.text
        view.wait_for_frames(30)
        assert view.pair().is_relayed
        assert view.pair().local == "relay"


def test_firefox_that_blocks_autoplay_shows_a_play_button(world: World, tmp_path: Path) -> None:
    blocked = {"media.autoplay.default": 5, "media.autoplay.blocking_policy": 2}
    with (
        world.stream(world.open_office, {}) as stream,
        LabFirefox(world.public, tmp_path, **blocked) as firefox,
        firefox.show(stream) as view,
    ):
        view.wait_for_state("blocked")
        # Firefox shows the first frame of a video that does not play.
        wait_until(lambda: view.frames, "a first frame")
        assert view.state == "blocked"
        firefox.press("Play")
        view.wait_for_state("playing")
        view.wait_for_frames(30)


def test_firefox_says_why_it_cannot(world: World, firefox: LabFirefox) -> None:
    with world.stream(world.office.host, {}) as stream, firefox.show(stream) as view:
        view.wait_for_state("failed")
        assert "the kernel offers only private addresses" in view.text


def test_firefox_is_shown_the_stream_through_the_kernel(world: World, firefox: LabFirefox) -> None:
    with (
        world.stream(world.office.host, {}) as stream,
        firefox.show(stream, ["webrtc", "comm"]) as view,
    ):
        assert view.wait_for_state("playing", "failed") == "playing", view.text
        look = view.wait_for_text(" fps")
        assert look["data"]["carrier"] == "comm"
