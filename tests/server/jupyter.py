"""A real Jupyter server with real kernels, and what its users' programs say to it."""

from __future__ import annotations

import json
import os
import secrets
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, Self

import psutil
import websocket

from tests.jupyter_up import wait_until_up

__all__ = ["JupyterServer", "Reply", "closing_of"]

_STOP_S = 60.0
_TIMEOUT_S = 30.0
_WITHOUT = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")


class Reply:
    """An HTTP reply, whatever its status."""

    def __init__(self, status: int, headers: HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode()

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.text)


class JupyterServer:
    """One ``jupyter server`` process that reads no configuration but its own.

    Args:
        home: A folder for its configuration and its state.
        options: More of its configuration.
        command: How it is started.
        env: Environment variables in addition to this process's.
        token: Its users'; a new one unless given.

    Raises:
        RuntimeError: It did not start; the message has the end of its log.
    """

    def __init__(
        self,
        home: Path,
        options: Mapping[str, object] | None = None,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "jupyter_server"),
        env: Mapping[str, str] | None = None,
        token: str = "",
    ) -> None:
        self.token = token or secrets.token_hex(16)
        self.runtime_dir = home / "runtime"
        self._log = home / "server.log"
        self._process = self._start(home, dict(options or {}), command, dict(env or {}))
        try:
            self.url = wait_until_up(self._process, self.runtime_dir, self._ask, lambda: self.log)
        except BaseException:
            self.close()
            raise

    def _start(
        self,
        home: Path,
        options: dict[str, object],
        command: tuple[str, ...],
        env: dict[str, str],
    ) -> subprocess.Popen[bytes]:
        own = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "root_dir": str(home),
                "jpserver_extensions": {"gpuview.server": True, **dict.fromkeys(_WITHOUT, False)},
            },
            "IdentityProvider": {"token": self.token},
        }
        for name, value in options.items():
            section, _, option = name.partition(".")
            own.setdefault(section, {})[option] = value
        config = home / "config"
        config.mkdir(parents=True)
        (config / "jupyter_server_config.json").write_text(json.dumps(own))
        private = {
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime_dir),
            "IPYTHONDIR": str(home / "ipython"),
        }
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*command, "--allow-root", "--no-browser", "--ServerApp.answer_yes=True"],
                env={**os.environ, **env, **private},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ask(self, url: str) -> None:
        self.url = url
        self.get("/api/status")

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    @property
    def memory_nbytes(self) -> int:
        """The resident memory of its process, without its kernels'."""
        nbytes: int = psutil.Process(self._process.pid).memory_info().rss
        return nbytes

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def start_kernel(self) -> str:
        """Start a kernel and return its id."""
        return str(self.get("/api/kernels", method="POST").json()["id"])

    def end_kernel(self, kernel_id: str) -> None:
        """Shut a kernel down."""
        self.get(f"/api/kernels/{kernel_id}", method="DELETE")

    def get(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request: with the token, or with ``headers`` instead."""
        sent = self._authorization if headers is None else headers
        request = urllib.request.Request(self.url + path, method=method, headers=dict(sent))
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as reply:
                return Reply(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as exc:
            with exc:
                return Reply(exc.code, exc.headers, exc.read())

    def cookies(self) -> str:
        """Return what a browser sends along once its user has logged in."""
        reply = self.get(f"/api/status?token={self.token}", headers={})
        each = reply.headers.get_all("Set-Cookie") or []
        return "; ".join(cookie.split(";")[0] for cookie in each)

    def connect(self, place: str, **options: Any) -> websocket.WebSocket:
        """Open the WebSocket of a stream, ``kernel id/stream``, as a program with the token does.

        Raises:
            websocket.WebSocketBadStatusException: The server refuses it.
        """
        options = {"header": self._authorization, "suppress_origin": True, **options}
        url = f"{self.url.replace('http', 'ws', 1)}/gpuview/socket/{place}"
        return websocket.create_connection(url, timeout=_TIMEOUT_S, **options)

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def kill(self) -> None:
        """Kill the server alone, as want of memory does; its kernels end by themselves.

        Raises:
            RuntimeError: One of them did not.
        """
        below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        _expect_gone(below)

    def close(self) -> None:
        """Stop the server with all its kernels. Closing again does nothing."""
        if not self.is_running:
            return
        below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _expect_gone(below)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def closing_of(page: websocket.WebSocket) -> tuple[int, str]:
    """Wait for the server to close a page's socket; return the code and the reason."""
    try:
        opcode, data = page.recv_data()
    finally:
        page.shutdown()
    assert opcode == websocket.ABNF.OPCODE_CLOSE, data
    return struct.unpack(">H", data[:2])[0], data[2:].decode()


def _expect_gone(processes: Sequence[psutil.Process]) -> None:
    for process in psutil.wait_procs(processes, timeout=_STOP_S)[1]:
        process.kill()
        raise RuntimeError(f"left behind: {process}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Let the redirect itself be the reply."""
