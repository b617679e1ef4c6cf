"""The only file with ipykernel's private names, and what happens without them.

Also what it tells us about notebook cells, by public names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CellRun",
    "KernelPlace",
    "cell_run",
    "hear_displays",
    "kernel_place",
    "kernel_shell",
    "read_messages_while_cells_run",
]


@dataclass(frozen=True)
class CellRun:
    """One run of a notebook cell; what it displayed is in the page until the cell runs again."""

    cell_id: str
    msg_id: str


def kernel_shell() -> Any | None:
    """Return IPython's shell if this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


@dataclass(frozen=True)
class KernelPlace:
    """Where a Jupyter server finds what belongs to this kernel."""

    runtime_dir: Path
    kernel_id: str


_CONNECTION_FILE = re.compile(r"kernel-([A-Za-z0-9_-]{1,64})\.json\Z")


def kernel_place() -> KernelPlace | None:
    """Return this kernel's place; None if this is no kernel, or one that no server started.

    Both are read from the connection file's name, which the server chooses.
    """
    connect = sys.modules.get("ipykernel.connect")
    if connect is None:
        return None
    try:
        path = Path(connect.get_connection_file())
    except (RuntimeError, OSError):  # no kernel, or its file is gone
        return None
    name = _CONNECTION_FILE.match(path.name)
    return KernelPlace(path.parent, name[1]) if name else None


def cell_run(shell: Any) -> CellRun | None:
    """Return the run that this thread's output belongs to.

    None if it belongs to no cell, or the front end does not say which one. JupyterLab does.
    """
    parent = shell.get_parent()
    cell_id = parent.get("metadata", {}).get("cellId")
    msg_id = parent.get("header", {}).get("msg_id")
    return CellRun(cell_id, msg_id) if cell_id and msg_id else None


def hear_displays(publisher: Any, hear: Callable[[dict[str, Any]], None]) -> bool:
    """Call ``hear`` with each message of this thread that displays something, before it is sent.

    Returns:
        False if this publisher sends nothing but keeps it, such as that of ``%%capture``.
    """

    def hook(message: dict[str, Any]) -> dict[str, Any]:
        hear(message)
        return message

    if not hasattr(publisher, "register_hook"):
        return False
    publisher.register_hook(hook)
    return True


def read_messages_while_cells_run(comm: Any) -> None:
    """Deliver a comm's messages while a cell runs, if the page sends them to a subshell.

    ipykernel 7.4 reroutes a comm's messages to the subshell that last published on it. For a new
    widget, that is the main shell, which is busy running the cell. The comm's private method makes
    that choice. Without it, a message goes to the subshell that its header names, as in 7.3. If
    ipykernel renames the method, offers wait until the cell ends.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
