"""Exceptions that nobody foresaw: logged with their traceback, and told like all others."""

from __future__ import annotations

import logging

from gpuview.errors import GpuviewError
from gpuview.protocol.messages import Problem

__all__ = ["log_fault", "problem_of"]

logger = logging.getLogger("gpuview.media")


def log_fault(exc: BaseException) -> None:
    """Log an exception that should never happen."""
    logger.error("gpuview failed inside, please report it", exc_info=exc)


def problem_of(exc: Exception) -> Problem:
    """Return what a page or a user is shown of an exception; logs one that nobody foresaw.

    Keeps nothing of the exception, whose traceback would hold frames and a ring's memory.
    """
    if isinstance(exc, GpuviewError):
        return Problem(problem=exc.problem, expected=exc.expected, fix=exc.fix)
    log_fault(exc)
    return Problem(
        problem=f"gpuview failed inside: {type(exc).__name__}: {exc}",
        expected="no such exception",
        fix="please report it, with the traceback in the log",
    )
