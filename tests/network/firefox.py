"""A real Firefox on a machine of the small internet, driven over its own Marionette protocol."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from gpuview.testing.stream import StreamProxy
from tests.bridge import Bridge
from tests.network.page import FRONT_END, View, page_html
from tests.network.topology import Node
from tests.waiting import wait_until

__all__ = ["Firefox", "FirefoxView"]

_PORT = 2828
_WEB_PORT = 8000
_START_S = 120.0
_HEAR_S = 0.05

_PREFERENCES = f"""
user_pref("marionette.port", {_PORT});
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
"""

# Marionette's scripts run in a sandbox; the page's own `eval` runs in the page.
_EVALUATE = """
const [script, argument, done] = arguments;
const page = window.wrappedJSObject;
page.eval(`(async argument => {
  const value = (${script});
  const result = typeof value === "function" ? await value(JSON.parse(argument)) : await value;
  return JSON.stringify(result ?? null);
})`)(JSON.stringify(argument)).then(done, (error) => done(`!${error}`));
"""


class _Marionette:
    """The protocol: ``length:[type, id, command, parameters]`` over TCP. Any thread may ask."""

    def __init__(self, node: Node) -> None:
        self._socket = node.connect(_PORT)
        self._stream = self._socket.makefile("rb")
        self._lock = threading.Lock()
        self._read()  # it says which version it speaks

    def ask(self, command: str, **parameters: object) -> Any:
        with self._lock:
            text = json.dumps([0, 1, command, parameters]).encode()
            self._socket.sendall(f"{len(text)}:".encode() + text)
            _, _, error, result = self._read()
        if error is not None:
            raise RuntimeError(f"{command}: {error['message']}")
        return result

    def _read(self) -> Any:
        length = b""
        while (digit := self._stream.read(1)) != b":":
            if not digit:
                raise ConnectionError("Firefox has gone")
            length += digit
        return json.loads(self._stream.read(int(length)))

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class Firefox:
    """One headless Firefox on one machine, and a server there for its page.

    Args:
        folder: For its profile and the page.
        preferences: Those that differ from the defaults.
    """

    def __init__(self, node: Node, folder: Path, **preferences: int) -> None:
        self._node = node
        self._profile = folder / "profile"
        self._profile.mkdir(parents=True)
        lines = [f'user_pref("{name}", {value});\n' for name, value in preferences.items()]
        (self._profile / "user.js").write_text(_PREFERENCES + "".join(lines))
        self._serve(folder / "page")
        self._process = self._start(folder)
        wait_until(lambda: node.listens(_PORT, protocol="tcp"), "Firefox listens", _START_S)
        self._marionette = _Marionette(node)
        self._marionette.ask("WebDriver:NewSession", capabilities={})
        self._marionette.ask("WebDriver:SetTimeouts", script=60_000)

    def _serve(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "index.html").write_text(page_html())
        (folder / "widget.js").write_text((FRONT_END / "widget.js").read_text())
        options = [str(_WEB_PORT), "--bind", "127.0.0.1", "--directory", str(folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._server = self._node.start([sys.executable, "-m", "http.server", *options], **quiet)
        wait_until(lambda: self._node.listens(_WEB_PORT, protocol="tcp"), "the page", _START_S)

    def _start(self, folder: Path) -> subprocess.Popen[Any]:
        options = ["--headless", "--marionette", "--no-remote", "--profile", str(self._profile)]
        with (folder / "firefox.log").open("wb") as log:
            return self._node.start(
                ["firefox-esr", *options],
                env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def show(self, stream: StreamProxy, carriers: Sequence[str] = ("webrtc",)) -> FirefoxView:
        """Show ``stream`` in place of what was shown before."""
        self._marionette.ask("WebDriver:Navigate", url=f"http://localhost:{_WEB_PORT}/")
        return FirefoxView(self._marionette, stream, carriers)

    def close(self) -> None:
        """Quit it."""
        with contextlib.suppress(ConnectionError):
            self._marionette.ask("Marionette:Quit", flags=["eForceQuit"])
        self._marionette.close()
        self._process.wait(_START_S)
        self._server.kill()
        self._server.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FirefoxView(View):
    """A view in Firefox's only tab. A thread carries the messages between page and kernel."""

    def __init__(
        self, marionette: _Marionette, stream: StreamProxy, carriers: Sequence[str]
    ) -> None:
        self._marionette = marionette
        self._bridge = Bridge(stream, carriers)
        self.evaluate("traits => lab.start(traits)", self._bridge.traits)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="firefox")
        self._thread.start()
        self.evaluate("lab.open()")

    def evaluate(self, script: str, argument: object = None) -> Any:
        arguments = [script, argument]
        text = self._marionette.ask(
            "WebDriver:ExecuteAsyncScript", script=_EVALUATE, args=arguments, sandbox="default"
        )["value"]
        if text.startswith("!"):
            raise RuntimeError(text)
        return json.loads(text)

    def _carry(self) -> None:
        while not self._closing.wait(_HEAR_S):
            for message in self.evaluate("lab.takeOutbox()"):
                self._bridge.say(message)
            if (news := self._bridge.take_news()) is not None:
                self.evaluate("news => lab.hear(news)", dict(news))

    def press(self, name: str) -> None:
        """Press the button with this accessible name, with the mouse."""
        selector = f'[aria-label="{name}"]'
        found = self._marionette.ask("WebDriver:FindElement", using="css selector", value=selector)
        (element,) = found["value"].values()
        self._marionette.ask("WebDriver:ElementClick", id=element)

    def close(self) -> None:
        """Close the view and its model, as closing the notebook does."""
        self.evaluate("lab.close()")
        self._closing.set()
        self._thread.join()
        for message in self.evaluate("lab.takeOutbox()"):
            self._bridge.say(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
