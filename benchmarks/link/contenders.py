"""The two senders, each with the pages that show what it sends."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

from benchmarks.link.laboratory import VIEWER, Laboratory, Route
from gpuview.testing.kernel import Kernel
from tests.network.coturn import PASSWORD, USER
from tests.network.page import Tab
from tests.waiting import wait_until

__all__ = ["CONTENDERS", "Sender", "Viewer"]

_ROOT = Path(__file__).parents[2]
_PAGE = (Path(__file__).parent / "page.js").read_text()

_CELL = """
import torch
from gpuview import GPUStream
from benchmarks.link.scene import Texture, play

def show(stream):
    return play(lambda pixels: stream.push(torch.from_numpy(pixels)), Texture({width}, {height}))

streams = [GPUStream() for _ in range({n})]
moving = [show(stream) for stream in streams]
"""
_REPORT = """[
    {
        kind: [{name: getattr(each, name) for name in each.__struct_fields__} for each in found]
        for kind, found in (("viewers", stats.viewers), ("encoders", stats.encoders))
    }
    for stats in [stream.stats() for stream in streams]
]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A page that shows a stream."""

    name: str = ""
    """Unless it is the only one."""
    stream: int = 0
    address: str = VIEWER


@dataclass(frozen=True)
class Sender:
    """One contender that runs."""

    pages: Mapping[Viewer, Tab]
    tops: list[int]
    """The ids of its first processes."""
    move: Callable[[bool], None]
    """Makes all streams move, or stand still."""
    report: Callable[[], list[dict[str, Any]]]
    """What it says of itself."""

    def pids(self) -> list[int]:
        """Return the ids of all its processes."""
        children = (psutil.Process(pid).children(recursive=True) for pid in self.tops)
        return [*self.tops, *(each.pid for each in chain.from_iterable(children))]


@contextlib.contextmanager
def _gpuview(
    laboratory: Laboratory, route: Route, viewers: Sequence[Viewer], width: int, height: int
) -> Iterator[Sender]:
    with ExitStack() as stack:
        coturn = stack.enter_context(laboratory.route(route))
        settings = {"GPUVIEW_PUBLIC_IP": "", "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}"}
        if coturn is not None:
            settings["GPUVIEW_TURN_URL"] = coturn.url("tcp" if route == "turn-tcp" else "udp")
            settings |= {"GPUVIEW_TURN_USERNAME": USER, "GPUVIEW_TURN_CREDENTIAL": PASSWORD}
        kernel = stack.enter_context(
            Kernel(prefix=laboratory.sender.prefix, env=settings, cwd=_ROOT)
        )
        n_streams = 1 + max(viewer.stream for viewer in viewers)
        kernel.run(_CELL.format(n=n_streams, width=width, height=height))
        pages: dict[Viewer, Tab] = {}
        for viewer in viewers:
            stream = kernel.stream(f"streams[{viewer.stream}]")
            browser = laboratory.browser(viewer.address)
            pages[viewer] = stack.enter_context(browser.show(stream))
        _watch(pages)

        def move(is_moving: bool) -> None:
            kernel.run(f"for each in moving: each.{'set' if is_moving else 'clear'}()")

        def report() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = kernel.evaluate(_REPORT)
            return found

        yield Sender(pages=pages, tops=[kernel.pid], move=move, report=report)


@contextlib.contextmanager
def _stock(
    laboratory: Laboratory, route: Route, viewers: Sequence[Viewer], width: int, height: int
) -> Iterator[Sender]:
    """Start a server for each viewer: it encodes for each connection anyway."""
    with ExitStack() as stack:
        coturn = stack.enter_context(laboratory.route(route))
        ice_servers = []
        if coturn is not None:
            url = coturn.url("tcp" if route == "turn-tcp" else "udp")
            ice_servers.append({"urls": [url], "username": USER, "credential": PASSWORD})
        pages: dict[Viewer, Tab] = {}
        servers: dict[Viewer, Any] = {}
        for viewer in viewers:
            command = [sys.executable, "-m", "benchmarks.link.stock", str(width), str(height)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            server = laboratory.sender.start(command, cwd=_ROOT, text=True, bufsize=1, **pipes)
            stack.callback(_end, server)
            servers[viewer] = server
            pages[viewer] = stack.enter_context(laboratory.browser(viewer.address).open())

        def connect(viewer: Viewer) -> None:
            _connect(pages[viewer], servers[viewer], ice_servers, viewer.address)

        _watch(pages, connect)

        def move(is_moving: bool) -> None:
            for server in servers.values():
                server.stdin.write(json.dumps({"is_moving": is_moving}) + "\n")

        tops = [server.pid for server in servers.values()]
        yield Sender(pages=pages, tops=tops, move=move, report=list)


def _connect(page: Tab, server: Any, ice_servers: list[dict[str, Any]], address: str) -> None:
    arguments = [ice_servers, address]
    offer = page.evaluate("([servers, address]) => bench.offer(servers, address)", arguments)
    server.stdin.write(json.dumps({"sdp": offer}) + "\n")
    page.evaluate("sdp => bench.answer(sdp)", json.loads(server.stdout.readline())["sdp"])


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.communicate()


def _watch(pages: Mapping[Viewer, Tab], connect: Callable[[Viewer], None] | None = None) -> None:
    """Let the pages record what they show, and wait until each shows something."""
    for viewer, page in pages.items():
        page.evaluate(_PAGE)
        page.evaluate("bench.start()")
        if connect is not None:
            connect(viewer)
    for page in pages.values():
        wait_until(
            lambda page=page: page.evaluate("bench.samples.length"),
            "the page shows a frame",
            describe=lambda page=page: page.evaluate("[bench.problems(), document.body.innerText]"),
        )


CONTENDERS: dict[
    str,
    Callable[[Laboratory, Route, Sequence[Viewer], int, int], AbstractContextManager[Sender]],
] = {"gpuview": _gpuview, "stock aiortc": _stock}
