"""Unexpected exceptions: logged with their traceback, then reported like any other error."""

from __future__ import annotations

import logging

from gpuview.errors import GpuviewError
from gpuview.protocol.page_messages import Problem

__all__ = ["log_fault", "problem_of"]

logger = logging.getLogger("gpuview.media")


def log_fault(exc: BaseException) -> None:
    """Log an exception that should never happen."""
    logger.error("gpuview failed inside, please report it", exc_info=exc)


def problem_of(exc: Exception) -> Problem:
    """Return the problem to show for an exception; log the exception if it is unexpected.

    Keeps no reference to it: its traceback would keep frames and a ring's memory alive.
    """
    if isinstance(exc, GpuviewError):
        return Problem(problem=exc.problem, expected=exc.expected, fix=exc.fix)
    log_fault(exc)
    return Problem(
        problem=f"gpuview failed inside: {type(exc).__name__}: {exc}",
        expected="no exception here",
        fix="please report it, with the traceback in the log",
    )
