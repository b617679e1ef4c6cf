"""The internet of most tests here: a kernel's office, homes with browsers, a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from gpuview.testing.kernel import Kernel
from gpuview.testing.stream import StreamProxy
from tests.network.coturn import PASSWORD, USER, Coturn
from tests.network.page import Chromium, Playwright
from tests.network.topology import Internet, Lan, Node
from tests.shared_kernel import own_media
from tests.turnserver import TurnServer, certificate

__all__ = [
    "MOVING",
    "OFFICE",
    "OPEN_OFFICE",
    "PORT_MAX",
    "PORT_MIN",
    "RAMP",
    "REST_TURN",
    "SECRET",
    "TURN",
    "TURN_IP",
    "World",
    "forwarded",
    "rest_turn",
    "static_turn",
]

OFFICE = "203.0.113.10"
"""The public address of the router in front of the kernel's machine."""

OPEN_OFFICE = "203.0.113.20"
"""The address of a kernel's machine without a router."""

TURN_IP = "198.18.0.10"
SECRET = "shared-with-coturn-only"
TURN = Coturn(TURN_IP)
REST_TURN = Coturn(TURN_IP, port=3579, tls_port=5449, secret=SECRET)
PORT_MIN = 10111
PORT_MAX = 10115

# Every frame differs, so that a frozen picture is noticed.
RAMP = """
import torch
from gpuview import GPUStream

ramp = torch.arange(640).remainder(256).to(torch.uint8).expand(360, 640)
turn = 0

def source():
    global turn
    turn += 1
    return ramp.roll(turn, dims=1)

"""
MOVING = RAMP + "stream = GPUStream(source, fps=30)\ndisplay(stream)"

_LISTEN = """
import logging

log = []

class Keep(logging.Handler):
    def emit(self, record):
        log.append(f"{record.levelname} {record.getMessage()}")

logging.getLogger("gpuview").addHandler(Keep())
"""


def forwarded(**more: str) -> dict[str, str]:
    """Return the settings of a kernel in the office whose ports the router forwards."""
    ports = {"GPUVIEW_PORT_MIN": str(PORT_MIN), "GPUVIEW_PORT_MAX": str(PORT_MAX)}
    return {"GPUVIEW_PUBLIC_IP": OFFICE, **ports, **more}


def static_turn(*urls: str, password: str = PASSWORD) -> dict[str, str]:
    """Return the settings of a kernel with these TURN servers and the one user they know."""
    login = {"GPUVIEW_TURN_USERNAME": USER, "GPUVIEW_TURN_CREDENTIAL": password}
    return {"GPUVIEW_TURN_URL": ",".join(urls), **login}


def rest_turn() -> dict[str, str]:
    """Return the settings of a kernel that mints credentials for each viewer."""
    return {"GPUVIEW_TURN_URL": REST_TURN.url(), "GPUVIEW_TURN_SECRET": SECRET}


class World:
    """Machines and servers, and the kernels and browsers that a test starts on them.

        k 192.168.77.2 ── kr 203.0.113.10 ──┐           ┌────────────────────── p 198.51.100.20
        open 203.0.113.20 ──────────────────┤ internet  ├── br 198.51.100.36 ── b 10.0.0.20
        t 198.18.0.10 ──────────────────────┘           └── sr 198.51.100.52 ── s 10.0.0.20

    Args:
        playwright: For the browsers.
        folder: For all their files.
        has_ipv6: Whether ``p``, ``open`` and the office's router also have public IPv6 addresses.
    """

    def __init__(self, playwright: Playwright, folder: Path, *, has_ipv6: bool = False) -> None:
        self._playwright = playwright
        self._folder = folder
        self._browsers: dict[str, Chromium] = {}
        self._kernels: dict[str, Kernel] = {}
        self._stack = ExitStack()
        self.internet = self._stack.enter_context(Internet(has_ipv6=has_ipv6))
        try:
            self._build(has_ipv6)
        except BaseException:
            self.close()
            raise

    def _build(self, has_ipv6: bool) -> None:
        def each(ipv4: str, ipv6: str) -> list[str]:
            return [ipv4, ipv6] if has_ipv6 else [ipv4]

        join = self.internet
        self.office: Lan = join.lan(
            "k",
            wan=each(f"{OFFICE}/28", "2001:db8:1::10/64"),
            host=each("192.168.77.2/24", "fd00:77::2/64"),
        )
        self.open_office: Node = join.host("open", *each(f"{OPEN_OFFICE}/28", "2001:db8:2::20/64"))
        self.public: Node = join.host("p", *each("198.51.100.20/28", "2001:db8:3::20/64"))
        self.home: Lan = join.lan("b", wan="198.51.100.36/28", host="10.0.0.20/24")
        self.hotel: Lan = join.lan(
            "s", wan="198.51.100.52/28", host="10.0.0.20/24", nat="symmetric"
        )
        self.server: Node = join.host("t", f"{TURN_IP}/24")
        self._certificate = certificate(self._folder / "certificate", TURN_IP)
        self.turnserver = self._run(TURN, "turn")
        self.rest_turnserver = self._run(REST_TURN, "rest-turn")

    def _run(self, coturn: Coturn, name: str) -> TurnServer:
        server = coturn.run(self.server, self._folder / name, self._certificate)
        return self._stack.enter_context(server)

    @contextlib.contextmanager
    def kernel(self, node: Node, settings: Mapping[str, str]) -> Iterator[Kernel]:
        """Run a kernel with a moving stream on a machine; gpuview's log is in its ``log``."""
        with self._start_kernel(node, settings) as kernel:
            kernel.run(_LISTEN + MOVING)
            yield kernel

    @contextlib.contextmanager
    def stream(self, node: Node, settings: Mapping[str, str]) -> Iterator[StreamProxy]:
        """Give a moving stream in a media process of its own; the machine's kernel stays."""
        kernel = self._kernels.get(node.name)
        if kernel is None:
            kernel = self._stack.enter_context(self._start_kernel(node, {}))
            self._kernels[node.name] = kernel
        with own_media(kernel, settings):
            kernel.run(MOVING)
            yield kernel.stream()

    def _start_kernel(self, node: Node, settings: Mapping[str, str]) -> Kernel:
        # An empty variable counts as unset. Left out, the harness would set it.
        env = {"GPUVIEW_PUBLIC_IP": "", "SSL_CERT_FILE": str(self._certificate[0])}
        return Kernel(prefix=node.prefix, env={**env, **settings})

    @property
    def kernel_pids(self) -> set[int]:
        """The kernels that stay until the world ends."""
        return {kernel.pid for kernel in self._kernels.values()}

    def browser(self, node: Node) -> Chromium:
        """Return the machine's Chromium; start it first if it does not run."""
        found = self._browsers.get(node.name)
        if found is None or not found.is_alive:
            found = self._stack.enter_context(Chromium(self._playwright, node, self._folder))
            self._browsers[node.name] = found
        return found

    def reset(self) -> None:
        """Open every way, forward nothing and forget all flows."""
        self.internet.open_up()
        for lan in (self.office, self.home, self.hotel):
            lan.router.reset()

    def close(self) -> None:
        """Remove everything."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
