"""A hub behind one router, and a Chromium behind another, for each test."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.lab import launch_chromium
from tests.chromium import chromium_behind
from tests.hub.hub import PORT, Hub
from tests.network.topology import Internet, Lan, Node

StartHub = Callable[[str], Hub]

GUIDE = Path(__file__).parents[2] / "docs" / "jupyterhub.md"
PUBLIC_IP = "203.0.113.10"
TURN_IP = "198.18.0.10"
# Chromium looks up the names of WebRTC servers with a trailing dot.
_HOSTS = f"""
127.0.0.1 localhost
127.0.1.1 {socket.gethostname()}
{TURN_IP} turn.example.org turn.example.org.
"""


def documented(heading: str) -> str:
    """Return the ``jupyterhub_config.py`` that the guide has under a heading."""
    found = re.search(rf"^## {heading}\n.*?```python\n(.*?)```", GUIDE.read_text(), re.S | re.M)
    assert found is not None, f"the guide has no example under {heading!r}"
    return found[1]


@pytest.fixture
def internet() -> Iterator[Internet]:
    with Internet() as internet:
        yield internet


@pytest.fixture
def office(internet: Internet) -> Lan:
    """The hub's machine and its router, which forwards the hub's own port."""
    office = internet.lan("k", wan=f"{PUBLIC_IP}/28", host="192.168.77.2/24", nat="symmetric")
    office.router.forward("tcp", PORT, PORT)
    _name_hosts(office.host)
    return office


@pytest.fixture
def home(internet: Internet) -> Lan:
    """The machine of the people who use the hub."""
    home = internet.lan("b", wan="198.51.100.36/28", host="10.0.0.20/24", nat="symmetric")
    _name_hosts(home.host)
    return home


@pytest.fixture
def turn_host(internet: Internet) -> Node:
    """A machine with a public address: turn.example.org."""
    return internet.host("t", f"{TURN_IP}/24")


def _name_hosts(node: Node) -> None:
    # `ip netns exec` shows each file of this folder to its command as one of /etc.
    Path("/etc/netns", node.name, "hosts").write_text(_HOSTS)


@pytest.fixture
def start_hub(office: Lan, tmp_path: Path) -> Iterator[StartHub]:
    """Give a function that starts a hub with lines of an administrator's configuration."""
    with ExitStack() as stack:

        def start(config: str) -> Hub:
            home = tmp_path / "hub"
            home.mkdir()
            return stack.enter_context(Hub(office.host, home, PUBLIC_IP, config))

        yield start


@pytest.fixture
def chromium(home: Lan, tmp_path: Path) -> Iterator[Browser]:
    """A Chromium at home."""
    script = chromium_behind(home.host.prefix, tmp_path)
    with sync_playwright() as playwright, launch_chromium(playwright, script) as browser:
        yield browser
