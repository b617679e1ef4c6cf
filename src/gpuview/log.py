"""Where gpuview's log goes when the settings say so."""

from __future__ import annotations

import logging
from contextvars import copy_context
from typing import TextIO

__all__ = ["log_to_stderr"]

# The log is not shown unless the settings ask for it: a cell's output is saved with the notebook,
# and the log names servers. What concerns a viewer is shown on the page.
logging.getLogger("gpuview").addHandler(logging.NullHandler())

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(level: str) -> None:
    """Show gpuview's log from ``level`` on. Safe to call again: that changes the level.

    In a notebook it is output of the cell that called this last. A program that has set up logging
    itself gets the records in its own handlers, and no other handler is added.

    Args:
        level: "error", "warning", "info" or "debug".
    """
    logger = logging.getLogger("gpuview")
    logger.setLevel(level.upper())
    own = [handler for handler in logger.handlers if isinstance(handler, _Handler)]
    for handler in own:
        handler.cell = copy_context()
    others = [*logging.getLogger().handlers, *logger.handlers]
    if all(isinstance(handler, logging.NullHandler) for handler in others):
        logger.addHandler(_Handler())


class _Handler(logging.StreamHandler[TextIO]):
    """Writes below the cell in which it was made, or last set up.

    A kernel shows a thread's output below the cell that the thread's context belongs to. Most of
    our records come on threads without such a context, and would be lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cell = copy_context()
        self.setFormatter(logging.Formatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        # A copy: two threads cannot enter one context at the same time.
        self.cell.copy().run(super().emit, record)
