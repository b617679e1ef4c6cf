"""Where the browser is: on the kernel's machine, or behind an ``ssh -L`` that is the only way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.lab import Lab, launch_chromium
from tests.chromium import chromium_behind
from tests.network.page import Playwright
from tests.network.remote_lab import RemoteLab
from tests.network.ssh import ssh_tunnel
from tests.network.world import OFFICE, World

__all__ = ["behind_ssh", "same_machine"]

_ROOT = Path(__file__).parents[2]
_ENV = {
    "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}",
    "PYTHONDONTWRITEBYTECODE": "",  # an installed package is not compiled at each start
}
_JUPYTER_PORT = 8888


@contextlib.contextmanager
def same_machine(folder: Path) -> Iterator[tuple[Lab, Browser]]:
    """Give a JupyterLab and a Chromium beside it."""
    with (
        Lab(folder / "lab", _ENV, has_extension=True) as lab,
        sync_playwright() as playwright,
        launch_chromium(playwright) as browser,
    ):
        yield lab, browser


@contextlib.contextmanager
def behind_ssh(folder: Path) -> Iterator[tuple[Lab, Browser]]:
    """Give a JupyterLab behind one router and a Chromium behind another; all UDP is dropped.

    Jupyter's port comes to the browser by a real ``ssh -L``. Needs root.
    """
    with ExitStack() as stack:
        enter = stack.enter_context
        world = enter(World(enter(Playwright()), folder))
        world.internet.only_via()
        lab = enter(RemoteLab(world.office.host, folder / "lab", _ENV, has_extension=True))
        laptop = world.home.host
        enter(ssh_tunnel(laptop, world.office, OFFICE, folder / "ssh", _JUPYTER_PORT))
        chromium = chromium_behind(laptop.prefix, folder)
        browser = enter(launch_chromium(enter(sync_playwright()), chromium))
        yield lab, browser
