"""What is wrong with a stream's frames now: reported once, and withdrawn when it is over."""

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
    """Reports errors that cannot be raised, because they happen outside any call of the user.

    From any thread. Each part of a stream has its own error, so that one part's good frames do not
    withdraw another part's error. Errors of the listeners are logged.

    Args:
        on_error: Called, in the reporting thread, for each error that differs from the part's last
            one; and for an error that remains when another is over.
        on_recovered: Called, in the reporting thread, when no part has an error any more.
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
        """What is wrong now: the oldest error, if there are several."""
        with self._lock:
            return next(iter(self._errors.values()), None)

    def report(self, error: GpuviewError, part: str = "") -> None:
        """Report ``error``, unless the part's last one says the same."""
        with self._lock:
            is_new = str(error) != str(self._errors.get(part))
            # Without its traceback, which would keep the source's tensors alive.
            self._errors[part] = copy(error)
        if is_new:
            self._tell(self._on_error, error)

    def is_over(self, part: str = "") -> None:
        """Say that a part's frame was good. Costs next to nothing if the last one was good too."""
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
        except Exception:  # it must not reach the source's thread or a tapped module
            logger.exception("a listener to a stream's errors failed")

    def __repr__(self) -> str:
        error = self.error
        return f"<ErrorReporter {'none' if error is None else error.problem}>"


def explain(exc: Exception, who: str) -> GpuviewError:
    """Return ``exc`` as one of our own errors; it may be any error of the user's code.

    Args:
        who: What raised it, for example ``"the source"``.
    """
    if isinstance(exc, GpuviewError):
        return exc
    text = "".join(traceback.format_exception_only(exc))  # also if it has no text
    error = FrameError(
        f"{who} raised {textwrap.shorten(text, 200, placeholder=' ...')}",
        expected="a frame from each call",
        fix="call it once in a cell of its own, which shows the whole traceback",
    )
    error.__cause__ = exc
    return error
