"""Sends gpuview's log to stderr if the settings request it."""

from __future__ import annotations

import logging
from contextvars import copy_context
from typing import TextIO

__all__ = ["log_to_stderr"]

# By default the log is not shown: it names servers, and notebooks save a cell's output.
# The page shows everything that concerns a viewer.
logging.getLogger("gpuview").addHandler(logging.NullHandler())

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(level: str) -> None:
    """Show gpuview's log from ``level`` on. Safe to call again: that changes the level.

    In a notebook, it appears below the cell that called this last. If the program has its own
    logging handlers, they get the records, and no other handler is added.

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
    """Writes below the cell that last set up the log.

    A kernel shows a thread's output below the cell of the thread's context. Most of our threads
    have no such context, so their records would be lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cell = copy_context()
        self.setFormatter(logging.Formatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        # A copy: two threads cannot enter one context at the same time.
        self.cell.copy().run(super().emit, record)
