"""Add a panel's name to an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gpuview.errors import FrameError

__all__ = ["naming_panel"]


@contextmanager
def naming_panel(name: str) -> Iterator[None]:
    """Add the panel's name to a FrameError that is raised inside."""
    try:
        yield
    except FrameError as exc:
        problem = f"{exc.problem}, in panel {name!r}"
        raise FrameError(problem, expected=exc.expected, fix=exc.fix) from exc
