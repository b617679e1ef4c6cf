"""People who use a JupyterHub from elsewhere, and an administrator who has read the guide."""

from __future__ import annotations

import json
import os
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
from tests.network.page import Pair, selected_pair
from tests.network.topology import Internet, Lan, Node
from tests.turnserver import TurnServer

pytestmark = [pytest.mark.hub, pytest.mark.network]

# A ramp in motion, so that every frame differs.
STREAM = """
import torch
from gpuview import GPUStream

ramp = torch.arange(640).remainder(256).to(torch.uint8).expand(360, 640)
turn = 0

def source():
    global turn
    turn += 1
    return ramp.roll(turn, dims=1)

stream = GPUStream(source)
stream
"""

# Every RTCPeerConnection, for what only the browser itself can tell.
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
TURN_CHECKS = "[each.mark for each in GPUStream.doctor().checks if each.name.startswith('TURN')]"
TWO_PORTS = 'c.Spawner.environment["GPUVIEW_PORT_MAX"] = "10112"\n'


def test_forwarded_ports_lead_straight_to_the_picture(
    office: Lan, start_hub: StartHub, chromium: Browser, artifacts: Path
) -> None:
    office.router.forward("udp", 10111, 10130)
    notebook = log_in(start_hub(documented("Forwarded ports")), chromium, "alice")
    assert notebook.page.url.startswith(f"http://{PUBLIC_IP}:8000/user/alice/lab/")

    notebook.run(0)
    wait_for_states(notebook, "playing")
    wait_for_frames(notebook, 30)
    pair = pair_of(notebook)
    assert pair.remote == "host"
    assert pair.address == f"{PUBLIC_IP}:10111"
    notebook.page.screenshot(path=artifacts / "hub.png")


def test_each_kernel_takes_a_port_and_who_finds_none_is_told(
    office: Lan, start_hub: StartHub, chromium: Browser
) -> None:
    office.router.forward("udp", 10111, 10112)
    hub = start_hub(documented("Forwarded ports") + TWO_PORTS)
    alice, bob, carol = (log_in(hub, chromium, name) for name in ("alice", "bob", "carol"))

    for notebook in (alice, bob):
        notebook.run(0)
        wait_for_states(notebook, "playing")
        wait_for_frames(notebook, 10)
    assert pair_of(alice).address == f"{PUBLIC_IP}:10111"
    assert pair_of(bob).address == f"{PUBLIC_IP}:10112"

    carol.run(0)
    wait_for_text(carol, "no UDP port from 10111 to 10112 is free")
    wait_for_frames(alice, 10)


def test_where_only_turn_passes_the_picture_comes_by_it(
    internet: Internet,
    turn_host: Node,
    start_hub: StartHub,
    chromium: Browser,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TURN_SECRET", SECRET)
    internet.only_via(TURN_IP)
    config = documented("TURN")
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


def coturn_config(hub_config: str) -> str:
    """Return what ``gpuview config coturn`` prints in a user's terminal."""
    hub = Config()
    exec(hub_config, {"c": hub})
    command = [sys.executable, "-m", "gpuview", "config", "coturn"]
    env = {**os.environ, **hub.Spawner.environment}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def log_in(hub: Hub, chromium: Browser, name: str) -> NotebookPage:
    """Log in with a browser profile of one's own, and open a notebook with one cell."""
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
