"""The only file with ipykernel's private names, and what happens without them.

Also what it tells us about notebook cells, by public names.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

__all__ = [
    "CellRun",
    "KernelPlace",
    "cell_run",
    "hear_displays",
    "is_run_by_a_program",
    "kernel_place",
    "kernel_shell",
    "open_comm_for_no_cell",
    "publish_value",
    "read_messages_while_cells_run",
    "replace_output",
    "why_cells_delay_views",
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


# Versions of ipykernel: the oldest that is tested, and the first whose comms choose a subshell.
_OLDEST, _REROUTES = (6, 29), (7, 4)
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
    this is in doubt, a warning says so, once.
    """
    has_route = hasattr(comm, "_reply_subshell_for")
    if has_route:
        comm._reply_subshell_for = None
    ipykernel = sys.modules.get("ipykernel")
    if ipykernel is None or kernel_shell() is None:
        return
    why = why_cells_delay_views(ipykernel.__version__, has_route=has_route)
    if why is not None:
        warnings.warn(why, RuntimeWarning, stacklevel=3)


def why_cells_delay_views(version: str, *, has_route: bool) -> str | None:
    """Return what to tell the user of an ipykernel that may keep pages waiting; None if it won't.

    Pure. Version 6 makes a page wait for the end of a cell too, but no other one is to be had.

    Args:
        version: ipykernel's.
        has_route: Whether its comms have the method that chooses a subshell.
    """
    found = Version(version)
    if found.release[:2] == (7, 0):
        problem = "loses what is sent to a page from another thread"
    elif found.release[:2] < _OLDEST:
        problem = "is older than gpuview knows"
    elif found.release[:2] >= _REROUTES and not has_route:
        problem = "is newer than gpuview knows"
    else:
        return None
    return (
        f"ipykernel {version} {problem}: a view may stay empty until the cell has ended\n"
        "  expected: ipykernel 6.29 to 7.4, but not 7.0\n"
        "  try:      pip install 'ipykernel>=7.1,<7.5', then restart the kernel"
    )


def is_run_by_a_program(shell: Any) -> bool:
    """Tell whether nbclient runs the cell, as for nbconvert and papermill: nobody watches.

    It says that nobody can be asked for input, which front ends do not say. Voila runs notebooks
    with nbclient too, and then shows them.
    """
    answers_input = shell.get_parent().get("content", {}).get("allow_stdin", True)
    return not answers_input and not os.environ.get("SERVER_SOFTWARE", "").startswith("voila")


def open_comm_for_no_cell(shell: Any, target_name: str, data: Any, metadata: Any) -> Any:
    """Open a comm whose messages belong to no cell.

    Front ends take them as any other. nbclient, which reads the messages of its cells only, does
    not store the widget's state in the notebook.
    """
    from ipykernel.comm.comm import BaseComm  # the class of ipykernel's comms

    class CommForNoCell(BaseComm):
        kernel = shell.kernel

        def publish_msg(
            self,
            msg_type: str,
            data: Any = None,
            metadata: Any = None,
            buffers: Any = None,
            **keys: Any,
        ) -> None:
            self.kernel.session.send(
                self.kernel.iopub_socket,
                msg_type,
                {"data": data or {}, "comm_id": self.comm_id, **keys},
                metadata=metadata,
                parent={},
                ident=self.topic,
                buffers=buffers,
            )

    return CommForNoCell(  # type: ignore[no-untyped-call]
        target_name=target_name, data=data, metadata=metadata
    )


def publish_value(shell: Any, describe: Callable[[], tuple[Any, Any]]) -> bool:
    """Display the value of a cell as ``display`` would: no front end can replace a value.

    Args:
        shell: The kernel's IPython shell.
        describe: Returns the data and the metadata of the output.

    Returns:
        False if IPython is not just displaying a cell's value; then nothing has been done.
    """
    if not getattr(shell.displayhook, "msg", None):
        return False
    shell.display_pub.publish(*describe())
    return True


def replace_output(shell: Any, display_id: str, data: Any, metadata: Any) -> None:
    """Replace the output with this id; in captured output there is nothing to replace."""
    publisher = shell.display_pub
    if hasattr(publisher, "register_hook"):
        transient = {"display_id": display_id}
        publisher.publish(data, metadata, transient=transient, update=True)
