"""Ports that lead to the kernel: through a router, through an FRP-like proxy, over IPv6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gpuview.testing.stream import StreamProxy
from tests.network.frp import FrpProxy
from tests.network.page import Chromium, Playwright, View
from tests.network.world import PORT_MAX, PORT_MIN, World, forwarded

pytestmark = pytest.mark.network

_EACH = 2


@pytest.mark.parametrize("target", ["127.0.0.1", "192.168.77.2"])
def test_many_viewers_share_one_port_of_an_frp_proxy(world: World, target: str) -> None:
    router = world.office.router
    router.keep_in()
    router.admit("udp", PORT_MIN, PORT_MAX)
    browsers = [world.browser(node) for node in (world.public, world.home.host, world.hotel.host)]
    with (
        FrpProxy(router, world.office.host, target, PORT_MIN, PORT_MAX),
        world.stream(world.office.host, forwarded()) as stream,
    ):
        _play_all(browsers, stream, f"203.0.113.10:{PORT_MIN}")


def test_many_viewers_share_one_port_that_a_router_maps_to_another(world: World) -> None:
    world.office.router.forward("udp", 20111, 20115, to=PORT_MIN)
    browsers = [world.browser(node) for node in (world.public, world.home.host, world.hotel.host)]
    settings = forwarded(GPUVIEW_PUBLIC_PORT_MIN="20111")
    with world.stream(world.office.host, settings) as stream:
        _play_all(browsers, stream, "203.0.113.10:20111")
        sockets = world.office.host.run("ss -Hanu").splitlines()
        assert [line.split()[3] for line in sockets] == [f"0.0.0.0:{PORT_MIN}"]


@pytest.fixture
def ipv6_world(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(playwright, tmp_path_factory.mktemp("ipv6"), has_ipv6=True) as world:
        # No IPv4: what plays, plays over IPv6.
        world.internet.only_via()
        yield world


def test_ipv6_leads_to_a_public_kernel_and_through_a_forwarding_router(ipv6_world: World) -> None:
    world = ipv6_world
    browser = world.browser(world.public)
    with world.stream(world.open_office, {}) as stream, browser.show(stream) as view:
        assert _play(view).startswith("[2001:db8:2::20]:")

    world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    settings = forwarded(GPUVIEW_PUBLIC_IP="203.0.113.10,2001:db8:1::10")
    with world.stream(world.office.host, settings) as stream, browser.show(stream) as view:
        assert _play(view) == f"[2001:db8:1::10]:{PORT_MIN}"


def _play_all(browsers: list[Chromium], stream: StreamProxy, address: str) -> None:
    with ExitStack() as stack:
        views = [stack.enter_context(each.show(stream)) for each in browsers for _ in range(_EACH)]
        for view in views:
            assert _play(view) == address
        for view in views:
            view.wait_for_frames(10)


def _play(view: View) -> str:
    assert view.wait_for_state("playing", "failed") == "playing", view.text
    return view.pair().address
