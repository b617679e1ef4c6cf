"""A real ipykernel, with JupyterLab's side of the protocol."""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack
from weakref import WeakValueDictionary

from jupyter_client.connect import write_connection_file

from gpuview.protocol.local_socket import socket_files
from gpuview.testing.cells import Cell, Request, raise_if_error
from gpuview.testing.channels import Channels, JupyterMessage
from gpuview.testing.errors import KernelDiedError, NoSuchStreamError, WaitTimeoutError
from gpuview.testing.kernel_process import KernelProcess
from gpuview.testing.kernel_streams import KernelStreams
from gpuview.testing.stream import StreamProxy
from gpuview.testing.view import ViewOptions
from gpuview.testing.viewer import HeadlessViewer
from gpuview.testing.waiting import Changing

__all__ = ["Kernel"]

T = TypeVar("T")

_POLL_S = 0.02


class Kernel:
    """A kernel process, its cells, its streams and their viewers.

    It runs this interpreter's ipykernel in a session of its own, with a private IPython and Jupyter
    runtime folder. Like JupyterLab, it sends comm messages through a subshell if the kernel has
    subshells, so that a stream is answered while a cell runs.

    Any thread may use it, and wait for cells while viewers watch.

    Args:
        env: Environment variables in addition to this process's. ``GPUVIEW_PUBLIC_IP`` defaults to
            127.0.0.1, which keeps the media on this machine.
        cwd: The kernel's working directory; None is this process's.
        prefix: A command prefix such as ``ip netns exec NAME`` or numactl. It must exec the
            kernel's command.

    Raises:
        KernelDiedError: The kernel does not start.
        WaitTimeoutError: The kernel does not answer within a minute.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gpuview-"))
        self._log_path = self._folder / "kernel.log"
        self._env = self._environment(env or {})
        self._cwd = None if cwd is None else os.fspath(cwd)
        self._prefix = tuple(prefix)
        self._connection_file = self._folder / f"kernel-{uuid.uuid4()}.json"
        write_connection_file(
            str(self._connection_file),
            transport="ipc",
            # With ipc, this is the prefix of the sockets' paths.
            ip=str(self._folder / "socket"),
            kernel_name="python3",
        )
        self._changing = Changing()
        # Weak, because a cell's threads may print long after its end: kept while referenced.
        self._requests: WeakValueDictionary[str, Request] = WeakValueDictionary()
        self._streams = KernelStreams(self._changing)
        self._viewers: list[HeadlessViewer] = []
        self._subshell_id: str | None = None
        self._process: KernelProcess | None = None
        self._is_closed = False
        self._channels = Channels(self._connection_file, self._receive)
        try:
            self._launch()
        except BaseException:
            self.close()
            raise

    # --- cells ---------------------------------------------------------------------------------

    def run(
        self, code: str, *, cell_id: str | None = None, timeout_s: float = 60.0
    ) -> list[dict[str, Any]]:
        """Run a cell to its end and return its outputs, as a notebook file has them.

        Args:
            code: The cell's source.
            cell_id: The id by which the kernel knows a cell that runs again; None gives it none.
            timeout_s: How long to wait for the end.

        Raises:
            CellError: The cell raised.
            KernelDiedError: The kernel died.
            WaitTimeoutError: The cell still runs.
        """
        return self.start(code, cell_id=cell_id).wait(timeout_s=timeout_s)

    def start(self, code: str, *, cell_id: str | None = None) -> Cell:
        """Start a cell and return at once."""
        return Cell(code, self._execute(code, cell_id), self._wait_for)

    def evaluate(self, expression: str, *, timeout_s: float = 60.0) -> Any:
        """Return the value of an expression, through JSON: a tuple becomes a list.

        Like a cell, it waits for the cell that is running.

        Raises:
            CellError: The expression raised, or its value is not JSON serialisable.
        """
        code = f"__import__('json').dumps({expression})"
        request = self._execute("", silent=True, user_expressions={"value": code})
        reply = self._wait_for(
            request.finished, timeout_s=timeout_s, what=lambda: f"the value of {expression}"
        )
        value = reply["user_expressions"]["value"]
        raise_if_error(value)
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def wait_until(self, expression: str, *, timeout_s: float = 30.0) -> None:
        """Evaluate an expression again and again until it is true.

        Raises:
            WaitTimeoutError: It is still false.
        """
        deadline = time.monotonic() + timeout_s
        while not self.evaluate(f"bool({expression})"):
            if time.monotonic() > deadline:
                raise WaitTimeoutError(
                    f"{expression} is still false after {timeout_s:g} s",
                    expected=f"{expression}",
                    fix="find out why, or raise timeout_s on a slow machine",
                )
            time.sleep(_POLL_S)

    # --- streams -------------------------------------------------------------------------------

    def stream(self, name: str | None = None, *, timeout_s: float = 30.0) -> StreamProxy:
        """Return a GPUStream of the kernel.

        Args:
            name: An expression for the stream, such as its variable. None is the open stream that
                was displayed last; waits until a stream is displayed, even while a cell runs.
            timeout_s: How long to wait.

        Raises:
            CellError: The name is not defined, or is not a widget.
            NoSuchStreamError: The widget of this name is closed.
            WaitTimeoutError: No stream was displayed in time.
        """
        if name is None:
            return self._changing.wait_for(
                self._streams.last_displayed,
                timeout_s=timeout_s,
                what=lambda: "a GPUStream to be displayed",
            )
        model_id = self.evaluate(f"({name}).model_id", timeout_s=timeout_s)
        stream = self._streams.get(model_id)
        if stream is None:
            raise NoSuchStreamError(
                f"the stream {name} is closed",
                expected="an open GPUStream",
                fix="make a new one: stream = GPUStream()",
            )
        return stream

    def view(
        self,
        stream: StreamProxy,
        **options: Unpack[ViewOptions],
    ) -> HeadlessViewer:
        """Open one more view of ``stream``, as displaying it once more would.

        Args:
            stream: The stream to watch.
            **options: ``codecs``, ``is_decoding``, and a poor link: ``loss``, ``delay_ms``,
                ``rate_bps`` and ``seed``; see `gpuview.testing.view.View`.

        Raises:
            SettingsError: An option is out of its range.
        """
        viewer = HeadlessViewer(stream, **options)
        self._viewers.append(viewer)
        return viewer

    @property
    def viewers(self) -> tuple[HeadlessViewer, ...]:
        """The viewers that `view` made and that are not closed."""
        return tuple(each for each in self._viewers if not each.is_closed)

    # --- the process ---------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        return self._running.pid

    @property
    def socket_path(self) -> Path:
        """Of its media process's socket, which need not exist."""
        kernel_id = self._connection_file.stem.removeprefix("kernel-")
        return socket_files(self._folder, kernel_id).socket

    def interrupt(self) -> None:
        """Interrupt the running cell as Jupyter does: SIGINT to the kernel's process group."""
        self._running.interrupt()

    def restart(self) -> None:
        """Shut the kernel down and start it again; its streams are gone."""
        self._shut_down()
        self._launch()

    def kill(self) -> None:
        """Kill the kernel with SIGKILL, and nothing but the kernel."""
        self._running.kill()

    def close(self) -> None:
        """Close all viewers, shut the kernel down and remove its files."""
        if self._is_closed:
            return
        self._is_closed = True
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder)
            stack.callback(self._channels.close)
            stack.callback(self._shut_down)
            for viewer in self.viewers:
                stack.callback(viewer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        process = self._process
        is_dead = process is None or process.is_dead
        state = "closed" if self._is_closed else "dead" if is_dead else "alive"
        return f"<Kernel {process and process.pid} {state} streams={len(self._streams)}>"

    @property
    def _running(self) -> KernelProcess:
        assert self._process is not None, "launched in the constructor"
        return self._process

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        env = {"GPUVIEW_PUBLIC_IP": "127.0.0.1", **os.environ, **extra}
        # If it is set, ipykernel does not capture its process's standard output.
        env.pop("PYTEST_CURRENT_TEST", None)
        return env | {"IPYTHONDIR": str(self._folder), "JUPYTER_RUNTIME_DIR": str(self._folder)}

    def _launch(self) -> None:
        launcher = [sys.executable, "-m", "ipykernel_launcher", "-f", str(self._connection_file)]
        self._process = KernelProcess(
            [*self._prefix, *launcher],
            env=self._env,
            cwd=self._cwd,
            log_path=self._log_path,
            on_end=self._forget_streams,
        )
        features = self._wait_until_ready().get("supported_features", [])
        self._subshell_id = self._make_subshell() if "kernel subshells" in features else None

    def _forget_streams(self) -> None:
        with self._changing.change():
            self._requests.clear()
            streams = self._streams.take_all()
        for stream in streams:
            stream.receive_close()

    def _shut_down(self) -> None:
        if self._process is not None:
            request = {"restart": False}
            self._process.shut_down(
                lambda: self._channels.send("control", "shutdown_request", request)
            )

    def _wait_until_ready(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Repeat a request until a reply and its iopub status arrive: the first may be lost."""
        deadline = time.monotonic() + timeout_s
        requests: list[Request] = []

        def first_reply() -> dict[str, Any] | None:
            return next((each.reply for each in requests if each.is_done), None)

        while True:
            requests.append(self._ask("shell", "kernel_info_request", {}))
            try:
                return self._wait_for(
                    first_reply,
                    timeout_s=1.0,
                    what=lambda: (
                        f"the kernel's start, after {len(requests)} requests\n{self._log()}"
                    ),
                )
            except WaitTimeoutError:
                if time.monotonic() > deadline:
                    raise

    def _make_subshell(self) -> str:
        request = self._ask("control", "create_subshell_request", {})
        reply = self._wait_for(request.finished, timeout_s=30.0, what=lambda: "a subshell")
        return str(reply["subshell_id"])

    # --- messages ------------------------------------------------------------------------------

    def _execute(self, code: str, cell_id: str | None = None, **content: Any) -> Request:
        defaults = {"silent": False, "store_history": not content.get("silent")}
        fixed = {"code": code, "allow_stdin": False, "stop_on_error": False}
        metadata = None if cell_id is None else {"cellId": cell_id}
        return self._ask("shell", "execute_request", {**defaults, **fixed, **content}, metadata)

    def _ask(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> Request:
        request = Request()
        with self._changing.change():
            msg_id = self._channels.send(channel, msg_type, content, metadata=metadata)
            self._requests[msg_id] = request
        return request

    def _send_comm(self, process: KernelProcess, comm_id: str, data: dict[str, Any]) -> None:
        """Send comm data, unless the stream's kernel process has ended.

        The sockets would queue it for the next process, which has neither the comm nor the
        subshell.
        """
        if self._process is process and not process.is_ending:
            content = {"comm_id": comm_id, "data": data}
            self._channels.send("shell", "comm_msg", content, subshell_id=self._subshell_id)

    def _wait_for(
        self, look: Callable[[], T | None], *, timeout_s: float, what: Callable[[], str]
    ) -> T:
        """Wait for something that only this kernel process can bring about."""
        process = self._running

        def look_or_die() -> T | None:
            found = look()
            if not found and process.is_dead:
                raise self._died(process, what())
            return found

        return self._changing.wait_for(look_or_die, timeout_s=timeout_s, what=what)

    def _died(self, process: KernelProcess, what: str) -> KernelDiedError:
        return KernelDiedError(
            f"the kernel ended with status {process.returncode} before {what} came\n{self._log()}",
            expected="a running kernel",
            fix="read the end of the kernel's log above",
        )

    def _log(self) -> str:
        """Return the end of the kernel's log."""
        return self._log_path.read_text(errors="replace")[-2000:] if self._folder.exists() else ""

    def _receive(self, channel: str, message: JupyterMessage) -> None:
        """Dispatch one message from the kernel; on the thread of the channels."""
        msg_type, content = message["header"]["msg_type"], message["content"]
        with self._changing.change():
            parent_id = message["parent_header"].get("msg_id", "")
            request = self._requests.get(parent_id)
            if request is not None:
                request.receive(channel, msg_type, content)
            self._streams.note_display(content.get("data", {}))
        if msg_type == "comm_open":
            process = self._running
            self._streams.open(message, partial(self._send_comm, process))
        elif msg_type.startswith("comm_"):
            self._streams.receive(message)
