"""Where gpuview's log goes when the settings say so."""

from __future__ import annotations

import logging

__all__ = ["log_to_stderr"]

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(level: str) -> None:
    """Show gpuview's log from ``level`` on. Safe to call again, which changes the level.

    A program that has set up logging for itself is given the records and keeps its own handlers.

    Args:
        level: "error", "warning", "info" or "debug".
    """
    logger = logging.getLogger("gpuview")
    logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
