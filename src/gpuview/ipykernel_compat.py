"""ipykernel's private names, and what happens without them."""

from __future__ import annotations

from typing import Any

__all__ = ["read_messages_while_cells_run"]


def read_messages_while_cells_run(comm: Any) -> None:
    """Let a comm's messages reach us while a cell runs, where the page sends them to a subshell.

    ipykernel 7.4 reroutes a comm's messages to the subshell that last published on it. For a widget
    that a cell has just made, that is the thread which runs cells. The comm's method says where to;
    without it, a message goes to the subshell that it names, as in ipykernel 7.3. If the method
    gets another name, offers wait until the cell ends.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
