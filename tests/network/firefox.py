"""A real Firefox on a machine of the small internet."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from gpuview.testing.stream import StreamProxy
from tests.bridge import Bridge
from tests.firefox import Firefox
from tests.network.page import FRONT_END, View, page_html
from tests.network.topology import Node
from tests.waiting import wait_until

__all__ = ["FirefoxView", "LabFirefox"]

_WEB_PORT = 8000
_HEAR_S = 0.05

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


class LabFirefox(Firefox):
    """A Firefox on one machine, and a server there for its page.

    Args:
        folder: For its profile and the page.
        preferences: Those that differ from the defaults.
    """

    def __init__(self, node: Node, folder: Path, **preferences: int) -> None:
        self._node = node
        super().__init__(folder, preferences, prefix=node.prefix, connect=node.connect)
        self._serve(folder / "page")

    def _serve(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "index.html").write_text(page_html())
        (folder / "widget.js").write_text((FRONT_END / "widget.js").read_text())
        options = [str(_WEB_PORT), "--bind", "127.0.0.1", "--directory", str(folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._server = self._node.start([sys.executable, "-m", "http.server", *options], **quiet)
        wait_until(lambda: self._node.listens(_WEB_PORT, protocol="tcp"), "the page")

    def show(self, stream: StreamProxy, carriers: Sequence[str] = ("webrtc",)) -> FirefoxView:
        """Show ``stream`` in place of what was shown before."""
        self.open(f"http://localhost:{_WEB_PORT}/")
        return FirefoxView(self, stream, carriers)

    def close(self) -> None:
        """Quit it and its server."""
        super().close()
        self._server.kill()
        self._server.wait()


class FirefoxView(View):
    """A view in Firefox's only tab. A thread carries the messages between page and kernel."""

    def __init__(self, firefox: Firefox, stream: StreamProxy, carriers: Sequence[str]) -> None:
        self._firefox = firefox
        self._bridge = Bridge(stream, carriers)
        self.evaluate("traits => lab.start(traits)", self._bridge.traits)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="firefox")
        self._thread.start()
        self.evaluate("lab.open()")

    def evaluate(self, script: str, argument: object = None) -> Any:
        text = self._firefox.run_async(_EVALUATE, script, argument)
        if text.startswith("!"):
            raise RuntimeError(text)
        return json.loads(text)

    def _carry(self) -> None:
        while not self._closing.wait(_HEAR_S):
            for message in self.evaluate("lab.takeOutbox()"):
                self._bridge.say(message)
            if (news := self._bridge.take_news()) is not None:
                self.evaluate("news => lab.hear(news)", dict(news))

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
