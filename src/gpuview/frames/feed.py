"""A stream's frames on their way to the ring, and its newest frame.

pushed      handed to the feed
read        converted and written to the ring
unwatched   kept by reference, because there is no viewer
expected    of a viewer: the stream has just been displayed, and counts as watched
stale       of the newest frame: the ring does not have it, or has it with an older look
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace

from gpuview.errors import MediaError, StreamClosedError
from gpuview.frames.background_thread import BackgroundThread
from gpuview.frames.error_reporter import ErrorReporter, explain
from gpuview.frames.feed_stats import READ, UNWATCHED, FeedCounters, FeedStats
from gpuview.frames.inspection import Inspection
from gpuview.frames.picture.errors import explaining
from gpuview.frames.picture.legend import Meaning
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.picture_map import PictureMap
from gpuview.frames.picture.select import Select
from gpuview.frames.picture.tensor_layout import Reading
from gpuview.frames.pushed_frame import PushedFrame, synchronize, to_keep, unwrapped
from gpuview.frames.sink import FrameSink
from gpuview.frames.writer import FrameWriter

__all__ = ["Feed"]

_MAX_KINDS = 64
_EXPECT_S = 5.0
"""So long after a display, its first viewer is expected."""
_PATIENCE_S = 1.0


class Feed:
    """Reads every frame while there are viewers, and keeps only the newest while there are none.

    From any thread. Without viewers, a push costs about a microsecond: the first frame of each kind
    (type, shape, dtype and device) is checked, so that an invalid frame is refused at once, and
    nothing is drawn. When a viewer joins, a background thread reads the newest frame; if the tensor
    was overwritten in the meantime, its present values are shown. The thread does the same when the
    look changes, and frees the ring when the last viewer leaves.

    A tensor is kept without its autograd graph.

    Args:
        sink: Where frames go, not owned.
        look: How they are shown.
        errors: Receives the error if the background thread cannot read a frame.
        on_hint: As for `FrameWriter`.
        on_legend: As for `FrameWriter`.
    """

    def __init__(
        self,
        sink: FrameSink,
        look: Look,
        errors: ErrorReporter,
        on_hint: Callable[[str], None] = lambda _: None,
        on_legend: Callable[[tuple[Meaning, ...]], None] = lambda _: None,
    ) -> None:
        self._sink = sink
        self._errors = errors
        self._writer = FrameWriter(sink, on_hint, on_legend)
        self._reading = threading.Lock()  # held while a frame is read; taken before the other lock
        self._read_number = 0
        self._lock = threading.Lock()  # guards what follows; never held for long
        self._background = BackgroundThread(self._work, "gpuview-feed")
        self._look = look
        self._look_number = 0  # counts the changes of the look and of what is selected
        self._newest: PushedFrame | None = None
        self._is_stale = False
        self._is_watched = False
        self._expected_until_s = 0.0
        self._has_ring = False
        self._end: StreamClosedError | None = None
        self._good_kinds: set[object] = set()
        self._counters = FeedCounters()

    @property
    def n_pushed(self) -> int:
        return self._counters.n_pushed

    @property
    def look(self) -> Look:
        return self._look

    @property
    def has_frame(self) -> bool:
        return self._newest is not None

    def push(self, frame: object, select: Select | None = None) -> None:
        """Make ``frame`` the newest frame.

        Args:
            frame: As for `FrameWriter.write`.
            select: Picks the part to show; called when the frame is read.

        Raises:
            FrameError: The frame was read or checked, and cannot be shown.
            MediaError: It cannot be shown now, and the frame is not the reason. It is kept.
            StreamClosedError: The feed is closed.
        """
        with explaining("reading it"):
            frame, kind = to_keep(frame)
            is_good_kind = kind in self._good_kinds
        with self._lock:
            self._counters.n_pushed += 1
            pushed = PushedFrame(frame, select, self.n_pushed, time.monotonic_ns())
            if is_good_kind and not self._is_wanted:
                self._keep(pushed)
                return
        try:
            self._read(pushed)
        except MediaError:
            with self._lock:
                self._make_newest(pushed)
            raise
        if not is_good_kind:
            self._remember(kind)

    def watch(self, is_watched: bool) -> None:
        """Start or stop reading frames. From any thread; never waits for a frame."""
        with self._lock:
            if self._end is None and self._is_watched != is_watched:
                # What an expected viewer gets is in the ring already.
                self._is_stale |= self._newest is not None and not self._is_wanted
                self._is_watched = is_watched
                if not is_watched:
                    self._expected_until_s = 0.0
                self._start_background()

    def expect_viewer(self) -> None:
        """Write the newest frame to the ring, and read frames for 5 s, as if somebody watched.

        A viewer that comes then needs nothing of this process, which may be busy with code that
        lets no thread run. Waits for the newest frame, a second at most.
        """
        with self._lock:
            if self._end is not None or self._is_watched:
                return
            self._is_stale |= self._newest is not None and not self._is_wanted
            self._expected_until_s = time.monotonic() + _EXPECT_S
            self._background.expect_rest()
            self._background.wake()
            self._start_background()
            is_awaited = self._background.is_running
        if is_awaited:
            self._background.wait_for_rest(_PATIENCE_S)

    def show(self, look: Look) -> None:
        """Show all frames with this look from now on, the newest one too."""
        with self._lock:
            if look.layout != self._look.layout:
                self._writer.readings = {}
            is_only_room = look == replace(self._look, room=look.room)
            self._look = look
        shown = self.map
        if not (is_only_room and shown is not None and shown.has_one_tile):
            self.redraw()

    def redraw(self) -> None:
        """Read the newest frame again, in the background, because it is to look different."""
        with self._lock:
            self._look_number += 1
            self._good_kinds.clear()
            self._is_stale = self._newest is not None
            self._start_background()

    def drop(self, reason: str) -> None:
        """Count a frame that could not be pushed."""
        with self._lock:
            self._counters.drop(reason)

    def frame(self) -> object:
        """Return the newest frame, as it was pushed; None before the first."""
        newest = self._newest
        return None if newest is None else unwrapped(newest.frame)

    def selected(self) -> object:
        """Return the part of the newest frame that is shown; None before the first frame.

        Waits until its devices have written it.

        Raises:
            FrameError: ``select`` failed, or a device has failed.
        """
        newest = self._newest
        if newest is None:
            return None
        synchronize(newest.frame)
        return newest.selected()

    def inspect(self, before: Inspection | None) -> Inspection | None:
        """Return the newest frame for a look at its values; None before the first frame.

        Waits until its devices have written it.

        Args:
            before: What this returned the last time, which may still be the newest.

        Raises:
            FrameError: ``select`` failed, a device has failed, or the frame cannot be shown.
        """
        newest, look = self._newest, self._look
        if newest is None:
            return None
        if before is not None and (before.number, before.look) == (newest.number, look):
            return before
        return Inspection(newest, look, self.readings)

    @property
    def readings(self) -> Mapping[str | None, Reading]:
        """How the newest frame was read; see Note [as before] in `layout`."""
        return self._writer.readings

    @property
    def pushed_ns(self) -> int:
        """When the newest frame was pushed, on ``time.monotonic_ns``; 0 before the first."""
        newest = self._newest
        return 0 if newest is None else newest.pushed_ns

    @property
    def map(self) -> PictureMap | None:
        """What the newest frame's picture shows where; None before the first frame."""
        return self._writer.map

    @property
    def sides(self) -> tuple[int, int] | None:
        """Width and height of the newest frame's picture in pixels; None before the first."""
        shown = self.map
        return None if shown is None else (shown.plan.width, shown.plan.height)

    def check_open(self) -> None:
        """Raise StreamClosedError when the feed is closed."""
        if self._end is not None:
            raise copy(self._end)  # raised again, the same object would collect tracebacks

    def stats(self) -> FeedStats:
        """Return the current counters."""
        writes = self._writer.stats()
        with self._lock:
            return self._counters.stats(writes)

    def close(self) -> None:
        """Accept no more frames, and forget the newest. The sink stays open."""
        with self._lock:
            self._refuse(
                StreamClosedError(
                    "the stream is closed", expected="an open stream", fix="make a new GPUStream"
                )
            )
            self._newest = None
            wait_for_end = self._background.end_soon()
        wait_for_end()
        self._writer.close()

    def abandon(self, error: StreamClosedError) -> None:
        """Accept no more frames in a forked child: each push raises ``error``.

        Makes new locks, because threads of the parent may have held the old ones. The newest frame
        is kept, as freeing its memory may call CUDA, which does not work in a forked child.
        """
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._background = BackgroundThread(self._work, "gpuview-feed")
        self._errors.renew_lock()
        self._writer.renew_lock()
        self._refuse(error)

    def __repr__(self) -> str:
        state = "closed" if self._end is not None else "watched" if self._is_watched else "idle"
        return f"<Feed {state} pushed={self.n_pushed} read={self._counters.n_read}>"

    def _read(self, pushed: PushedFrame) -> None:
        """Write a frame to the ring; without viewers, check and keep it. Count it."""
        look_number = self._look_number
        try:
            fate = self._write(pushed)
        except BaseException:
            with self._lock:
                self._counters.count(pushed, "failed")
                self._start_background()  # which frees the ring, if no viewer comes
            raise
        self._errors.clear()
        with self._lock:
            if fate == UNWATCHED:
                self._keep(pushed)
            else:
                self._counters.count(pushed, fate)
            if fate == READ and self._make_newest(pushed):
                self._is_stale = self._look_number != look_number
            self._start_background()  # a viewer has come, or the look has changed in the meantime

    def _write(self, pushed: PushedFrame) -> str:
        frame = pushed.selected()
        with self._reading:
            self.check_open()
            if pushed.number < self._read_number:
                return "superseded"  # another thread has read a newer frame in the meantime
            with self._lock:
                is_wanted, look = self._is_wanted, self._look
                self._has_ring |= is_wanted
            if not is_wanted:
                self._writer.check(frame, look)
                return UNWATCHED
            self._writer.write(frame, look)
            self._read_number = pushed.number
            return READ

    def _keep(self, pushed: PushedFrame) -> None:
        """Keep a frame unread until a viewer joins."""
        self._counters.count(pushed, UNWATCHED)
        if self._make_newest(pushed):
            self._is_stale = True

    def _make_newest(self, pushed: PushedFrame) -> bool:
        """Keep a frame, unless there is a newer one or the feed is closed."""
        newest = self._newest
        if self._end is not None or (newest is not None and newest.number > pushed.number):
            return False
        self._newest = pushed
        self._is_stale = False
        return True

    def _remember(self, kind: object) -> None:
        with self._lock:
            if kind is None or self._end is not None:
                return
            if len(self._good_kinds) >= _MAX_KINDS:
                self._good_kinds.clear()
            self._good_kinds.add(kind)

    def _refuse(self, error: StreamClosedError) -> None:
        self._end = self._end or error
        self._is_watched = False
        self._expected_until_s = 0.0
        self._good_kinds.clear()

    @property
    def _is_wanted(self) -> bool:
        """Whether there is a viewer, or one is expected."""
        return self._is_watched or time.monotonic() < self._expected_until_s

    # --- in the background --------------------------------------------------------------------

    def _start_background(self) -> None:
        """Start the thread if there is work for it. The caller holds the lock."""
        is_to_read = self._is_wanted and self._is_stale
        if self._background.is_running and (is_to_read or self._is_watched):
            self._background.wake()
        has_work = is_to_read or (self._has_ring and not self._is_watched)
        if has_work and self._end is None:
            self._background.start()

    def _work(self) -> float:
        """Do what is to be done in the background; return the seconds to rest, 0 at the end."""
        while not isinstance(work := self._next_work(), float):
            try:
                work()
            except BaseException as exc:  # SystemExit of `select`, say: the thread goes on
                if self._end is None:
                    self._errors.report(explain(exc, "reading the newest frame"))
        return work

    def _next_work(self) -> Callable[[], None] | float:
        with self._lock:
            newest = self._newest
            rest_s = self._expected_until_s - time.monotonic()
            is_wanted = self._is_watched or rest_s > 0
            if self._end is None and not is_wanted and self._has_ring:
                return self._release
            if is_wanted and self._is_stale and newest is not None:
                self._is_stale = False
                return lambda: self._read_again(newest)
            self._background.rest()
            if self._end is None and not self._is_watched and self._has_ring:
                return rest_s  # then the ring is freed, if no viewer has come
            self._background.end()
            return 0.0

    def _read_again(self, newest: PushedFrame) -> None:
        synchronize(newest.frame)
        self._read(newest)

    def _release(self) -> None:
        """Free the ring and the memory on devices until the next viewer joins."""
        with self._reading:
            with self._lock:
                if self._is_wanted:
                    return
                self._has_ring = False
            self._writer.release()
            self._sink.release()
