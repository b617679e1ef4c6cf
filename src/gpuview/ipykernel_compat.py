"""The only file with ipykernel's private names, and what happens without them."""

from __future__ import annotations

from typing import Any

__all__ = ["read_messages_while_cells_run"]


def read_messages_while_cells_run(comm: Any) -> None:
    """Deliver a comm's messages while a cell runs, if the page sends them to a subshell.

    ipykernel 7.4 reroutes a comm's messages to the subshell that last published on it. For a new
    widget, that is the main shell, which is busy running the cell. The comm's private method makes
    that choice. Without it, a message goes to the subshell that its header names, as in 7.3. If
    ipykernel renames the method, offers wait until the cell ends.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
