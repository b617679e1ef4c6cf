"""A real JupyterLab with real kernels, and a notebook in it that a real Chromium drives.

`Lab` is the server process, `NotebookPage` one browser tab with one notebook of a `Lab` or another
`NotebookServer`. They are plain objects without pytest, because the benchmarks use them as well.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import nbformat
import psutil
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from tests.chromium import ARGS, CHROMIUM
from tests.jupyter_up import wait_until_up
from tests.waiting import wait_until

__all__ = [
    "Lab",
    "NotebookPage",
    "NotebookServer",
    "expect_gone",
    "launch_chromium",
    "write_settings",
]

_HERE = Path(__file__).parent
_START_S = 120.0
_STOP_S = 60.0

_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Saves widget state in notebooks: the tests look there for what must not be in it.
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
}

T = TypeVar("T")


def launch_chromium(playwright: Playwright, executable: str | Path = CHROMIUM) -> Browser:
    """Start headless Chromium with nothing that phones home or throttles."""
    return playwright.chromium.launch(
        executable_path=executable, args=ARGS, timeout=_START_S * 1000
    )


def write_settings(folder: Path) -> None:
    """Write the tests' settings for JupyterLab into its folder for user settings."""
    for name, values in _SETTINGS.items():
        path = folder / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


class NotebookServer(ABC):
    """A folder of notebooks that a JupyterLab serves.

    Args:
        notebooks: The folder as this process sees it.
    """

    def __init__(self, notebooks: Path) -> None:
        self.notebooks = notebooks

    @abstractmethod
    def notebook_url(self, path: str) -> str:
        """Return the URL of the notebook at ``path``, in a fresh workspace."""

    def write_notebook(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells and return its path inside the server."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        path = f"{name}.ipynb"
        nbformat.write(notebook, self.notebooks / path)
        return path


class Lab(NotebookServer):
    """One ``jupyter lab`` process that reads no configuration but its own.

    A subclass may be another application of the same kind.

    Args:
        home: An empty folder for its configuration, its state and its notebooks.
        env: Environment variables for its kernels, in addition to those of this process.
        has_extension: Whether gpuview's extension of the Jupyter server is enabled, whatever is
            installed.

    Raises:
        RuntimeError: It did not start; the message has the end of its log.
    """

    command: Sequence[str] = (sys.executable, "-m", "jupyterlab")
    app = "LabApp"
    """Its name in the configuration."""

    def __init__(
        self, home: Path, env: Mapping[str, str] | None = None, *, has_extension: bool = False
    ) -> None:
        super().__init__(home / "notebooks")
        self.token = secrets.token_hex(16)
        self._home = home
        self._runtime = home / "runtime"
        self._log = home / "lab.log"
        extensions = home / "path" / "labextensions"
        extensions.mkdir(parents=True)
        (extensions / "gpuview").symlink_to(_HERE.parents[1] / "js" / "labextension")
        self.notebooks.mkdir()
        write_settings(home / "settings")
        config = {"ServerApp": {"jpserver_extensions": {"gpuview.server": has_extension}}}
        (home / "config").mkdir()
        (home / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        self._process = self._start(env or {})
        try:
            self.url = wait_until_up(self._process, self._runtime, self._ask, self._log.read_text)
        except BaseException:
            self.close()
            raise

    def _start(self, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.open_browser": "False",
            "ServerApp.answer_yes": "True",
            "ServerApp.root_dir": str(self.notebooks),
            "IdentityProvider.token": self.token,
            f"{self.app}.expose_app_in_browser": "True",
            f"{self.app}.user_settings_dir": str(self._home / "settings"),
            f"{self.app}.workspaces_dir": str(self._home / "workspaces"),
        }
        command = [*self.command, "--allow-root"]
        command += [f"--{name}={value}" for name, value in options.items()]
        private = {
            "JUPYTER_CONFIG_DIR": str(self._home / "config"),
            "JUPYTER_DATA_DIR": str(self._home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            # This tree's own extension for JupyterLab, before the one of an installed gpuview.
            "JUPYTER_PATH": str(self._home / "path"),
            "IPYTHONDIR": str(self._home / "ipython"),
            # Media stays on the loopback device.
            "GPUVIEW_PUBLIC_IP": "127.0.0.1",
        }
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **private, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ask(self, url: str) -> None:
        self.url = url
        self.request("GET", "/api/status")

    def request(self, method: str, path: str) -> Any:
        """Send a request to the REST API; return the decoded JSON, or None without content."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=_STOP_S) as reply:
            body = reply.read()
        return json.loads(body) if body else None

    def notebook_url(self, path: str) -> str:
        """Return the URL of the notebook at ``path``, in a fresh workspace."""
        return f"{self.url}/lab/tree/{path}?reset&token={self.token}"

    def write_trusted(self, path: str, notebook: Mapping[str, Any]) -> None:
        """Write a notebook whose outputs the server trusts, as if it had been run there."""
        node = nbformat.from_dict(notebook)
        nbformat.write(node, self.notebooks / path)
        # Signs what the server will read.
        notary = NotebookNotary(data_dir=str(self._home / "data"))
        notary.sign(nbformat.read(self.notebooks / path, as_version=4))
        notary.store.close()

    def kernel_process(self, kernel_id: str) -> psutil.Process:
        """Return the process of a running kernel."""
        for process in self._descendants():
            if any(f"kernel-{kernel_id}" in word for word in process.cmdline()):
                return process
        raise LookupError(f"no process has {kernel_id = }")

    def shutdown_kernels(self) -> None:
        """End every kernel, and check that none of its processes stays.

        Raises:
            RuntimeError: A process of a kernel outlived it; it has been killed.
        """
        below = self._descendants()
        for session in self.request("GET", "/api/sessions"):
            self.request("DELETE", f"/api/sessions/{session['id']}")
        for kernel in self.request("GET", "/api/kernels"):
            self.request("DELETE", f"/api/kernels/{kernel['id']}")
        expect_gone(below)

    def close(self) -> None:
        """Stop the server with all its kernels. Closing again does nothing.

        Raises:
            RuntimeError: A process outlived the server; it has been killed.
        """
        if self._process.poll() is not None:
            return
        below = self._descendants()
        # Jupyter ends its kernels before itself on SIGTERM.
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        expect_gone(below)

    def _descendants(self) -> list[psutil.Process]:
        below: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
        return below

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self._process.poll() is None else "ended"
        return f"<{type(self).__name__} {state} {self.url}>"


def expect_gone(processes: Sequence[psutil.Process]) -> None:
    """Wait until the processes have ended.

    Raises:
        RuntimeError: A process stayed; it has been killed.
    """
    _, alive = psutil.wait_procs(processes, timeout=_STOP_S)
    named = []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            named.append(" ".join(process.cmdline()))
            process.kill()
    if named:
        raise RuntimeError("left behind:\n" + "\n".join(named))


class NotebookPage:
    """One browser tab in which JupyterLab shows one notebook.

    Opening waits until the kernel is idle. Cells are counted from 0.

    Args:
        init_script: JavaScript that runs before JupyterLab's.
    """

    def __init__(
        self, server: NotebookServer, context: BrowserContext, path: str, *, init_script: str = ""
    ) -> None:
        self.server = server
        self.path = path
        self.page: Page = context.new_page()
        self.page.set_default_timeout(_START_S * 1000)
        self.page.add_init_script(path=_HERE / "driver.js")
        self.page.add_init_script(path=_HERE / "probe.js")
        if init_script:
            self.page.add_init_script(script=init_script)
        self.page.goto(server.notebook_url(path))
        self.wait_idle()

    def open_beside(self, path: str) -> NotebookPage:
        """Open another notebook in the same browser tab, which need not load JupyterLab again."""
        other = copy.copy(self)
        other.path = path
        other.page.bring_to_front()
        other._drive("open")
        other.wait_idle()
        return other

    def discard_notebooks(self) -> None:
        """Close every notebook in this browser tab without saving; the kernels stay."""
        self._drive("discardAll")

    def reload(self) -> None:
        """Reload the page, as F5 does."""
        self.page.reload()
        self.wait_idle()

    def wait_idle(self, timeout_s: float = _START_S) -> None:
        """Wait until the notebook is shown and its kernel is idle."""
        self.page.wait_for_function(
            "path => window.driver?.kernelStatus(path) === 'idle'",
            arg=self.path,
            timeout=timeout_s * 1000,
        )

    def status(self) -> str:
        """Return the kernel's status as the page sees it, such as idle or busy."""
        return str(self._drive("kernelStatus"))

    @property
    def kernel_id(self) -> str:
        """The id of the notebook's kernel."""
        return str(self._drive("kernelId"))

    def run(self, cell: int) -> str:
        """Run a cell to its end and return the text that it printed.

        Raises:
            RuntimeError: The cell raised, and the message has its traceback; or the kernel did not
                run it.
        """
        has_run = self._drive("run", cell)
        for output in self.outputs(cell):
            if output["output_type"] == "error":
                raise RuntimeError("\n".join(output["traceback"]))
        if not has_run:
            raise RuntimeError(f"the kernel did not run cell {cell}")
        return self.text(cell)

    def start(self, cell: int) -> None:
        """Start a cell and return at once."""
        self._drive("start", cell)

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """Return a cell's outputs as the notebook has them."""
        outputs: list[dict[str, Any]] = self._drive("outputs", cell)
        return outputs

    def text(self, cell: int) -> str:
        """Return what a cell has printed so far."""
        streams = (out for out in self.outputs(cell) if out["output_type"] == "stream")
        return "".join("".join(out["text"]) for out in streams)

    def clear(self, cell: int) -> None:
        """Clear a cell's output."""
        self._drive("clear", cell)

    def show(self, cell: int) -> None:
        """Scroll a cell's output into view."""
        self._drive("show", cell)

    def save(self) -> dict[str, Any]:
        """Save the notebook and return the content of its file."""
        self._drive("save")
        saved: dict[str, Any] = json.loads((self.server.notebooks / self.path).read_text())
        return saved

    @property
    def is_running(self) -> bool:
        """Whether the cell that was started last runs.

        The kernel's status does not tell: messages to a subshell make it idle during the cell.
        """
        return bool(self._drive("isRunning"))

    def wait_for_end(self) -> None:
        """Wait until the cell that was started last has ended."""
        self._drive("waitForEnd")

    def interrupt(self) -> None:
        """Interrupt the cell that was started last, and wait until the kernel takes another."""
        self._drive("interrupt")
        self.wait_for_end()
        # For a moment after the error, the kernel aborts what comes.
        wait_until(lambda: self._drive("python", "None")["status"] == "ok", "the kernel answers")

    def restart_kernel(self) -> None:
        """Restart the kernel without the menu's confirmation."""
        self._drive("restart")
        self.wait_idle()

    def close_notebook(self) -> None:
        """Close the notebook's panel; the browser tab and the kernel stay."""
        self._drive("closePanel")

    def close(self) -> None:
        """Close the browser tab, with the same events as a person's click."""
        self.page.close(run_before_unload=False)

    def python(self, expression: str) -> Any:
        """Evaluate an expression in the kernel, once it is idle, and return its value.

        Raises:
            RuntimeError: It raised, or its value is not a Python literal.
        """
        reply = self._drive("python", expression)
        if reply["status"] != "ok":
            raise RuntimeError(f"{expression}: {reply['ename']}: {reply['evalue']}")
        return ast.literal_eval(reply["data"]["text/plain"])

    def clock_offset_ms(self) -> float:
        """Return how far the page's clock is ahead of ``time.time()``: the quickest of 20 samples.

        The page's time origin is fixed when it loads; measure again after a reload.
        """
        best = (float("inf"), 0.0)
        for _ in range(20):
            before = time.time()
            shown = self.page.evaluate("performance.timeOrigin + performance.now()")
            after = time.time()
            best = min(best, (after - before, shown - (before + after) * 500))
        return best[1]

    def _drive(self, action: str, *args: object) -> Any:
        script = "([action, path, args]) => window.driver[action](path, ...args)"
        return self.page.evaluate(script, [action, self.path, list(args)])

    def __repr__(self) -> str:
        return f"<NotebookPage {self.path}>"
