"""What the tests ask a page about the way by which its first view's picture comes."""

from __future__ import annotations

from typing import Any

from tests.browser.lab import NotebookPage

__all__ = ["BLOCKED", "WATCHED", "carrier_of", "details", "seen", "text"]

BLOCKED = """
window.pass_ = false;
const Original = RTCPeerConnection;
window.RTCPeerConnection = class extends Original {
  constructor(configuration) {
    super({ ...configuration, iceTransportPolicy: window.pass_ ? "all" : "relay" });
  }
};
"""
"""As on a network that lets no UDP pass, until ``pass_`` is set: no side hears of an address."""

WATCHED = """
window.seen = { drawn: 0, blank: 0, pictures: [], states: [] };
let began = null;
const { drawImage } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.drawImage = function (source, ...rest) {
  if (source instanceof VideoFrame) window.seen.drawn += 1;
  return drawImage.call(this, source, ...rest);
};
const look = () => {
  const screens = [...document.querySelectorAll(".gpuview-video")];
  const kind = screens[0]?.tagName;
  const { pictures, states } = window.seen;
  const state = document.querySelector(".gpuview")?.dataset.state;
  if (state !== undefined) began ??= performance.now();
  if (state !== states.at(-1)?.[1]) states.push([performance.now() - began, state]);
  if (kind !== undefined && pictures.at(-1) !== kind) pictures.push(kind);
  if (pictures.length > 0 && !screens.some((screen) => screen.clientWidth > 1)) {
    window.seen.blank += 1;
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
"""Keeps in ``seen`` how often each kind of screen was drawn on or seen, as the page paints, and the
first view's states, each with the time since the page had the view, in ms."""


def carrier_of(notebook: NotebookPage) -> str | None:
    """Return what carries the picture: webrtc, socket or comm; None before there is one."""
    found: str | None = notebook.page.evaluate(
        "document.querySelector('.gpuview').dataset.carrier ?? null"
    )
    return found


def details(notebook: NotebookPage) -> str:
    """Return the text of the details, which are opened for that."""
    button = notebook.page.locator(".gpuview-details-button")
    if button.get_attribute("aria-expanded") == "false":
        button.click()
    return text(notebook, ".gpuview-details")


def text(notebook: NotebookPage, selector: str) -> str:
    """Return the text of the one element that the CSS selector finds."""
    return notebook.page.locator(selector).inner_text()


def seen(notebook: NotebookPage, what: str) -> Any:
    """Return one of the counts that `WATCHED` keeps."""
    return notebook.page.evaluate("what => window.seen[what]", what)
