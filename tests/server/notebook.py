"""A kernel of a `JupyterServer`, and the code that runs in it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jupyter_client.blocking.client import BlockingKernelClient

from tests.server.jupyter import JupyterServer
from tests.waiting import wait_until

__all__ = ["ServedKernel"]

_TIMEOUT_S = 120.0


class ServedKernel:
    """A kernel that the server has started, with a client beside the server's own."""

    def __init__(self, server: JupyterServer) -> None:
        self.server = server
        self.id = server.start_kernel()
        file = Path(server.runtime_dir, f"kernel-{self.id}.json")
        self._client = BlockingKernelClient(connection_file=str(file))
        self._client.load_connection_file()
        # What is sent waits until the kernel is up. Its heart may be late on a busy machine.
        self._client.start_channels(iopub=False, stdin=False, hb=False, control=False)

    def run(self, code: str) -> None:
        """Run a cell to its end.

        Raises:
            RuntimeError: It raised.
        """
        reply = self._execute(code)
        if reply["status"] != "ok":
            raise RuntimeError("\n".join(reply.get("traceback", [reply["status"]])))

    def start(self, code: str) -> None:
        """Start a cell and return at once."""
        self._client.execute(code)

    def interrupt(self) -> None:
        """Interrupt the cell that runs, and wait until the kernel takes another."""
        self.server.get(f"/api/kernels/{self.id}/interrupt", method="POST")
        # For a moment after the error, the kernel aborts what comes.
        wait_until(lambda: self._execute("")["status"] == "ok", "the kernel answers")

    def _execute(self, code: str) -> dict[str, Any]:
        request = self._client.execute(code)
        while True:
            reply = self._client.get_shell_msg(timeout=_TIMEOUT_S)
            if reply["parent_header"]["msg_id"] == request:
                return dict(reply["content"])

    def close(self) -> None:
        """Shut the kernel down, unless its server has ended."""
        self._client.stop_channels()
        if self.server.is_running:
            self.server.end_kernel(self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
