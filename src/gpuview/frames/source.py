"""Where frames come from when nobody pushes: a thread that asks for them while somebody watches."""

from __future__ import annotations

import inspect
import math
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from gpuview.errors import FrameError, GpuviewError

__all__ = ["PullSource", "as_pull", "next_due", "quick_switching"]

_RETRY_S = 0.5
_JOIN_S = 2.0
_QUICK_S = 0.001


def as_pull(source: object) -> Callable[[], object] | None:
    """Return the function that gives the next frame of ``source``.

    Args:
        source: A module or another callable that takes no argument, an iterable of frames, one
            frame that changes in place, or None.

    Returns:
        A function without arguments, which raises StopIteration after an iterable's last frame; or
        None for None: the stream is pushed to.

    Raises:
        FrameError: None of these, or a callable that needs an argument.
    """
    if source is None:
        return None
    if isinstance(source, torch.Tensor | np.ndarray):
        return lambda: source
    if callable(source) and _takes_no_argument(source):
        return source
    if isinstance(source, Iterable) and not isinstance(source, nn.Module | str | bytes):
        return iter(source).__next__
    raise FrameError(
        f"cannot ask an object of type {type(source).__name__} for frames",
        expected="a module or callable that takes no argument, an iterable of tensors, or a tensor",
        fix="push what it makes: stream = GPUStream(); stream.push(model(x))",
    )


def _takes_no_argument(function: Callable[..., object]) -> bool:
    # A module's __call__ takes anything; its forward tells.
    target = function.forward if isinstance(function, nn.Module) else function
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # written in C, and does not say
        return True
    return not any(_is_required(parameter) for parameter in parameters)


def _is_required(parameter: inspect.Parameter) -> bool:
    is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_variadic


def next_due(now: float, due: float, period: float) -> float:
    """Return when the frame after the one due at ``due`` is due; all in seconds.

    Due times stay on one grid. A late frame is followed at once by the next one, but only by one:
    the result is never more than a period before ``now``, and what was due before it is left out.
    """
    late_periods = math.floor((now - due) / period)
    return due + max(1, late_periods) * period


class _QuickSwitching:
    """The interpreter's switch interval, shortened while at least one thread wants that.

    A thread that wants the GIL gets it from running Python after this interval. At the usual 5 ms,
    one that makes frames loses 5 ms at each of its torch operations while a cell is busy.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before = 0.0
        self._ours = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                self._before = sys.getswitchinterval()
                _set_switch_interval(min(self._before, _QUICK_S))
                self._ours = sys.getswitchinterval()

    def _leave(self) -> None:
        with self._lock:
            self._holders -= 1
            # Another value is the user's own by now, and stays.
            if self._holders == 0 and sys.getswitchinterval() == self._ours:
                _set_switch_interval(self._before)


def _set_switch_interval(interval: float) -> None:
    # It is cut to whole microseconds: without half of one more, each restore could lose one.
    sys.setswitchinterval(interval + 0.5e-6)


quick_switching = _QuickSwitching()
"""Context manager: threads of this process wait at most 1 ms for the GIL, while it is open."""


class PullSource:
    """Asks for frames at a steady rate on a thread of its own, while somebody watches.

    It starts unwatched. When it begins to be watched, a frame is made at once. An error is told
    once and tried again every half second; after an iterable's last frame the thread ends and the
    last picture stays.

    Args:
        pull: Gives the next frame; raises StopIteration after the last. Called in inference mode.
        push: Takes each frame, in the same thread.
        fps: Frames a second that are aimed at. A slower source makes fewer.
        on_error: Told, from the thread, of each error that differs from the one before.
        on_recovered: Told, from the thread, of the first good frame after an error.
    """

    def __init__(
        self,
        pull: Callable[[], object],
        push: Callable[[Any], None],
        *,
        fps: float,
        on_error: Callable[[GpuviewError], None],
        on_recovered: Callable[[], None],
    ) -> None:
        self._pull = pull
        self._push = push
        self._period = 1 / fps
        self._on_error = on_error
        self._on_recovered = on_recovered
        self._error: str | None = None
        self._changed = threading.Condition()
        self._is_watched = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="gpuview-source", daemon=True)
        self._thread.start()

    def watch(self, is_watched: bool) -> None:
        """Start or stop asking for frames. From any thread; never waits for a frame."""
        with self._changed:
            self._is_watched = is_watched
            self._changed.notify()

    def close(self) -> None:
        """End the thread and wait for it, two seconds at most: a source may hang."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def __repr__(self) -> str:
        if not self._thread.is_alive():
            state = "ended"
        elif self._error is not None:
            state = "failing"
        else:
            state = "watched" if self._is_watched else "idle"
        return f"<PullSource {state} fps={1 / self._period:g}>"

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._wait_for_viewer():
                    self._make_frames()
        except StopIteration:
            return  # an iterable is at its end

    def _wait_for_viewer(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_watched)
            return not self._is_closed

    def _make_frames(self) -> None:
        """Make frames, the first one at once, until nobody watches."""
        due = time.monotonic()
        while self._is_watched_at(due):
            is_good = self._make_frame()
            now = time.monotonic()
            due = next_due(now, due, self._period) if is_good else now + _RETRY_S

    def _is_watched_at(self, due: float) -> bool:
        """Wait until ``due``, or until nobody watches."""

        def is_over() -> bool:
            return self._is_closed or not self._is_watched

        with self._changed:
            return not self._changed.wait_for(is_over, timeout=due - time.monotonic())

    def _make_frame(self) -> bool:
        try:
            with quick_switching():
                self._push(self._pull())
        except StopIteration:
            raise
        except Exception as exc:
            self._report(_explain(exc))
            return False
        if self._error is not None:
            self._error = None
            self._on_recovered()
        return True

    def _report(self, error: GpuviewError) -> None:
        if str(error) != self._error:
            self._error = str(error)
            self._on_error(error)


def _explain(exc: Exception) -> GpuviewError:
    """Return ``exc`` as one of our own; most are the user's, and can be anything."""
    if isinstance(exc, GpuviewError):
        return exc
    last_line = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    error = FrameError(
        f"the source raised {textwrap.shorten(last_line, 200, placeholder=' ...')}",
        expected="a frame from each call",
        fix="call it once in a cell of its own, which shows the whole traceback",
    )
    error.__cause__ = exc
    return error
