"""One JupyterLab for all browser tests, a Chromium per module, a notebook and kernel per test.

Loading JupyterLab takes a browser longer than most tests do, so a module's notebooks share a tab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

import gpuview
from tests.browser.lab import Lab, NotebookPage, launch_chromium

OpenNotebook = Callable[..., NotebookPage]

_numbers = count()  # of notebooks


@pytest.fixture(autouse=True)
def no_leaks() -> None:
    """Replace the check of the other tests, because Chromium keeps processes as it likes.

    `open_notebook` finds what kernels leave behind.
    """


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab whose kernels import the package under test."""
    package = Path(gpuview.__file__).parents[1]
    with Lab(tmp_path_factory.mktemp("lab"), {"PYTHONPATH": str(package)}) as lab:
        yield lab


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserContext]:
    """A running Chromium, with JupyterLab in its cache from the second notebook on.

    One per module, not per session: while Playwright runs, its event loop counts as the main
    thread's, and tests that run a loop of their own would fail.
    """
    with sync_playwright() as playwright, launch_chromium(playwright) as browser:
        yield browser.new_context(viewport={"width": 1100, "height": 1000})


class SharedTab:
    """The module's browser tab, which is loaded when it is first needed.

    Args:
        lab: What it shows.
        chromium: Where it opens.
    """

    def __init__(self, lab: Lab, chromium: BrowserContext) -> None:
        self._lab = lab
        self._chromium = chromium
        self._latest: NotebookPage | None = None

    def open(self, path: str) -> NotebookPage:
        """Open a notebook in it."""
        if self._latest is None or self._latest.page.is_closed():
            self._latest = NotebookPage(self._lab, self._chromium, path)
        else:
            self._latest = self._latest.open_beside(path)
        return self._latest

    def tidy(self) -> None:
        """Close all other tabs, and the notebooks in this one, unless the test has closed it."""
        kept = self._latest.page if self._latest else None
        for page in self._chromium.pages:
            if page is not kept:
                page.close()
        if self._latest is None or self._latest.page.is_closed():
            self._latest = None
            return
        self._latest.discard_notebooks()
        if self._latest.page.locator(".jp-Dialog").count():
            self.close()  # nobody will answer

    def close(self) -> None:
        """Close it, so that the next notebook loads another."""
        if self._latest is not None:
            self._latest.page.close()
            self._latest = None


@pytest.fixture(scope="module")
def shared_tab(lab: Lab, chromium: BrowserContext) -> SharedTab:
    """The module's browser tab."""
    return SharedTab(lab, chromium)


@pytest.fixture
def open_notebook(
    lab: Lab, chromium: BrowserContext, shared_tab: SharedTab
) -> Iterator[OpenNotebook]:
    """Open a notebook with the given cells, or the one at ``path``.

    The first of a test is in the module's tab. A further one has a tab of its own, as has one with
    an ``init_script``. All are closed after the test, which fails if a process outlives its kernel.
    """
    is_first = True

    def open_(*cells: str, path: str | None = None, init_script: str = "") -> NotebookPage:
        nonlocal is_first
        path = path or lab.write_notebook(f"test-{next(_numbers)}", cells)
        shares, is_first = is_first and not init_script, False
        if shares:
            return shared_tab.open(path)
        return NotebookPage(lab, chromium, path, init_script=init_script)

    yield open_
    shared_tab.tidy()
    lab.shutdown_kernels()
    (lab.notebooks / "stop").unlink(missing_ok=True)  # by which a test has ended a cell
