"""Cells, and the kernel's messages about each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpuview.testing.errors import CellError

__all__ = ["Cell", "Request", "raise_if_error"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_OUTPUTS = ("stream", "display_data", "execute_result", "error")


@dataclass(eq=False)
class Request:
    """The replies to one message to the kernel, as far as they have come."""

    reply: dict[str, Any] | None = None
    is_idle: bool = False
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return self.reply is not None and self.is_idle

    def finished(self) -> dict[str, Any] | None:
        """Return the reply once nothing more will come."""
        return self.reply if self.is_done else None

    def receive(self, channel: str, msg_type: str, content: dict[str, Any]) -> None:
        """Take one message that answers the request."""
        if channel != "iopub":
            self.reply = content
        elif msg_type == "status":
            self.is_idle = content["execution_state"] == "idle"
        elif msg_type in _OUTPUTS:
            self.outputs.append({"output_type": msg_type, **content})


class Cell:
    """A started cell; `wait` waits for its end."""

    def __init__(self, code: str, request: Request, wait_for: Callable[..., Any]) -> None:
        self.code = code
        self._request = request
        self._wait_for = wait_for

    @property
    def is_done(self) -> bool:
        return self._request.is_done

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs so far, as in a notebook file; the cell's threads may add to them later."""
        return list(self._request.outputs)

    def wait(self, *, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait for the cell's end and return its outputs.

        Raises:
            CellError: The cell raised.
            KernelDiedError: The kernel died.
            WaitTimeoutError: The cell still runs.
        """
        reply: dict[str, Any] = self._wait_for(
            self._request.finished, timeout_s=timeout_s, what=lambda: f"the end of {self!r}"
        )
        raise_if_error(reply)
        return self.outputs

    def wait_for_output(self, *, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait for the cell's first output, such as a word that it runs; return the outputs.

        Raises:
            KernelDiedError: The kernel died.
            WaitTimeoutError: No output came in time.
        """
        self._wait_for(
            lambda: self.outputs, timeout_s=timeout_s, what=lambda: f"output of {self!r}"
        )
        return self.outputs

    def __repr__(self) -> str:
        first, *rest = self.code.strip().splitlines() or [""]
        return f"<Cell {first!r}{' ...' if rest else ''} {'done' if self.is_done else 'running'}>"


def raise_if_error(reply: Mapping[str, Any]) -> None:
    """Raise CellError if an execution's reply, or an expression's, says that it failed."""
    if reply["status"] == "error":
        traceback = _ANSI.sub("", "\n".join(reply["traceback"]))
        raise CellError(reply["ename"], reply["evalue"], traceback)
