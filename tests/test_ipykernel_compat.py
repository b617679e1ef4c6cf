"""Messages of a comm go to the subshell that they name, whatever ipykernel would do."""

from __future__ import annotations

from typing import Any

from gpuview.ipykernel_compat import read_messages_while_cells_run


class Comm:
    """A comm of ipykernel 7.4, which has last published on the thread that runs cells."""

    def _reply_subshell_for(self, _data: object, _named: str) -> None:
        return None


def subshell_of(comm: Any, named: str) -> str | None:
    """Return where ipykernel's shell thread sends a message: as its `kernelbase` decides."""
    route = getattr(comm, "_reply_subshell_for", None)
    return named if route is None else route({}, named)


def test_a_message_goes_to_the_subshell_that_it_names() -> None:
    comm = Comm()
    assert subshell_of(comm, "page") is None
    read_messages_while_cells_run(comm)
    assert subshell_of(comm, "page") == "page"


def test_a_comm_of_another_version_is_left_alone() -> None:
    comm = object()  # takes no attribute
    read_messages_while_cells_run(comm)
    assert subshell_of(comm, "page") == "page"
