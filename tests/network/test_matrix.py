"""Every kind of browser's network with every kind of kernel's, with every kind of server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpuview.testing.stream import StreamProxy
from tests.network.frp import FrpProxy
from tests.network.page import View
from tests.network.table import Cell, Place, render, write_between_marks
from tests.network.topology import Node
from tests.network.world import (
    PORT_MAX,
    PORT_MIN,
    TURN,
    TURN_IP,
    World,
    forwarded,
    static_turn,
)

pytestmark = pytest.mark.network

BROWSERS = ("public", "behind NAT", "behind symmetric NAT")
KERNELS = ("public", "port-forwarded", "FRP", "no way in")
SERVERS = ("none", "STUN", "TURN UDP", "TURN TCP", "TURNS")

_DOCS = Path(__file__).parents[2] / "docs" / "networks.md"
_FRP_PORT_MIN = 20111
_UNREACHABLE = (
    "The kernel has a private address, and nobody tells it the browser's, which hides its own.",
    "the kernel offers only private addresses",
)
_SYMMETRIC = (
    "The browser's NAT has another port for each destination, so that what STUN saw is of no use.",
    "no direct route was found, and there is no TURN server to relay",
)
# Why it cannot connect, and what the page says.
IMPOSSIBLE: dict[Place, tuple[str, str]] = {
    **{(browser, "no way in", "none"): _UNREACHABLE for browser in BROWSERS},
    ("behind symmetric NAT", "no way in", "STUN"): _SYMMETRIC,
}


@pytest.fixture(scope="module")
def cells(artifacts: Path) -> Iterator[dict[Place, Cell]]:
    """Collect what the tests find; write the table if every cell was found."""
    found: dict[Place, Cell] = {}
    yield found
    if len(found) < len(BROWSERS) * len(KERNELS) * len(SERVERS):
        return
    text = render(found, BROWSERS, KERNELS, SERVERS)
    write_between_marks(artifacts / "networks.md", text)
    if os.environ.get("GPUVIEW_WRITE_DOCS"):
        write_between_marks(_DOCS, text)


@pytest.fixture(scope="module")
def warm_world(module_world: World) -> World:
    """Give the world once each browser has played: its first video takes half a second longer."""
    with module_world.stream(module_world.open_office, {}) as stream:
        for node in _browser_nodes(module_world).values():
            with module_world.browser(node).show(stream) as view:
                view.wait_for_state("playing")
    return module_world


@pytest.mark.parametrize("servers", SERVERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_browsers_connect_with_a_kernel(
    warm_world: World,
    world: World,
    cells: dict[Place, Cell],
    artifacts: Path,
    kernel: str,
    servers: str,
) -> None:
    nodes = _browser_nodes(world)
    _leave_only(world, servers)
    possible = [each for each in BROWSERS if (each, kernel, servers) not in IMPOSSIBLE]
    with _kernel(world, kernel, _settings(servers)) as stream, ExitStack() as stack:
        for browser in possible:
            with world.browser(nodes[browser]).show(stream) as view:
                cells[browser, kernel, servers] = _play(view, servers)
                if (browser, kernel, servers) == ("behind NAT", "no way in", "TURN TCP"):
                    view.open_details()
                    view.wait_for_text("relay")
                    view.screenshot(artifacts / "network-relay.png")
        # Giving up takes time, so all of them do it side by side.
        refused = [each for each in BROWSERS if each not in possible]
        views = [
            stack.enter_context(world.browser(nodes[browser]).show(stream)) for browser in refused
        ]
        for browser, view in zip(refused, views, strict=True):
            place = (browser, kernel, servers)
            note = _fail(view, *IMPOSSIBLE[place])
            view.screenshot(artifacts / "network-failed.png")
            with world.browser(nodes[browser]).show(stream, ("webrtc", "comm")) as other:
                cells[place] = Cell(note=note, fallback_ms=_fall_back(other))


def _play(view: View, servers: str) -> Cell:
    assert view.wait_for_state("playing", "failed") == "playing", view.text
    view.wait_for_frames(5)
    pair = view.pair()
    assert pair.is_relayed == servers.startswith("TURN"), pair
    if servers in ("TURN TCP", "TURNS"):
        assert pair.relay_protocol == {"TURN TCP": "tcp", "TURNS": "tls"}[servers]
    return Cell(pair=str(pair), first_frame_ms=view.first_frame_ms())


def _fail(view: View, why: str, sentence: str) -> str:
    view.wait_for_state("failed")
    assert sentence in view.text
    assert "playing" not in view.states()
    return f"{why} A page that may use nothing but WebRTC says: “{sentence}”."


def _fall_back(view: View) -> float:
    """Wait until a view is shown the stream through the kernel; return its first picture's time."""
    assert view.wait_for_state("playing", "failed") == "playing", view.text
    look = view.wait_for_text(" fps")
    assert look["data"]["carrier"] == "comm", look
    assert "through the kernel" in look["text"]
    return view.first_playing_ms()


def _browser_nodes(world: World) -> dict[str, Node]:
    return dict(zip(BROWSERS, (world.public, world.home.host, world.hotel.host), strict=True))


def _settings(servers: str) -> dict[str, str]:
    match servers:
        case "none":
            return {}
        case "STUN":
            return {"GPUVIEW_STUN_URL": TURN.stun_url}
        case "TURN UDP":
            return static_turn(TURN.url("udp"))
        case "TURN TCP":
            return static_turn(TURN.url("tcp"))
        case _:
            return static_turn(TURN.url("tls"))


def _leave_only(world: World, servers: str) -> None:
    """Block every way but the one that is to be shown."""
    if servers.startswith("TURN"):
        world.internet.only_via(TURN_IP)
    if servers in ("TURN TCP", "TURNS"):
        for browser in ("p", "b", "s"):
            world.internet.block(browser)


@contextlib.contextmanager
def _kernel(world: World, kernel: str, settings: dict[str, str]) -> Iterator[StreamProxy]:
    """Run a kernel on its kind of network."""
    office = world.office
    node = world.open_office if kernel == "public" else office.host
    with ExitStack() as stack:
        if kernel == "port-forwarded":
            office.router.forward("udp", PORT_MIN, PORT_MAX)
            settings = forwarded(**settings)
        elif kernel == "FRP":
            stack.enter_context(_frp(world))
            settings = forwarded(GPUVIEW_PUBLIC_PORT_MIN=str(_FRP_PORT_MIN), **settings)
        yield stack.enter_context(world.stream(node, settings))


def _frp(world: World) -> FrpProxy:
    """Let nothing through the office's router but a proxy, which has other ports outside."""
    router = world.office.router
    router.keep_in()
    router.admit("udp", _FRP_PORT_MIN, _FRP_PORT_MIN + PORT_MAX - PORT_MIN)
    return FrpProxy(
        router,
        world.office.host,
        "127.0.0.1",
        PORT_MIN,
        PORT_MAX,
        public_port_min=_FRP_PORT_MIN,
    )
