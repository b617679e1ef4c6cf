"""A real JupyterHub and its users, on a machine of a `tests.network.topology.Internet` or here.

Hub, proxy, single-user servers and their kernels are processes of that machine; their files are in
a folder of the test's.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import psutil
from playwright.sync_api import BrowserContext

from tests.browser.lab import NotebookServer, expect_gone, write_settings
from tests.waiting import wait_until

__all__ = ["Hub", "UserServer"]

PORT = 8000
_PASSWORD = "of-all-the-users"
_PROXY = Path(__file__).parents[2] / ".hub/node_modules/.bin/configurable-http-proxy"
_START_S = 120.0
_STOP_S = 60.0

_CONFIG = """
c.JupyterHub.bind_url = "http://0.0.0.0:{port}"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"  # its users need no account on this machine
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", "--LabApp.expose_app_in_browser=True"]
c.ConfigurableHTTPProxy.command = [{proxy!r}]
"""


class Machine(Protocol):
    """What a hub runs on: a node of an internet, or this machine itself."""

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process."""


class Hub:
    """A hub that is up, on port 8000 of its machine unless another is given.

    Args:
        node: The machine.
        home: An empty folder for its state and its users' homes.
        address: Where browsers find the machine.
        config: What the administrator has added to ``jupyterhub_config.py``.
        port: Where its proxy listens.

    Raises:
        RuntimeError: It did not start; carries the end of its log.
    """

    def __init__(
        self, node: Machine, home: Path, address: str, config: str, *, port: int = PORT
    ) -> None:
        self.url = f"http://{address}:{port}"
        self._port = port
        self._home = home
        self._log = home / "hub.log"
        self._write_config(config)
        with self._log.open("wb") as log:
            self._process = node.start(
                [sys.executable, "-m", "jupyterhub"], cwd=home, stdout=log, stderr=log
            )
        try:
            wait_until(self._is_up, "the hub is up", _START_S, describe=self._end_of_log)
        except BaseException:
            self.close()
            raise

    def _write_config(self, config: str) -> None:
        own = _CONFIG.format(
            port=self._port,
            password=_PASSWORD,
            homes=str(self._home / "users" / "{username}"),
            python=sys.executable,
            proxy=str(_PROXY),
        )
        (self._home / "jupyterhub_config.py").write_text(own + config)

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the hub ended:\n{self._end_of_log()}")
        return "JupyterHub is now running" in self._log.read_text()

    @property
    def log(self) -> str:
        """What the hub, its proxy and its services have printed so far."""
        return self._log.read_text(errors="replace")

    def _end_of_log(self) -> str:
        return self.log[-3000:]

    def log_in(self, context: BrowserContext, name: str) -> UserServer:
        """Log in as a person does, and wait until the user's own server shows its JupyterLab."""
        server = UserServer(self, self._home / "users" / name, name)
        page = context.new_page()
        page.set_default_timeout(_START_S * 1000)
        page.goto(self.url)
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(_PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{server.url}/lab**")
        page.close()
        return server

    def close(self) -> None:
        """Stop the hub with all that it has started. Closing again does nothing.

        Raises:
            RuntimeError: A process outlived the hub; it has been killed.
        """
        if self._process.poll() is not None:
            return
        below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        finally:
            self._process.kill()
            self._process.wait()
            expect_gone(below)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self._process.poll() is None else "ended"
        return f"<Hub {state} {self.url}>"


class UserServer(NotebookServer):
    """One user's server, whose home is the folder of its notebooks."""

    def __init__(self, hub: Hub, home: Path, name: str) -> None:
        home.mkdir(parents=True)
        super().__init__(home)
        write_settings(home / ".jupyter/lab/user-settings")
        self.url = f"{hub.url}/user/{name}"

    def notebook_url(self, path: str) -> str:
        """Return where the user's browser, once logged in, finds a notebook."""
        return f"{self.url}/lab/tree/{path}?reset"

    def __repr__(self) -> str:
        return f"<UserServer {self.url}>"
