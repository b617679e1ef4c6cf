"""Where frames come from when nobody pushes: a thread that asks for them while somebody watches."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from gpuview.errors import FrameError, GpuviewError
from gpuview.frames.error_reporter import ErrorReporter, explain

__all__ = ["RETRY_S", "PullSource", "next_due", "quick_switching"]

RETRY_S = 0.5
"""How long after an error the next try is."""
_JOIN_S = 1.0
_PATIENCE_S = 2.0
_QUICK_S = 0.001


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
        pull: Gives the next frame; raises StopIteration after the last. Called in inference mode,
            by one thread at a time.
        push: Takes each frame, in the same thread.
        fps: Frames a second that are aimed at. A slower source makes fewer.
        errors: Told, from the thread, of errors and when they are over.
    """

    def __init__(
        self,
        pull: Callable[[], object],
        push: Callable[[object], None],
        *,
        fps: float,
        errors: ErrorReporter,
    ) -> None:
        self._pull = pull
        self._push = push
        self._period = 1 / fps
        self._errors = errors
        self._has_made_one = False
        self._source_ms: float | None = None
        self._asking = threading.Lock()  # held while a frame is made
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
        """Start or stop asking for frames. From any thread; never waits for a frame."""
        with self._changed:
            self._is_watched = is_watched
            self._changed.notify()

    def ask(self) -> None:
        """Make the first frame in the caller's thread, unless it is there; in inference mode.

        Waits 2 s at most for the thread, which may be at it.

        Raises:
            FrameError: The source raised, is at its end, or is still busy with its first frame.
            StreamClosedError: The stream is closed.
        """
        if not self._asking.acquire(timeout=_PATIENCE_S):
            raise FrameError(
                "the source is still busy with its first frame",
                expected=f"a frame within {_PATIENCE_S:g} s",
                fix="ask again once the stream shows a picture",
            )
        try:
            if not self._has_made_one:
                with torch.inference_mode():
                    self._make_one()
        except StopIteration:
            raise _no_frame() from None
        except GpuviewError:
            raise
        except Exception as exc:
            raise explain(exc, "the source") from exc
        finally:
            self._asking.release()

    def close(self) -> None:
        """End the thread and wait for it, one second at most: a source may hang."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def __repr__(self) -> str:
        if not self._thread.is_alive():
            state = "ended"
        elif self._errors.error is not None:
            state = "failing"
        else:
            state = "watched" if self._is_watched else "idle"
        return f"<PullSource {state} fps={1 / self._period:g}>"

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._wait_for_viewer():
                    self._make_frames()
        except StopIteration:  # an iterable is at its end
            # A generator that raised is at its end, too: its error says why.
            if not self._has_made_one and self._errors.error is None:
                self._errors.report(_no_frame())

    def _wait_for_viewer(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_watched)
            return not self._is_closed

    def _make_frames(self) -> None:
        """Make frames, the first one at once, until nobody watches."""
        due = time.monotonic()
        while self._is_watched_at(due):
            is_good = self._try_one()
            now = time.monotonic()
            due = next_due(now, due, self._period) if is_good else now + RETRY_S

    def _is_watched_at(self, due: float) -> bool:
        """Wait until ``due``, or until nobody watches."""

        def is_over() -> bool:
            return self._is_closed or not self._is_watched

        with self._changed:
            return not self._changed.wait_for(is_over, timeout=due - time.monotonic())

    def _try_one(self) -> bool:
        try:
            with self._asking, quick_switching():
                self._make_one()
        except StopIteration:
            raise
        except Exception as exc:
            self._errors.report(explain(exc, "the source"))
            return False
        self._errors.is_over()
        return True

    def _make_one(self) -> None:
        begin = time.perf_counter()
        frame = self._pull()
        self._source_ms = (time.perf_counter() - begin) * 1000
        self._push(frame)
        self._has_made_one = True


def _no_frame() -> FrameError:
    return FrameError(
        "the source is at its end and gave no frame",
        expected="an iterable that has frames left",
        fix="make it anew: GPUStream(frames())",
    )
