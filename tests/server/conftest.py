"""A Jupyter server with one kernel for each module, a media process that a test speaks for, and a
browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.lab import launch_chromium
from tests.server.jupyter import JupyterServer
from tests.server.media import FakeMedia


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    home = tmp_path_factory.mktemp("jupyter")
    options = {"ServerApp.base_url": "/user/alice/", "GPUViewServer.max_sockets": 5}
    with JupyterServer(home, options) as server:
        yield server


@pytest.fixture(scope="module")
def kernel_id(server: JupyterServer) -> str:
    return server.start_kernel()


@pytest.fixture
def media(server: JupyterServer, kernel_id: str) -> Iterator[FakeMedia]:
    with FakeMedia(server.runtime_dir, kernel_id) as media:
        yield media


@pytest.fixture
def place(kernel_id: str) -> str:
    return f"{kernel_id}/s1"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright, launch_chromium(playwright) as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as context:
        yield context.new_page()
