"""A real headless Firefox, driven over its own Marionette protocol."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.waiting import wait_until

__all__ = ["Firefox"]

_START_S = 120.0
_TIMEOUT_S = 60.0

_PREFERENCES = {
    "marionette.port": 0,  # any
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


class _Marionette:
    """The protocol: ``length:[type, id, command, parameters]`` over TCP. Any thread may ask."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._stream = connection.makefile("rb")
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


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)


class Firefox:
    """One headless Firefox with one tab. Any thread may drive it.

    Args:
        folder: For its profile.
        preferences: Those that differ from the defaults.
        env: Environment variables in addition to this process's.
        prefix: The words to put before its command.
        connect: Returns a TCP connection to a port of its machine's loopback device.
    """

    def __init__(
        self,
        folder: Path,
        preferences: Mapping[str, int] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        connect: Callable[[int], socket.socket] = _connect,
    ) -> None:
        self._profile = folder / "profile"
        self._profile.mkdir(parents=True)
        chosen = {**_PREFERENCES, **(preferences or {})}
        lines = [f'user_pref("{name}", {json.dumps(value)});\n' for name, value in chosen.items()]
        (self._profile / "user.js").write_text("".join(lines))
        self._log = folder / "firefox.log"
        self._process = self._start([*prefix, "firefox-esr"], env or {})
        try:
            port = wait_until(self._port, "Firefox listens", _START_S, describe=self._log.read_text)
            self._marionette = _Marionette(connect(port))
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._marionette.ask("WebDriver:NewSession", capabilities={})
        self._marionette.ask("WebDriver:SetTimeouts", script=int(_TIMEOUT_S * 1000))

    def _start(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        options = ["--headless", "--marionette", "--no-remote", "--profile", str(self._profile)]
        home = {"HOME": str(self._profile.parent), "MOZ_CRASHREPORTER_DISABLE": "1"}
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*command, *options],
                env={**os.environ, **home, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _port(self) -> int:
        """Return the port that it says it listens on; 0 before."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self._profile / "MarionetteActivePort").read_text())
        return 0

    def open(self, url: str) -> None:
        """Load a page in place of the one before."""
        self._marionette.ask("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a function beside the page's own scripts; return what it returns."""
        return self._execute("ExecuteScript", script, arguments)

    def run_async(self, script: str, *arguments: object) -> Any:
        """Run the body of a function whose last argument is to be called with the result."""
        return self._execute("ExecuteAsyncScript", script, arguments)

    def _execute(self, command: str, script: str, arguments: Sequence[object]) -> Any:
        return self._marionette.ask(
            f"WebDriver:{command}", script=script, args=list(arguments), sandbox="default"
        )["value"]

    def press(self, name: str) -> None:
        """Press the button with this accessible name, with the mouse."""
        path = f'//button[@aria-label="{name}" or normalize-space()="{name}"]'
        found = self._marionette.ask("WebDriver:FindElement", using="xpath", value=path)
        (element,) = found["value"].values()
        self._marionette.ask("WebDriver:ElementClick", id=element)

    def close(self) -> None:
        """Quit it."""
        with contextlib.suppress(ConnectionError):
            self._marionette.ask("Marionette:Quit", flags=["eForceQuit"])
        self._marionette.close()
        self._process.wait(_START_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
