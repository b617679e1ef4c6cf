"""The page that shows one stream, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.server.jupyter import JupyterServer
from tests.server.media import FakeMedia, Pages

pytestmark = [pytest.mark.browser, pytest.mark.kernel]

LIVE = {"type": "Status", "state": "live", "part": ""}
LIVE |= {"problem": "", "expected": "", "fix": "", "hint": ""}


@pytest.fixture(autouse=True)
def no_leaks() -> None:
    """Replace the check of the other tests, because Chromium keeps processes as it likes."""


def open_view(server: JupyterServer, page: Page, place: str) -> None:
    """Open the page as a person does who has the server's address with its token."""
    page.goto(f"{server.url}/gpuview/view/{place}?token={server.token}")


def first_of(media: FakeMedia, text: str) -> Pages:
    """Return the page's first connection that says something of this kind."""
    while True:
        pages = media.accept()
        if text.encode() in pages.take()[1]:
            return pages


def test_page_speaks_to_the_media_process_and_breaks_no_rule_of_its_policy(
    server: JupyterServer, media: FakeMedia, page: Page, place: str
) -> None:
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_view(server, page, place)
    pages = first_of(media, "GetPeerConfig")
    pages.send_json(**LIVE)
    expect(page.locator("main")).to_have_attribute("data-status", "live")
    pages.send_json(**LIVE | {"state": "closed"})
    expect(page.locator("main")).to_have_attribute("data-state", "closed")
    assert not complaints


def test_page_without_a_media_process_says_what_to_do(
    server: JupyterServer, page: Page, place: str
) -> None:
    open_view(server, page, place)
    expect(page.locator("main")).to_contain_text("run that cell; this page goes on by itself")


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_page_follows_the_systems_colours(
    server: JupyterServer, page: Page, place: str, scheme: str, is_dark: bool
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    open_view(server, page, place)
    expect(page.locator("main")).to_contain_text("run that cell")
    ground, ink = page.evaluate(
        "[getComputedStyle(document.documentElement).backgroundColor,"
        " getComputedStyle(document.querySelector('main')).color]"
    )
    assert (brightness(ground) < brightness(ink)) == is_dark


def brightness(colour: str) -> int:
    """Return the sum of the three parts of ``rgb(r, g, b)``."""
    return sum(int(part) for part in colour.strip("rgb()").split(","))
