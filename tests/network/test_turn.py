"""TURN and STUN servers on either side: used if needed, named if they fail, never in the way."""

from __future__ import annotations

import json
import re
import time

import pytest

from gpuview.testing.kernel import Kernel
from gpuview.testing.stream import StreamProxy
from gpuview.webrtc.ephemeral_credentials import ephemeral_credentials
from tests.network.coturn import PASSWORD, USER
from tests.network.page import Chromium, Pair, View
from tests.network.topology import DEAD
from tests.network.world import (
    PORT_MAX,
    PORT_MIN,
    REST_TURN,
    SECRET,
    TURN,
    TURN_IP,
    World,
    forwarded,
    rest_turn,
    static_turn,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.network

# Waiting for a dead server costs this and more; a direct connection takes 0.2 to 1 s in all.
_DEAD_MS = 5000
# How long a page waits for a connection.
_PATIENCE_MS = 15_000
_SILENT = f"turn:{DEAD}:3478"
_CLOSED = f"turn:{TURN_IP}:9"  # nobody listens there, and ICMP says so


@pytest.fixture
def home(world: World) -> Chromium:
    """The browser behind the NAT."""
    return world.browser(world.home.host)


@pytest.fixture(scope="module")
def direct_ms(module_world: World) -> float:
    """The time to the first frame when there are no servers at all."""
    module_world.reset()
    module_world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    browser = module_world.browser(module_world.home.host)
    with module_world.stream(module_world.office.host, forwarded()) as stream:
        return _direct_first_frame_ms(browser, stream)


# --- where it is needed -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["static", "secret"])
def test_a_relay_of_the_browsers_reaches_a_forwarded_kernel(
    world: World, home: Chromium, kind: str
) -> None:
    world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    world.internet.only_via(TURN_IP)
    settings = forwarded(**_turn(kind), GPUVIEW_KERNEL_ICE_SERVERS="[]")
    with world.stream(world.office.host, settings) as stream, home.show(stream) as view:
        pair = _play(view)
        assert (pair.local, pair.relay_protocol) == ("relay", "udp")
        assert (pair.remote, pair.address) == ("host", f"203.0.113.10:{PORT_MIN}")


@pytest.mark.parametrize("kind", ["static", "secret"])
def test_a_relay_of_the_kernels_reaches_a_browser_that_has_only_stun(
    world: World, home: Chromium, kind: str
) -> None:
    world.internet.only_via(TURN_IP)
    server = TURN if kind == "static" else REST_TURN
    username, credential = (USER, PASSWORD) if kind == "static" else _minted("kernel")
    relays = [{"urls": [server.url()], "username": username, "credential": credential}]
    settings = {
        "GPUVIEW_ICE_SERVERS": json.dumps([{"urls": [TURN.stun_url]}]),
        "GPUVIEW_KERNEL_ICE_SERVERS": json.dumps(relays),
    }
    with world.stream(world.office.host, settings) as stream, home.show(stream) as view:
        pair = _play(view)
        assert pair.relay_protocol == ""
        assert pair.remote == "relay"
        assert pair.address.startswith(f"{TURN_IP}:")


def test_each_viewer_has_credentials_of_its_own(world: World, home: Chromium) -> None:
    world.internet.only_via(TURN_IP)
    settings = _turn("secret")
    with (
        world.stream(world.office.host, settings) as stream,
        home.show(stream) as one,
        home.show(stream) as other,
    ):
        assert _play(one).is_relayed
        assert _play(other).is_relayed

        def users() -> set[str]:
            return set(re.findall(r"username=<(\d+:[^>]+)>", world.rest_turnserver.log))

        # Two pages and the kernel.
        wait_until(lambda: len(users()) >= 3, "three users are in the log", describe=users)
        assert SECRET not in one.evaluate("document.body.innerHTML")


@pytest.mark.parametrize(
    ("page", "kernel", "expected"),
    [
        ("relay", "relay", ("relay", "relay")),
        ("relay", "all", ("relay", None)),
        ("all", "relay", (None, "relay")),
    ],
)
def test_the_policy_relay_is_kept_where_a_direct_way_is_open(
    world: World, page: str, kernel: str, expected: tuple[str | None, str | None]
) -> None:
    policies = {
        "GPUVIEW_ICE_TRANSPORT_POLICY": page,
        "GPUVIEW_KERNEL_ICE_TRANSPORT_POLICY": kernel,
    }
    settings = {**static_turn(TURN.url()), **policies}
    public = world.browser(world.public)
    with world.stream(world.open_office, settings) as stream, public.show(stream) as view:
        pair = _play(view)
        for found, wanted in zip((pair.local, pair.remote), expected, strict=True):
            assert wanted in (None, found), pair


def test_all_urls_are_tried_not_only_the_first(world: World, home: Chromium) -> None:
    world.internet.only_via(TURN_IP)
    settings = static_turn(_SILENT, _CLOSED, TURN.url())
    with world.stream(world.office.host, settings) as stream, home.show(stream) as view:
        assert _play(view).is_relayed


# --- where it is not ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["none", "wrong password", "silent", "closed", "dead STUN"])
def test_a_server_that_is_not_needed_is_not_used_and_delays_nobody(
    world: World, home: Chromium, direct_ms: float, fault: str
) -> None:
    world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    settings = forwarded(**_faulty(fault))
    with world.stream(world.office.host, settings) as stream:
        assert _direct_first_frame_ms(home, stream) < direct_ms + _DEAD_MS


# --- where it fails -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong password", "401"),
        ("silent", f"{_SILENT} has not replied"),
        ("closed", _CLOSED),
    ],
)
def test_a_failing_server_is_named_on_the_page_and_in_the_log_while_they_still_try(
    world: World, home: Chromium, fault: str, words: str
) -> None:
    world.internet.only_via(TURN_IP)
    with (
        world.kernel(world.office.host, _faulty(fault)) as kernel,
        home.show(kernel.stream()) as view,
    ):
        look = view.wait_for_text(words)
        assert [state for _, state in look["states"]] == ["connecting"]
        wait_until(
            lambda: any(words in line for line in _warnings(kernel)),
            f"the kernel's log has {words!r}",
            describe=lambda: _warnings(kernel),
        )
        assert PASSWORD not in view.text
        assert not any(PASSWORD in line for line in kernel.evaluate("log"))


