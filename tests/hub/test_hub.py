"""Users of a remote JupyterHub, configured as the guide says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from traitlets.config import Config

from tests.browser.lab import NotebookPage
from tests.browser.views import (
    wait_for_frames,
    wait_for_states,
    wait_for_text,
)
from tests.hub.conftest import PUBLIC_IP, TURN_IP, StartHub, documented
from tests.hub.hub import Hub
from tests.jupyterhub_page import blocks
from tests.network.page import Pair, selected_pair
from tests.network.topology import Internet, Lan, Node
from tests.network.world import RAMP
from tests.turnserver import TurnServer

pytestmark = [pytest.mark.hub, pytest.mark.network]

STREAM = RAMP + "stream = GPUStream(source)\nstream"

# Every RTCPeerConnection, for statistics that only the browser has.
RECORD_CONNECTIONS = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    connections.push(this);
  }
};
"""

SECRET = "known-to-the-hub-and-to-coturn"
# Whether a WebSocket opens.
OPENS = """
url => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => { resolve(true); socket.close(); };
  socket.onclose = () => resolve(false);
})
"""
STATUS = "async url => (await fetch(url)).status"
TURN_CHECKS = "[each.mark for each in GPUStream.doctor().checks if each.name.startswith('TURN')]"
# The service that the servers are told to ask does not run.
NO_SERVICE = """
url = "http://127.0.0.1:10105/services/gpuview/"
c.Spawner.environment["GPUVIEW_TURN_CREDENTIALS_URL"] = url
"""
TWO_PORTS = 'c.Spawner.environment["GPUVIEW_PORT_MAX"] = "10112"\n'


def test_each_kernel_takes_a_forwarded_port_and_a_user_without_one_has_the_websocket_and_is_told(
    office: Lan, start_hub: StartHub, chromium: Browser, artifacts: Path
) -> None:
    office.router.forward("udp", 10111, 10112)
    hub = start_hub(documented("Forwarded ports") + TWO_PORTS)
    alice, bob, carol = (log_in(hub, chromium, name) for name in ("alice", "bob", "carol"))
    assert alice.page.url.startswith(f"http://{PUBLIC_IP}:8000/user/alice/lab/")

    for notebook, port in ((alice, 10111), (bob, 10112)):
        notebook.run(0)
        wait_for_states(notebook, "playing")
        wait_for_frames(notebook, 30)
        pair = pair_of(notebook)
        assert (pair.remote, pair.address) == ("host", f"{PUBLIC_IP}:{port}")
    bob.page.screenshot(path=artifacts / "hub.png")

    carol.run(0)
    wait_for_states(carol, "playing")
    wait_for_text(carol, "playing over WebSocket")
    carol.page.get_by_role("button", name="Details").click()
    wait_for_text(carol, "no UDP port from 10111 to 10112 is free")
    assert pair_of(alice).address == f"{PUBLIC_IP}:10111"
    wait_for_frames(alice, 10)


