"""A thread that polls a callable for frames while there are viewers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter, explain, explained
from gpuview.sources.pacing import RETRY_S, next_due
from gpuview.sources.switch_interval import short_switch_interval

__all__ = ["Poller"]

_JOIN_S = 1.0
_PATIENCE_S = 2.0


class Poller:
    """Makes frames at a steady rate, on its own thread, while there are viewers.

    It starts without viewers, and makes a frame at once when the first one joins. An error is
    reported once, and the source is tried again every half second. After an iterable's last frame
    the thread ends, and the last picture stays.

    Args:
        next_frame: Returns the next frame; raises StopIteration after the last. Called by one
            thread at a time.
        push: Takes each frame, in the same thread.
        interrupt: Ends a wait in ``next_frame``, if it can; called from any thread.
        fps: The target frame rate; a slow source is polled less often.
        errors: Receives errors, and is cleared after a good frame, on the thread.
    """

    def __init__(
        self,
        next_frame: Callable[[], object],
        push: Callable[[object], None],
        interrupt: Callable[[], None] = lambda: None,
        *,
        fps: float,
        errors: ErrorReporter,
    ) -> None:
        self._next_frame = next_frame
        self._push = push
        self._interrupt = interrupt
        self._period = 1 / fps
        self._errors = errors
        self._has_made_one = False
        self._source_ms: float | None = None
        self._making = threading.Lock()  # held while a frame is made
        self._changed = threading.Condition()
        self._is_watched = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="gpuview-source", daemon=True)
        self._thread.start()

    @property
    def source_ms(self) -> float | None:
        """How long the source took for its last frame, in milliseconds; None before the first."""
        return self._source_ms

    def watch(self, is_watched: bool) -> None:
        """Start or stop making frames. From any thread; never waits for a frame."""
        with self._changed:
            self._is_watched = is_watched
            self._changed.notify()

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
        self._interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def __repr__(self) -> str:
        if not self._thread.is_alive():
            state = "ended"
        elif self._errors.error is not None:
            state = "failing"
        else:
            state = "watched" if self._is_watched else "idle"
        return f"<Poller {state} fps={1 / self._period:g}>"

    def _run(self) -> None:
        try:
            while self._wait_for_viewer():
                self._make_frames()
        except StopIteration:  # an iterable has ended
            # A generator that raised also ends; its own error says why.
            if not self._has_made_one and self._errors.error is None:
                self._errors.report(_no_frame())

    def _wait_for_viewer(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_watched)
            return not self._is_closed

    def _make_frames(self) -> None:
        """Make frames until there are no viewers, the first frame at once."""
        due = time.monotonic()
        while self._is_watched_at(due):
            is_good = self._try_one()
            now = time.monotonic()
            due = next_due(now, due, self._period) if is_good else now + RETRY_S

    def _is_watched_at(self, due: float) -> bool:
        """Wait until ``due``, or until there are no viewers; return whether there are any."""

        def is_over() -> bool:
            return self._is_closed or not self._is_watched

        with self._changed:
            return not self._changed.wait_for(is_over, timeout=due - time.monotonic())

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
