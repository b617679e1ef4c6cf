"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
URL = re.compile(r"http://localhost:\d+/lab/tree/quickstart\.ipynb\?token=\w+")


@pytest.fixture
def demo_url(tmp_path: Path) -> Iterator[str]:
    """Run `make demo` with its own configuration only, and return the URL that it prints."""
    private = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    demo = subprocess.Popen(
        ["make", "demo"],
        cwd=ROOT,
        env={**os.environ, **private, "IPYTHONDIR": str(tmp_path / "ipython")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with demo:
        try:
            yield _printed_url(demo)
        finally:
            os.killpg(demo.pid, signal.SIGTERM)
            try:
                demo.wait(10)
            except subprocess.TimeoutExpired:
                # A server that is told to end may wait for ever for a worker thread of AnyIO's.
                os.killpg(demo.pid, signal.SIGKILL)


def _printed_url(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    printed = []
    for line in demo.stdout:
        printed.append(line)
        if found := URL.search(line):
            return found[0]
    raise AssertionError("make demo ended without a URL:\n" + "".join(printed))


def test_the_printed_url_opens_the_quickstart(demo_url: str, chromium: BrowserContext) -> None:
    page = chromium.new_page()
    page.set_default_timeout(120_000)
    page.goto(demo_url)
    page.locator(".jp-Notebook").get_by_role("heading", name="Quickstart").wait_for()
    page.locator(".jp-CodeCell").first.wait_for()
    page.close()
