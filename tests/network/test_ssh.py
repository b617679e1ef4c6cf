"""Only ``ssh -L`` leads to the kernel's machine: a view there, with and without a TURN server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.carriers import WATCHED, carrier_of, details, seen, text
from tests.browser.lab import NotebookPage, launch_chromium
from tests.browser.views import wait_for_states
from tests.chromium import chromium_behind
from tests.network.remote_lab import RemoteLab
from tests.network.ssh import ssh_tunnel
from tests.network.world import OFFICE, PORT_MAX, PORT_MIN, RAMP, World, forwarded
from tests.turnserver import LOOPBACK, TurnServer
from tests.waiting import wait_until

pytestmark = pytest.mark.network

JUPYTER_PORT = 8888
TURN_PORT = 3478
COTURN = f"{LOOPBACK}\nlistening-port={TURN_PORT}\nlt-cred-mech\nuser=me:secret\nrealm=ssh\n"
SETTINGS = {
    "GPUVIEW_PUBLIC_IP": "127.0.0.1",
    "GPUVIEW_TURN_URL": f"turn:localhost:{TURN_PORT}?transport=tcp",
    "GPUVIEW_TURN_USERNAME": "me",
    "GPUVIEW_TURN_CREDENTIAL": "secret",
    "GPUVIEW_ICE_TRANSPORT_POLICY": "relay",
    "GPUVIEW_KERNEL_ICE_SERVERS": "[]",
}
STREAM = RAMP + "stream = GPUStream(source, fps=30)\nstream"
# What the details say of WebRTC.
TRIED = f"{OFFICE}:{PORT_MIN} being tried"
GIVEN_UP = f"no reply came from {OFFICE}:{PORT_MIN}"


@pytest.fixture
def chromium(world: World, tmp_path: Path) -> Iterator[Browser]:
    """A Chromium at home."""
    script = chromium_behind(world.home.host.prefix, tmp_path)
    with sync_playwright() as playwright, launch_chromium(playwright, script) as browser:
        yield browser


@pytest.mark.parametrize(
    ("has_extension", "carrier", "caption"),
    [(True, "socket", "playing over WebSocket"), (False, "comm", "playing through the kernel")],
)
def test_where_udp_is_dropped_jupyters_own_port_brings_the_picture(
    world: World,
    chromium: Browser,
    tmp_path: Path,
    has_extension: bool,
    carrier: str,
    caption: str,
) -> None:
    # The kernel's ports are forwarded: nothing but the drop keeps UDP from it.
    world.office.router.forward("udp", PORT_MIN, PORT_MAX)
    world.internet.only_via()
    laptop = world.home.host
    with (
        RemoteLab(
            world.office.host, tmp_path / "lab", forwarded(), has_extension=has_extension
        ) as lab,
        ssh_tunnel(laptop, world.office, OFFICE, tmp_path / "ssh", JUPYTER_PORT),
    ):
        path = lab.write_notebook("stream", [STREAM])
        notebook = NotebookPage(lab, chromium.new_context(), path, init_script=WATCHED)
        notebook.run(0)
        wait_for_states(notebook, "playing")
        assert (carrier_of(notebook), text(notebook, ".gpuview-label")) == (carrier, caption)
        wait_until(lambda: TRIED in details(notebook), "WebRTC is tried")
        assert GIVEN_UP not in details(notebook), "nobody had to wait for that"
        wait_until(lambda: seen(notebook, "drawn") > 30, "the picture moves")
        assert seen(notebook, "blank") == 0


def test_a_turn_server_beside_the_kernel_plays_through_forwarded_tcp(
    world: World, tmp_path: Path
) -> None:
    world.internet.only_via()
    kernel, laptop = world.office.host, world.home.host
    with (
        TurnServer(tmp_path / "turn", COTURN, kernel.prefix),
        ssh_tunnel(laptop, world.office, OFFICE, tmp_path / "ssh", TURN_PORT),
        world.stream(kernel, SETTINGS) as stream,
        world.browser(laptop).show(stream) as view,
    ):
        assert view.wait_for_state("playing", "failed") == "playing", view.text
        view.wait_for_frames(30)
        pair = view.pair()
        assert (pair.local, pair.relay_protocol) == ("relay", "tcp")
        assert pair.address.startswith("127.0.0.1:")
