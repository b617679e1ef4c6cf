"""One JupyterLab for all browser tests, a Chromium per module, a notebook and kernel per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

import gpuview
from tests.browser.lab import Lab, NotebookPage, launch_chromium

OpenNotebook = Callable[..., NotebookPage]


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


@pytest.fixture
def open_notebook(lab: Lab, chromium: BrowserContext) -> Iterator[OpenNotebook]:
    """Open a notebook with the given cells, or the one at ``path``, in its own browser tab.

    All tabs are closed after the test, which fails if a process outlives its kernel.
    """
    names = count()

    def open_(*cells: str, path: str | None = None, init_script: str = "") -> NotebookPage:
        path = path or lab.write_notebook(f"test-{next(names)}", cells)
        return NotebookPage(lab, chromium, path, init_script=init_script)

    yield open_
    for page in chromium.pages:
        page.close()
    lab.shutdown_kernels()
