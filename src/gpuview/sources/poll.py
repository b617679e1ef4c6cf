"""A thread that polls a callable for frames while there are viewers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter, explain, explained
from gpuview.sources.due_times import RETRY_S, Haste, next_due
from gpuview.sources.switch_interval import short_switch_interval

__all__ = ["Poller"]

_JOIN_S = 1.0
_PATIENCE_S = 2.0


class Poller:
    """Makes frames at a steady rate while there are viewers, on a thread that exists for as long.

    It starts without viewers, and makes a frame at once when the first one joins. An error is
    reported once, and the source is tried again every half second. After an iterable's last frame
    the last picture stays.

    Args:
        next_frame: Returns the next frame; raises StopIteration after the last. Called by one
            thread at a time.
        push: Takes each frame, in the same thread.
        interrupt: Ends a wait in ``next_frame``, if it can; called from any thread.
        on_ended: Called on the thread after an iterable's last frame.
        fps: The target frame rate; a slow source is polled less often.
        errors: Receives errors, and is cleared after a good frame, on the thread.
        between: Called on the thread, between two frames, after each `wake`. The next frame may be
            made sooner for it.
    """

    def __init__(
        self,
        next_frame: Callable[[], object],
        push: Callable[[object], None],
        interrupt: Callable[[], None] = lambda: None,
        *,
        on_ended: Callable[[], None] = lambda: None,
        fps: float,
        errors: ErrorReporter,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._next_frame = next_frame
        self._push = push
        self._interrupt = interrupt
        self._on_ended = on_ended
        self._period = 1 / fps
        self._errors = errors
        self._between = between
        self._is_woken = False
        self._has_made_one = False
        self._source_ms: float | None = None
        self._making = threading.Lock()  # held while a frame is made
        self._changed = threading.Condition()  # guards what follows
        self._due = 0.0
        self._haste = Haste()
        self._is_watched = False
        self._has_ended = False
        self._is_closed = False
        self._is_in_between = False
        self._thread: threading.Thread | None = None

    @property
    def source_ms(self) -> float | None:
        """How long the source took for its last frame, in milliseconds; None before the first."""
        return self._source_ms

    def watch(self, is_watched: bool) -> None:
        """Start or stop making frames. From any thread; never waits for a frame."""
        with self._changed:
            self._is_watched = is_watched
            self._changed.notify()
            if is_watched and self._thread is None and not (self._has_ended or self._is_closed):
                self._start()

    def wake(self) -> bool:
        """Have ``between`` called soon; return False if there is no thread now. From any thread."""
        with self._changed:
            if self._thread is None or not self._is_watched or self._is_closed:
                return False
            self._is_woken = True
            self._changed.notify()
            return True

    def go_on(self) -> None:
        """Make frames on another thread: this one is in a ``between`` that does not return."""
        with self._changed:
            if self._is_in_between and not self._is_closed:
                self._is_in_between, self._thread = False, None
                if self._is_watched:
                    self._start()

    def set_fps(self, fps: float) -> None:
        """Make frames at this rate from now on. From any thread."""
        with self._changed:
            self._period = 1 / fps
            self._due = min(self._due, time.monotonic() + self._period)
            self._changed.notify()

    def abandon(self) -> None:
        """Do nothing in a forked child, which has no thread."""

    def ensure_frame(self) -> None:
        """Make the first frame in the caller's thread, unless it exists.

        The poller's thread may be making it; waits at most 2 s for that.

        Raises:
            FrameError: The source raised, has ended, or is still busy with its first frame.
            StreamClosedError: The stream is closed.
        """
        if not self._making.acquire(timeout=_PATIENCE_S):
            raise FrameError(
                "the source is still busy with its first frame",
                expected=f"a frame within {_PATIENCE_S:g} s",
                fix="try again once the stream shows a picture",
            )
        try:
            if not self._has_made_one:
                with explained("the source", StopIteration):
                    self._make_one()
        except StopIteration:
            raise _no_frame() from None
        finally:
            self._making.release()

    def close(self) -> None:
        """End the thread and wait for it, one second at most: a source may hang."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        self._interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def __repr__(self) -> str:
        if self._has_ended or self._is_closed:
            state = "ended"
        elif self._errors.error is not None:
            state = "failing"
        else:
            state = "watched" if self._is_watched else "idle"
        return f"<Poller {state} fps={1 / self._period:g}>"

    def _start(self) -> None:
        """Start a thread, in place of the present one."""
        thread = threading.Thread(target=self._run, name="gpuview-source", daemon=True)
        thread.start()
        self._thread = thread

    def _run(self) -> None:
        try:
            while self._is_wanted():
                self._make_frames()
            self._between()  # what came since; no frame follows
        except StopIteration:  # an iterable has ended
            with self._changed:
                self._has_ended = True
                self._thread = None
            self._between()
            # A generator that raised also ends; its own error says why.
            if not self._has_made_one and self._errors.error is None:
                self._errors.report(_no_frame())
            self._on_ended()

    def _is_wanted(self) -> bool:
        """Tell whether there is a viewer; if not, this thread ends and `watch` starts another."""
        with self._changed:
            if self._thread is not threading.current_thread():
                return False  # another has taken over
            if self._is_watched and not self._is_closed:
                return True
            self._thread = None
            return False

    def _make_frames(self) -> None:
        """Make frames until there are no viewers, the first frame at once."""
        self._due = time.monotonic()
        while self._wait_until_due():
            is_good = self._try_one()
            now = time.monotonic()
            with self._changed:
                self._due = next_due(now, self._due, self._period) if is_good else now + RETRY_S

    def _wait_until_due(self) -> bool:
        """Wait until the next frame is due; return False at once when there are no viewers."""
        while True:
            with self._changed:
                while not self._is_woken:
                    if not self._is_mine:
                        return False
                    left = self._due - time.monotonic()
                    if left <= 0:
                        return True
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                if not self._is_mine:
                    return False
                self._is_woken, self._is_in_between = False, True
            try:
                self._between()
            finally:
                with self._changed:
                    if self._thread is threading.current_thread():
                        self._is_in_between = False
                        self._due = self._haste.due(time.monotonic(), self._due, self._period)

    @property
    def _is_mine(self) -> bool:
        """Whether this thread is to make frames."""
        is_present = self._thread is threading.current_thread()
        return is_present and self._is_watched and not self._is_closed

    def _try_one(self) -> bool:
        try:
            with self._making, short_switch_interval():
                self._make_one()
        except StopIteration:
            raise
        except BaseException as exc:  # SystemExit, say: the thread goes on
            self._errors.report(explain(exc, "the source"))
            return False
        self._errors.clear()
        return True

    def _make_one(self) -> None:
        begin = time.perf_counter()
        frame = self._next_frame()
        self._source_ms = (time.perf_counter() - begin) * 1000
        self._push(frame)
        self._has_made_one = True


def _no_frame() -> FrameError:
    return FrameError(
        "the source ended before its first frame",
        expected="an iterable that has frames left",
        fix="create it again: GPUStream(frames())",
    )
