"""A real JupyterHub on loopback, whose users are driven by its REST API instead of a browser."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import websocket

from tests.hub.hub import Hub
from tests.ports import free_port
from tests.waiting import wait_until

__all__ = ["LoopbackHub", "Reply", "UserKernel"]

_ADMIN, _ROBOT = uuid.uuid4().hex, uuid.uuid4().hex
_CONFIG = """
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.auth_token = "{admin}"
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.services.append({{"name": "tests", "api_token": "{admin}"}})
c.JupyterHub.services.append({{"name": "robot", "api_token": "{robot}"}})
c.JupyterHub.load_roles.append(
    {{"name": "robot", "services": ["robot"], "scopes": ["custom:gpuview:turn"]}}
)
c.JupyterHub.load_roles.append(
    {{
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:servers", "tokens", "access:servers", "read:metrics"],
    }}
)
# As an account of its own: what belongs to others, and their processes, cannot be read.
c.Spawner.cmd = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *c.Spawner.cmd]
"""
_START_S = 120.0


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _ThisMachine:
    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen(command, **options)


class LoopbackHub(Hub):
    """A hub that is up.

    Args:
        home: A folder for its state and its users' homes.
        port: Of its proxy.
        config: What the administrator has added to ``jupyterhub_config.py``.
    """

    def __init__(self, home: Path, port: int, config: str) -> None:
        ports = {"port": port, "hub_port": free_port(), "proxy_port": free_port()}
        own = _CONFIG.format(**ports, admin=_ADMIN, robot=_ROBOT)
        home.mkdir(exist_ok=True)
        super().__init__(_ThisMachine(), home, "127.0.0.1", f"{config}\n{own}", port=port)
        self._homes = home / "users"

    def ask(
        self, path: str, *, token: str | None = None, method: str = "GET", body: object = None
    ) -> Reply:
        """Send a request, with the token of somebody."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}{path}",
            data,
            {**headers, "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Reply(answer.status, answer.read())
        except urllib.error.HTTPError as exc:
            with exc:
                return Reply(exc.code, exc.read())

    def admin(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Do what an administrator may.

        Raises:
            RuntimeError: The hub refuses.
        """
        reply = self.ask(f"/hub/api{path}", token=_ADMIN, method=method, body=body)
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply}")
        return reply.json() if reply.body else None

    @property
    def admin_token(self) -> str:
        """The token of the service that the tests are to the hub; it has not gpuview's scope."""
        return _ADMIN

    @property
    def robot_token(self) -> str:
        """The token of a service of the hub's that has gpuview's scope."""
        return _ROBOT

    def token_of(self, user: str, scopes: Sequence[str]) -> str:
        """Make a token of a user's, as the hub's page for tokens does."""
        made = self.admin(f"/users/{user}/tokens", "POST", {"scopes": list(scopes)})
        return str(made["token"])

    def add(self, user: str) -> None:
        self.admin(f"/users/{user}", "POST")

    def start_server(self, user: str) -> UserKernel:
        """Start a user's server, with a kernel."""
        (self._homes / user).mkdir(parents=True)
        with contextlib.suppress(RuntimeError):
            self.add(user)
        self.admin(f"/users/{user}/server", "POST")

        def is_ready() -> bool:
            return bool(self.admin(f"/users/{user}")["servers"].get("", {}).get("ready"))

        wait_until(is_ready, f"the server of {user} is up", _START_S, describe=lambda: self.log)
        return UserKernel(self, user)


class UserKernel:
    """A kernel of a user's own server, which runs with what the hub has given that server."""

    def __init__(self, hub: LoopbackHub, user: str) -> None:
        path = f"/user/{user}/api/kernels"
        made = hub.ask(path, token=hub.admin_token, method="POST", body={"name": "python3"})
        url = f"{hub.url}{path}/{made.json()['id']}/channels".replace("http", "ws", 1)
        header = [f"Authorization: token {hub.admin_token}"]
        self._socket = websocket.create_connection(url, timeout=_START_S, header=header)

    def evaluate(self, code: str) -> Any:
        """Run statements that leave something for JSON in ``result``, and return that.

        Raises:
            RuntimeError: They raised.
        """
        print_it = "import json; print('\\x01' + json.dumps(result) + '\\x02')"
        request = {"code": f"{code}\n{print_it}", "silent": False, "store_history": False}
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"session": "tests", "username": "tests", "date": ""}
        message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}}
        self._socket.send(json.dumps({**message, "content": request, "buffers": []}))
        printed = ""
        while True:
            told = json.loads(self._socket.recv())
            if told.get("parent_header", {}).get("msg_id") != header["msg_id"]:
                continue
            content = told["content"]
            if told["msg_type"] == "stream":
                printed += content["text"]
            if told["msg_type"] == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            if "\x02" in printed:
                return json.loads(printed.partition("\x01")[2].partition("\x02")[0])

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> UserKernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
