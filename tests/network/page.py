"""A real Chromium on a machine of the small internet, and the real front end in it.

Playwright lives in a thread of its own, so that page and kernel hear each other while the test
waits, sleeps or cuts cables.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright
from playwright.async_api import Error as PlaywrightError

import gpuview
from gpuview.testing.stream import StreamProxy
from tests.bridge import Bridge
from tests.chromium import ARGS, chromium_behind
from tests.network.topology import Node
from tests.waiting import wait_until

__all__ = [
    "FRONT_END",
    "Chromium",
    "ChromiumView",
    "Pair",
    "Playwright",
    "Tab",
    "View",
    "page_html",
    "selected_pair",
]

T = TypeVar("T")

FRONT_END = Path(gpuview.__file__).parent / "static"
_HERE = Path(__file__).parent
_CALL_S = 60.0
_TRUST_ALL = "--ignore-certificate-errors"  # the TURN server's


class Playwright:
    """Playwright's driver, with the thread that it runs in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="playwright")
        self._thread.start()
        self._manager = async_playwright()
        self.driver = self.call(self._manager.__aenter__())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the thread without waiting for it; any thread may call this."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        self.call(self._manager.__aexit__(None, None, None))
        self.call(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Chromium:
    """One headless Chromium on one machine.

    Args:
        folder: For the script that starts it.
    """

    def __init__(self, playwright: Playwright, node: Node, folder: Path) -> None:
        self._playwright = playwright
        self._node = node
        before = set(node.pids())
        self._browser: Browser = playwright.call(
            playwright.driver.chromium.launch(
                executable_path=chromium_behind(node.prefix, folder), args=[*ARGS, _TRUST_ALL]
            )
        )
        self._before = before

    def show(self, stream: StreamProxy, carriers: Sequence[str] = ("webrtc",)) -> ChromiumView:
        """Open a page of its own with a view of ``stream``."""
        context = self._playwright.call(self._new_context())
        return ChromiumView(self._playwright, context, stream, carriers)

    def open(self) -> Tab:
        """Open a page of its own without a view."""
        return Tab(self._playwright, self._playwright.call(self._new_context()))

    async def _new_context(self) -> BrowserContext:
        context = await self._browser.new_context(viewport={"width": 800, "height": 640})
        await context.route("http://localhost/**", _serve)
        return context

    @property
    def version(self) -> str:
        return self._browser.version

    @property
    def is_alive(self) -> bool:
        """Whether it has not been killed."""
        return self._browser.is_connected()

    def pids(self) -> list[int]:
        """The ids of all its processes."""
        return [pid for pid in self._node.pids() if pid not in self._before]

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut does."""
        self._signal(signal.SIGKILL)

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """Stop all its processes for a while, as closing a laptop's lid does."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        self._playwright.call(self._browser.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _serve(route: Route) -> None:
    if route.request.url.endswith("/widget.js"):
        await route.fulfill(path=FRONT_END / "widget.js", content_type="text/javascript")
    else:
        await route.fulfill(body=page_html(), content_type="text/html")


def page_html() -> str:
    """Return the page: the front end's style, and the page's half of the model."""
    style = (FRONT_END / "widget.css").read_text()
    script = (_HERE / "page.js").read_text()
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><script>{script}</script>"


@dataclass(frozen=True)
class Pair:
    """The two ends of a connection, as the browser sees them."""

    local: str
    """host, srflx, prflx or relay."""
    remote: str
    address: str
    """The kernel's, as address:port."""
    relay_protocol: str
    """udp, tcp or tls where the local end is a relay, else empty."""

    @property
    def is_relayed(self) -> bool:
        """Whether the media passes a TURN server.

        Through a proxy a relay is called prflx, as nobody but the proxy knows the address by which
        the kernel knows it.
        """
        return "relay" in (self.local, self.remote) or self.relay_protocol != ""

    def __str__(self) -> str:
        local = f"relay {self.relay_protocol}" if self.relay_protocol else self.local
        return f"{local} → {self.remote} {self.address}"


def selected_pair(stats: list[dict[str, Any]]) -> Pair | None:
    """Find the pair that carries the media in what ``getStats`` said."""
    known = {entry["id"]: entry for entry in stats}
    chosen = next(
        (e["selectedCandidatePairId"] for e in stats if "selectedCandidatePairId" in e), ""
    )
    # Firefox has no transport entry.
    nominated = (e for e in stats if e["type"] == "candidate-pair" and e.get("nominated"))
    pair = known.get(chosen) or next((e for e in nominated if e["state"] == "succeeded"), None)
    if pair is None:
        return None
    local, remote = known[pair["localCandidateId"]], known[pair["remoteCandidateId"]]
    address = remote.get("address") or remote.get("ip") or "?"
    return Pair(
        local=local["candidateType"],
        remote=remote["candidateType"],
        address=f"[{address}]:{remote['port']}"
        if ":" in address
        else f"{address}:{remote['port']}",
        relay_protocol=local.get("relayProtocol") or "",
    )


class View:
    """A page with one view of a stream; its subclasses know how to reach the page."""

    def evaluate(self, script: str, argument: object = None) -> Any:
        """Evaluate JavaScript in the page: an expression, or a function of the argument."""
        raise NotImplementedError

    def look(self) -> dict[str, Any]:
        """Return what the view shows; see ``look`` in page.js."""
        found: dict[str, Any] = self.evaluate("lab.look(0)")
        return found

    @property
    def state(self) -> str:
        """The view's state, such as playing."""
        return str(self.look()["state"])

    @property
    def text(self) -> str:
        """What a person reads in the view."""
        return str(self.look()["text"])

    @property
    def frames(self) -> int:
        """How many frames were decoded and shown."""
        return int(self.look()["frames"])

    def states(self) -> list[str]:
        """Return the states that it has gone through."""
        return [state for _, state in self.look()["states"]]

    def connections(self) -> int:
        """Return how many connections the page has made."""
        return int(self.evaluate("lab.connections.length"))

    def wait_for_state(self, *states: str, timeout_s: float = 60.0) -> str:
        """Wait until the view is in one of these states, and return it."""

        def found() -> str:
            state = self.state
            return state if state in states else ""

        what = f"the view is {' or '.join(states)}"
        return wait_until(found, what, timeout_s, describe=self.look)

    def wait_for_text(self, text: str) -> dict[str, Any]:
        """Wait until the view shows ``text``; return how it looked at that moment."""

        def found() -> dict[str, Any]:
            look = self.look()
            return look if text in look["text"] else {}

        return wait_until(found, f"it says {text!r}", describe=self.look)

    def wait_for_frames(self, more: int) -> None:
        """Wait until the view has shown that many more frames."""
        target = self.frames + more
        wait_until(lambda: self.frames >= target, f"{more} frames more", describe=self.look)

    def first_playing_ms(self) -> float:
        """Return the time from rendering the view to its first picture, whatever carries it."""
        return next(float(at_ms) for at_ms, state in self.look()["states"] if state == "playing")

    def first_frame_ms(self) -> float:
        """Return the time from rendering the view to its first decoded frame."""
        return float(self.look()["first"])

    def longest_gap_ms(self, since_ms: float) -> float:
        """Return the longest time without a frame since ``since_ms``, on the view's clock."""
        return float(self.evaluate("since => lab.longestGap(0, since)", since_ms))

    def stats(self) -> list[dict[str, Any]]:
        """Return the statistics of the current connection."""
        found: list[dict[str, Any]] = self.evaluate("lab.stats()")
        return found

    def pair(self) -> Pair:
        """Return the pair that carries the media."""
        return wait_until(lambda: selected_pair(self.stats()), "a selected pair")

    def answer(self) -> str:
        """Return the SDP answer of the current connection."""
        return str(self.evaluate("lab.connections.at(-1).remoteDescription?.sdp"))


class Tab:
    """The laboratory's page, in a tab of Chromium."""

    def __init__(self, playwright: Playwright, context: BrowserContext) -> None:
        self._playwright = playwright
        self._context = context
        self._page: Page = playwright.call(self._open())

    async def _open(self) -> Page:
        page = await self._context.new_page()
        await page.goto("http://localhost/")
        return page

    def evaluate(self, script: str, argument: object = None) -> Any:
        """Evaluate JavaScript in the page: an expression, or a function of the argument."""
        return self._playwright.call(self._page.evaluate(script, argument))

    def screenshot(self, path: Path) -> None:
        """Save what a person sees."""
        path.parent.mkdir(exist_ok=True)
        self._playwright.call(self._screenshot(path))

    async def _screenshot(self, path: Path) -> None:
        await self._page.screenshot(path=path)

    def close(self) -> None:
        """Close the page as a person does, with all its events. Closing again does nothing."""
        with contextlib.suppress(PlaywrightError):  # the browser may have been killed
            self._playwright.call(self._context.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ChromiumView(Tab, View):
    """A view in a tab of Chromium."""

    def __init__(
        self,
        playwright: Playwright,
        context: BrowserContext,
        stream: StreamProxy,
        carriers: Sequence[str],
    ) -> None:
        super().__init__(playwright, context)
        self._bridge = Bridge(stream, carriers)
        self._hearing = asyncio.Lock()
        playwright.call(self._start())
        self._unlisten = stream.listen(lambda: playwright.spawn(self._hear()))
        # Changes between the first look at the traits and now.
        playwright.call(self._hear())
        self.evaluate("lab.open()")

    async def _start(self) -> None:
        await self._page.expose_function("toKernel", self._bridge.say)
        await self._page.evaluate("traits => lab.start(traits)", self._bridge.traits)

    async def _hear(self) -> None:
        async with self._hearing:
            # A page that was closed or killed hears nothing more.
            with contextlib.suppress(PlaywrightError):
                if (news := self._bridge.take_news()) is not None:
                    await self._page.evaluate("news => lab.hear(news)", news)

    def open_details(self) -> None:
        """Open the panel below the picture."""
        self.evaluate("document.querySelector('.gpuview [aria-expanded]').click()")

    def close(self) -> None:
        """Close the page, and hear nothing more."""
        self._unlisten()
        super().close()
