"""What is wrong with a stream's frames just now: told once, and taken back when it is over."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable

from gpuview.errors import FrameError, GpuviewError

__all__ = ["Trouble", "explain"]


class Trouble:
    """Tells of an error that nobody can raise, as no call of the user's is there to raise it in.

    From any thread.

    Args:
        on_error: Told, in the thread that reports it, of each error that differs from the one
            before.
        on_recovered: Told, in the thread that saw it, of the first good frame after an error.
    """

    def __init__(
        self, on_error: Callable[[GpuviewError], None], on_recovered: Callable[[], None]
    ) -> None:
        self._on_error = on_error
        self._on_recovered = on_recovered
        self._lock = threading.Lock()
        self._told: str | None = None

    @property
    def is_there(self) -> bool:
        return self._told is not None

    def report(self, error: GpuviewError) -> None:
        """Tell of ``error``, unless it is the one that was told last."""
        text = str(error)
        with self._lock:
            is_new, self._told = text != self._told, text
        if is_new:
            self._on_error(error)

    def is_over(self) -> None:
        """Say that a frame was good; costs next to nothing when the last one was, too."""
        if self._told is None:
            return
        with self._lock:
            told, self._told = self._told, None
        if told is not None:
            self._on_recovered()

    def __repr__(self) -> str:
        return f"<Trouble {'none' if self._told is None else self._told.splitlines()[0]}>"


def explain(exc: Exception, who: str) -> GpuviewError:
    """Return ``exc`` as one of our own; most are the user's, and can be anything.

    Args:
        who: Whose call raised it, as in ``"the source"``.
    """
    if isinstance(exc, GpuviewError):
        return exc
    last_line = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    error = FrameError(
        f"{who} raised {textwrap.shorten(last_line, 200, placeholder=' ...')}",
        expected="a frame from each call",
        fix="call it once in a cell of its own, which shows the whole traceback",
    )
    error.__cause__ = exc
    return error