def test_with_the_policy_relay_a_refusal_is_the_end_at_once(world: World, home: Chromium) -> None:
    policy = {"GPUVIEW_ICE_TRANSPORT_POLICY": "relay"}
    settings = {**_faulty("wrong password"), **policy}
    with world.stream(world.office.host, settings) as stream, home.show(stream) as view:
        view.wait_for_state("failed")
        assert view.look()["states"][-1][0] < _PATIENCE_MS
        assert "401" in view.text


def _turn(kind: str) -> dict[str, str]:
    return static_turn(TURN.url()) if kind == "static" else rest_turn()


def _minted(user: str) -> tuple[str, str]:
    return ephemeral_credentials(SECRET, user, now_s=time.time(), ttl_s=600)


def _faulty(fault: str) -> dict[str, str]:
    match fault:
        case "none":
            return static_turn(TURN.url())
        case "wrong password":
            return static_turn(TURN.url(), password="wrong")
        case "silent":
            return static_turn(_SILENT)
        case "closed":
            return static_turn(_CLOSED)
        case _:
            return {"GPUVIEW_STUN_URL": f"stun:{DEAD}:3478"}


def _direct_first_frame_ms(browser: Chromium, stream: StreamProxy) -> float:
    with browser.show(stream) as view:
        assert not _play(view).is_relayed
        return view.first_frame_ms()


def _play(view: View) -> Pair:
    assert view.wait_for_state("playing", "failed") == "playing", view.text
    return view.pair()


def _warnings(kernel: Kernel) -> list[str]:
    return [line for line in kernel.evaluate("log") if line.startswith("WARNING")]
