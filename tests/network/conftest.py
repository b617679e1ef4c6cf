"""One small internet for each module; each test finds it open, and without remembered flows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

import pytest

from tests.network.page import Playwright
from tests.network.topology import namespaces
from tests.network.world import World
from tests.processes import command_line, descendants
from tests.waiting import wait_until

_OWN = ("ipykernel", "gpuview.media", "tests.network.frp", "tests.network.link")
_OWN += ("jupyterlab", "ssh ", "dropbear")


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a namespace behind, a kernel, a media process, a proxy or a tunnel.

    Chromium starts and ends its own processes at any time, so they are not checked here. They end
    with their namespace. The kernels of the module's world stay.
    """
    has_world = "module_world" in request.fixturenames
    world: World | None = request.getfixturevalue("module_world") if has_world else None
    before = _holdings()
    yield

    def left() -> set[str]:
        return _holdings(world.kernel_pids if world else ()) - before

    wait_until(lambda: not left(), "nothing is left behind", describe=left)


def _holdings(kept: Collection[int] = ()) -> set[str]:
    own = {pid: command_line(pid) for pid in descendants(os.getpid()) if pid not in kept}
    held = {f"process {pid}: {line}" for pid, line in own.items() if any(w in line for w in _OWN)}
    own_tag = f"gpuview-{os.getpid()}-"
    return held | {f"namespace {name}" for name in namespaces() if name.startswith(own_tag)}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with Playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def module_world(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with World(playwright, tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(module_world: World) -> World:
    """Give the module's world in its initial state."""
    module_world.reset()
    return module_world
