"""What is wrong with a stream's frames just now: told once, and taken back when it is over."""

from __future__ import annotations

import logging
import textwrap
import threading
import traceback
from collections.abc import Callable
from copy import copy

from gpuview.errors import FrameError, GpuviewError

__all__ = ["ErrorReporter", "explain"]

logger = logging.getLogger("gpuview")


class ErrorReporter:
    """Tells of an error that nobody can raise, as no call of the user's is there to raise it in.

    From any thread. Each part of a stream has its own error, so that one part's good frames do not
    take another part's error back. What a listener raises is logged.

    Args:
        on_error: Told, in the thread that reports it, of each error that differs from the part's
            one before; and of one that is left when another is over.
        on_recovered: Told, in the thread that saw it, when no part has an error any more.
    """

    def __init__(
        self, on_error: Callable[[GpuviewError], None], on_recovered: Callable[[], None]
    ) -> None:
        self._on_error = on_error
        self._on_recovered = on_recovered
        self._lock = threading.Lock()
        self._errors: dict[str, GpuviewError] = {}  # by part

    @property
    def error(self) -> GpuviewError | None:
        """What is wrong now; of several errors the oldest."""
        with self._lock:
            return next(iter(self._errors.values()), None)

    def report(self, error: GpuviewError, part: str = "") -> None:
        """Tell of ``error``, unless it is the part's last one."""
        with self._lock:
            is_new = str(error) != str(self._errors.get(part))
            # Without its traceback: that keeps the tensors which the source was at work on.
            self._errors[part] = copy(error)
        if is_new:
            self._tell(self._on_error, error)

    def is_over(self, part: str = "") -> None:
        """Say that a part's frame was good; costs next to nothing when the last one was, too."""
        if part not in self._errors:
            return
        with self._lock:
            was_there = self._errors.pop(part, None) is not None
            other = next(iter(self._errors.values()), None)
        if was_there and other is not None:
            self._tell(self._on_error, other)
        elif was_there:
            self._tell(self._on_recovered)

    def renew_lock(self) -> None:
        """Take a new lock in a forked child: another thread of the parent may have held the old."""
        self._lock = threading.Lock()

    def _tell(self, listener: Callable[..., None], *args: object) -> None:
        try:
            listener(*args)
        except Exception:  # as it must reach neither the source's thread nor a tapped module
            logger.exception("a listener to a stream's trouble failed")

    def __repr__(self) -> str:
        error = self.error
        return f"<ErrorReporter {'none' if error is None else error.problem}>"


def explain(exc: Exception, who: str) -> GpuviewError:
    """Return ``exc`` as one of our own; most are the user's, and can be anything.

    Args:
        who: Whose call raised it, as in ``"the source"``.
    """
    if isinstance(exc, GpuviewError):
        return exc
    text = "".join(traceback.format_exception_only(exc))  # also of one that has no text
    error = FrameError(
        f"{who} raised {textwrap.shorten(text, 200, placeholder=' ...')}",
        expected="a frame from each call",
        fix="call it once in a cell of its own, which shows the whole traceback",
    )
    error.__cause__ = exc
    return error