def test_the_picture_comes_through_turn_if_nothing_else_passes(
    internet: Internet,
    turn_host: Node,
    start_hub: StartHub,
    chromium: Browser,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TURN_SECRET", SECRET)
    internet.only_via(TURN_IP)
    config = documented("A TURN secret in the kernels")
    with TurnServer(tmp_path / "turn", coturn_config(config), turn_host.prefix):
        notebook = log_in(start_hub(config), chromium, "alice")
        notebook.run(0)
        wait_for_states(notebook, "playing")
        wait_for_frames(notebook, 30)
        pair = pair_of(notebook)
        turn = notebook.python(TURN_CHECKS)
    assert "relay" in (pair.local, pair.remote)
    assert turn == ["ok", "ok"]
    saved = json.dumps(notebook.save())
    assert SECRET not in saved
    assert "turn.example.org" not in saved


def test_each_user_relays_with_a_login_that_the_hubs_service_makes(
    internet: Internet, turn_host: Node, start_hub: StartHub, chromium: Browser, tmp_path: Path
) -> None:
    internet.only_via(TURN_IP)
    secret = tmp_path / "turn-secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    config = documented("TURN").replace("/etc/jupyterhub/turn-secret", str(secret))
    (coturn,) = [each.text for each in blocks("ini")]
    with TurnServer(
        tmp_path / "turn", coturn.replace("THE-SECRET", SECRET), turn_host.prefix
    ) as turn:
        hub = start_hub(config)
        alice, bob = (log_in(hub, chromium, name) for name in ("alice", "bob"))
        for notebook in (alice, bob):
            notebook.run(0)
            wait_for_states(notebook, "playing")
            wait_for_frames(notebook, 30)
            pair = pair_of(notebook)
            assert "relay" in (pair.local, pair.remote)
        checks = alice.python(TURN_CHECKS)
        logins = set(re.findall(r"user <\d+:(\w+)>.*ALLOCATE processed, success", turn.log))
    assert checks == ["ok", "ok", "ok"]
    assert logins == {"alice", "bob"}
    saved = json.dumps(alice.save())
    assert SECRET not in saved
    assert "turn.example.org" not in saved


def test_where_no_logins_are_to_be_had_the_view_says_so_and_takes_the_direct_path(
    office: Lan, start_hub: StartHub, chromium: Browser
) -> None:
    office.router.forward("udp", 10111, 10112)
    hub = start_hub(documented("Forwarded ports") + TWO_PORTS + NO_SERVICE)
    alice = log_in(hub, chromium, "alice")
    alice.run(0)
    wait_for_states(alice, "playing")
    wait_for_frames(alice, 30)
    assert pair_of(alice).address == f"{PUBLIC_IP}:10111"
    alice.page.get_by_role("button", name="Details").click()
    wait_for_text(alice, "there is no TURN login: http://127.0.0.1:10105/services/gpuview/ cannot")
    assert "there is no TURN login" not in json.dumps(alice.save())


def test_where_udp_is_blocked_the_proxy_leads_to_streams_and_only_their_own_user(
    internet: Internet, office: Lan, start_hub: StartHub, chromium: Browser
) -> None:
    # Nothing but the block keeps UDP from the kernel.
    office.router.forward("udp", 10111, 10112)
    internet.only_via()
    hub = start_hub(documented("Forwarded ports") + TWO_PORTS)
    alice, bob = (log_in(hub, chromium, name) for name in ("alice", "bob"))
    alice.run(0)
    wait_for_states(alice, "playing")
    wait_for_text(alice, "playing over WebSocket")

    place = f"{alice.kernel_id}/s1"
    base = "/user/alice/gpuview"
    health = alice.page.evaluate("async url => (await fetch(url)).json()", f"{base}/health")
    assert alice.kernel_id in health["kernels"]

    for notebook, status, opens in ((alice, 200, True), (bob, 403, False)):
        assert notebook.page.evaluate(STATUS, f"{base}/view/{place}") == status
        assert notebook.page.evaluate(OPENS, f"{base}/socket/{place}") == opens
    # Bob's own server has no such kernel, though both may have the same runtime directory.
    assert bob.page.evaluate(STATUS, f"/user/bob/gpuview/view/{place}") == 404
    assert not bob.page.evaluate(OPENS, f"/user/bob/gpuview/socket/{place}")


def coturn_config(hub_config: str) -> str:
    """Return what ``gpuview config coturn`` prints in a user's terminal."""
    hub = Config()
    exec(hub_config, {"c": hub})
    command = [sys.executable, "-m", "gpuview", "config", "coturn"]
    env = {**os.environ, **hub.Spawner.environment}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def log_in(hub: Hub, chromium: Browser, name: str) -> NotebookPage:
    """Log in with a separate browser profile, and open a notebook with one cell."""
    context = chromium.new_context(viewport={"width": 1100, "height": 1000})
    server = hub.log_in(context, name)
    path = server.write_notebook("stream", [STREAM])
    return NotebookPage(server, context, path, init_script=RECORD_CONNECTIONS)


def pair_of(notebook: NotebookPage) -> Pair:
    """Return the pair that carries the picture."""
    stats = notebook.page.evaluate(
        "async () => [...(await connections.at(-1).getStats()).values()]"
    )
    pair = selected_pair(stats)
    assert pair is not None
    return pair
