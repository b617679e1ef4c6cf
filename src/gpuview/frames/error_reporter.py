"""The current errors of a stream's frames: each is reported once and cleared by a good frame."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy

from gpuview.errors import FrameError, GpuviewError, shorten

__all__ = ["ErrorReporter", "explain", "explained", "is_interrupt"]

logger = logging.getLogger("gpuview")


class ErrorReporter:
    """Reports errors that cannot be raised, because they happen outside any call by the user.

    From any thread. Each part of a stream has its own error, so a good frame of one part does not
    clear the error of another. Exceptions of the callbacks are logged.

    Args:
        on_error: Called in the reporting thread when a part's error changes, and for an error that
            remains when another is cleared.
        on_recovered: Called in the reporting thread when the last error is cleared.
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
        """The current error; the oldest if there are several."""
        with self._lock:
            return next(iter(self._errors.values()), None)

    def report(self, error: GpuviewError, part: str = "") -> None:
        """Report ``error``, unless the part's current error says the same."""
        with self._lock:
            is_new = str(error) != str(self._errors.get(part))
            # A copy has no traceback, which would keep the source's tensors alive.
            self._errors[part] = copy(error)
        if is_new:
            self._call(self._on_error, error)

    def clear(self, part: str = "") -> None:
        """Clear a part's error after a good frame. Costs next to nothing if there is no error."""
        if part not in self._errors:
            return
        with self._lock:
            was_there = self._errors.pop(part, None) is not None
            other = next(iter(self._errors.values()), None)
        if was_there and other is not None:
            self._call(self._on_error, other)
        elif was_there:
            self._call(self._on_recovered)

    def renew_lock(self) -> None:
        """Make a new lock in a forked child: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        try:
            callback(*args)
        except Exception:  # it must not reach the source's thread or a tapped module
            logger.exception("a callback for a stream's errors failed")

    def __repr__(self) -> str:
        error = self.error
        return f"<ErrorReporter {'none' if error is None else error.problem}>"


def is_interrupt(exc: BaseException) -> bool:
    """Tell whether the user has interrupted the main thread, which must then stop."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and isinstance(exc, KeyboardInterrupt)


@contextmanager
def explained(who: str, *passing: type[BaseException]) -> Iterator[None]:
    """Raise any exception of the user's code as a `GpuviewError`, SystemExit too; see `explain`.

    Exceptions of the types ``passing`` pass unchanged, and so does the user's interrupt.
    """
    try:
        yield
    except BaseException as exc:
        if isinstance(exc, (GpuviewError, *passing)) or is_interrupt(exc):
            raise
        raise explain(exc, who) from exc


def explain(exc: BaseException, who: str) -> GpuviewError:
    """Return ``exc``, which the user's code may have raised, as a `GpuviewError`.

    Args:
        exc: Any exception.
        who: The code that raised it, for example ``"the source"``.
    """
    if isinstance(exc, GpuviewError):
        return exc
    text = "".join(traceback.format_exception_only(exc))  # unlike str(exc), never empty
    error = FrameError(
        f"{who} raised {shorten(text, 200)}",
        expected="a frame from each call",
        fix="call it once in a separate cell to see the whole traceback",
    )
    error.__cause__ = exc
    return error
