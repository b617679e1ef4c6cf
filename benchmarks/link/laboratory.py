"""The machines: a sender and a coturn on the open internet, and a browser behind a poor link.

Where a scenario asks for one, a second browser has a link of its own that is never poor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Self

from gpuview.testing.link import Way
from tests.network.coturn import Coturn
from tests.network.link import Link
from tests.network.page import Chromium, Playwright
from tests.network.topology import Internet
from tests.turnserver import certificate

__all__ = ["FAST", "NEIGHBOUR", "ROUTES", "VIEWER", "Laboratory", "Route", "way"]

VIEWER = "198.51.100.20"
NEIGHBOUR = "198.51.100.36"
_SENDER = "203.0.113.20"
_TURN = Coturn("198.18.0.10")

Route = Literal["direct", "turn-udp", "turn-tcp"]
ROUTES: tuple[Route, ...] = ("direct", "turn-udp", "turn-tcp")


def way(rate_bps: float = 20e6, *, loss: float = 0.0, jitter_s: float = 0.0) -> Way:
    """Return one direction of the link: 25 ms of delay and 200 ms of queue."""
    return Way(rate_bps=rate_bps, delay_s=0.025, queue_s=0.2, loss=loss, jitter_s=jitter_s)


FAST = way()


class Laboratory:
    """The machines, with the browser.

    Args:
        folder: For all their files.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        enter = self._stack.enter_context
        self._folder = folder
        try:
            self._playwright = enter(Playwright())
            self._internet = enter(Internet())
            self.link = enter(Link())
            self.sender = self._internet.host("k", f"{_SENDER}/28")
            self._server = self._internet.host("t", f"{_TURN.address}/24")
            viewer = self._internet.host("p", f"{VIEWER}/28", cable=self.link.connect)
            for host in (self._server, viewer):
                # Each connection begins without what TCP has learnt in the scenario before.
                host.run("sysctl -qw net.ipv4.tcp_no_metrics_save=1")
            enter(_TURN.run(self._server, folder, certificate(folder / "tls", _TURN.address)))
            self._browsers = {VIEWER: enter(Chromium(self._playwright, viewer, folder))}
        except BaseException:
            self.close()
            raise

    def browser(self, address: str) -> Chromium:
        """Return the viewer's browser, or the neighbour's: that one starts when first asked for."""
        if address not in self._browsers:
            host = self._internet.host("n", f"{address}/28")
            chromium = Chromium(self._playwright, host, self._folder)
            self._browsers[address] = self._stack.enter_context(chromium)
        return self._browsers[address]

    def browser_pids(self) -> list[int]:
        """Return the ids of all processes of all browsers."""
        return [pid for browser in self._browsers.values() for pid in browser.pids()]

    @contextlib.contextmanager
    def route(self, route: Route) -> Iterator[Coturn | None]:
        """Let media take only this route for a while; give the server that they need for it."""
        self.link.change(down=FAST, up=FAST)
        if route != "direct":
            self._internet.only_via(_TURN.address)
        try:
            yield None if route == "direct" else _TURN
        finally:
            self._internet.open_up()

    def close(self) -> None:
        """Remove everything."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
