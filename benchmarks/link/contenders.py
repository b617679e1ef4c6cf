"""The two senders, each with the pages that show what it sends."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
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

__all__ = ["CONTENDERS", "Sender"]

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


@dataclass(frozen=True)
class Sender:
    """One contender that runs."""

    pages: list[Tab]
    """One for each stream."""
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
    laboratory: Laboratory, route: Route, n: int, width: int, height: int
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
        kernel.run(_CELL.format(n=n, width=width, height=height))
        pages: list[Tab] = []
        for index in range(n):
            stream = kernel.stream(f"streams[{index}]")
            pages.append(stack.enter_context(laboratory.browser.show(stream)))
        _watch(pages)

        def move(is_moving: bool) -> None:
            kernel.run(f"for each in moving: each.{'set' if is_moving else 'clear'}()")

        def report() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = kernel.evaluate(_REPORT)
            return found

        yield Sender(pages=pages, tops=[kernel.pid], move=move, report=report)


@contextlib.contextmanager
def _stock(
    laboratory: Laboratory, route: Route, n: int, width: int, height: int
) -> Iterator[Sender]:
    with ExitStack() as stack:
        coturn = stack.enter_context(laboratory.route(route))
        ice_servers = []
        if coturn is not None:
            url = coturn.url("tcp" if route == "turn-tcp" else "udp")
            ice_servers.append({"urls": [url], "username": USER, "credential": PASSWORD})
        pages: list[Tab] = []
        servers: list[Any] = []
        for _ in range(n):
            command = [sys.executable, "-m", "benchmarks.link.stock", str(width), str(height)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            server = laboratory.sender.start(command, cwd=_ROOT, text=True, bufsize=1, **pipes)
            stack.callback(_end, server)
            servers.append(server)
            pages.append(stack.enter_context(laboratory.browser.open()))
        _watch(pages, lambda page, index: _connect(page, servers[index], ice_servers))

        def move(is_moving: bool) -> None:
            for server in servers:
                server.stdin.write(json.dumps({"is_moving": is_moving}) + "\n")

        yield Sender(pages=pages, tops=[each.pid for each in servers], move=move, report=list)


def _connect(page: Tab, server: Any, ice_servers: list[dict[str, Any]]) -> None:
    arguments = [ice_servers, VIEWER]
    offer = page.evaluate("([servers, address]) => bench.offer(servers, address)", arguments)
    server.stdin.write(json.dumps({"sdp": offer}) + "\n")
    page.evaluate("sdp => bench.answer(sdp)", json.loads(server.stdout.readline())["sdp"])


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.communicate()


def _watch(pages: list[Tab], connect: Callable[[Tab, int], None] | None = None) -> None:
    """Let the pages record what they show, and wait until each shows something."""
    for index, page in enumerate(pages):
        page.evaluate(_PAGE)
        page.evaluate("bench.start()")
        if connect is not None:
            connect(page, index)
    for page in pages:
        wait_until(
            lambda page=page: page.evaluate("bench.samples.length"),
            "the page shows a frame",
            describe=lambda page=page: page.evaluate("[bench.problems(), document.body.innerText]"),
        )


CONTENDERS: dict[
    str, Callable[[Laboratory, Route, int, int, int], AbstractContextManager[Sender]]
] = {"gpuview": _gpuview, "stock aiortc": _stock}
