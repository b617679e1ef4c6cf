"""A stream's frames on their way to the ring, and its newest frame.

pushed      handed to the feed
read        converted and written to the ring
unread      kept by reference, because there is no viewer
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpuview.errors import FrameError, StreamClosedError
from gpuview.frames.error_reporter import ErrorReporter, explain
from gpuview.frames.picture.errors import explaining
from gpuview.frames.picture.layout import Reading, Values
from gpuview.frames.picture.look import Look
from gpuview.frames.sink import FrameSink, WriteStats
from gpuview.frames.writer import FrameWriter

__all__ = ["Feed", "FeedStats", "Select"]

Select = Callable[[Any], object]
"""Picks the part of a frame to show."""

_MAX_KINDS = 64
_MAX_DEPTH = 16
_JOIN_S = 0.5


class _Newest(NamedTuple):
    frame: object
    select: Select | None
    number: int


@dataclass(frozen=True, slots=True)
class FeedStats:
    """A snapshot of a feed's counters."""

    n_pushed: int
    n_read: int
    n_dropped: dict[str, int]
    """Frames that were pushed and not read, by reason: unwatched, superseded, failed, or a reason
    passed to `Feed.drop`. A frame that is being read now may be in neither count."""
    writes: WriteStats

    def n_dropped_with(self, n_shown: int) -> dict[str, int]:
        """Return `n_dropped`, including the frames that were superseded in the ring.

        Args:
            n_shown: How many frames the media process took from the ring.
        """
        n_superseded = self.n_dropped.get("superseded", 0) + max(0, self.n_read - n_shown)
        return self.n_dropped | ({"superseded": n_superseded} if n_superseded else {})


class Feed:
    """Reads every frame while there are viewers, and keeps only the newest while there are none.

    From any thread. Without viewers, a push costs about a microsecond: only the first frame of each
    kind (type, shape, dtype and device) is read, so that an invalid frame is refused at once. When
    a viewer joins, a background thread reads the newest frame; if the tensor was overwritten in the
    meantime, its present values are shown.

    A tensor is kept without its autograd graph.

    Args:
        sink: Where frames go, not owned.
        look: How they are shown.
        errors: Receives the error if the background thread cannot read a frame.
        on_hint: As for `FrameWriter`.
    """

    def __init__(
        self,
        sink: FrameSink,
        look: Look,
        errors: ErrorReporter,
        on_hint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._look = look
        self._errors = errors
        self._writer = FrameWriter(sink, on_hint)
        self._reading = threading.Lock()  # held while a frame is read
        self._read_number = 0
        self._lock = threading.Lock()  # guards what follows; never held for long
        self._newest: _Newest | None = None
        self._is_unread = False
        self._is_watched = False
        self._is_closed = False
        self._good_kinds: set[object] = set()
        self._n_pushed = 0
        self._n_read = 0
        self._n_unwatched = 0
        self._n_dropped: Counter[str] = Counter()
        self._catching_up: threading.Thread | None = None

    @property
    def n_pushed(self) -> int:
        return self._n_pushed

    @property
    def has_frame(self) -> bool:
        return self._newest is not None

    def push(self, frame: object, select: Select | None = None) -> None:
        """Make ``frame`` the newest frame.

        Args:
            frame: As for `FrameWriter.write`.
            select: Picks the part to show; called when the frame is read.

        Raises:
            FrameError: The frame was read and cannot be shown.
            MediaError: The sink has no memory for it.
            StreamClosedError: The feed is closed.
        """
        with explaining("reading it"):
            frame, kind = _kept(frame)
            is_good_kind = kind in self._good_kinds
        with self._lock:
            self._n_pushed += 1
            newest = _Newest(frame, select, self._n_pushed)
            if is_good_kind and not self._is_watched:
                self._n_unwatched += 1
                self._newest = newest
                self._is_unread = True
                return
        self._read(newest, kind)

    def watch(self, is_watched: bool) -> None:
        """Start or stop reading frames. From any thread; never waits for a frame."""
        with self._lock:
            self._is_watched = is_watched
            if is_watched and self._is_unread and self._catching_up is None:
                self._catching_up = threading.Thread(
                    target=self._catch_up, name="gpuview-feed", daemon=True
                )
                self._catching_up.start()

    def drop(self, reason: str) -> None:
        """Count a frame that could not be pushed."""
        with self._lock:
            self._n_pushed += 1
            self._n_dropped[reason] += 1

    def frame(self) -> object:
        """Return the newest frame, as it was pushed; None before the first."""
        newest = self._newest
        return None if newest is None else _unwrapped(newest.frame)

    def selected(self) -> object:
        """Return the part of the newest frame that is shown; None before the first frame.

        Waits until its devices have written it.

        Raises:
            FrameError: ``select`` failed, or a device has failed.
        """
        newest = self._newest
        if newest is None:
            return None
        _synchronize(newest.frame)
        return newest.frame if newest.select is None else newest.select(newest.frame)

    @property
    def readings(self) -> Mapping[str | None, Reading]:
        """How the newest frame was read; see Note [as before] in `layout`."""
        return self._writer.readings

    def check_open(self) -> None:
        """Raise StreamClosedError when the feed is closed."""
        if self._is_closed:
            raise StreamClosedError(
                "the stream is closed", expected="an open stream", fix="make a new GPUStream"
            )

    def stats(self) -> FeedStats:
        """Return the current counters."""
        with self._lock:
            dropped = {**self._n_dropped, "unwatched": self._n_unwatched}
            n_pushed, n_read = self._n_pushed, self._n_read
        n_dropped = {reason: count for reason, count in sorted(dropped.items()) if count}
        return FeedStats(n_pushed, n_read, n_dropped, self._writer.stats())

    def close(self) -> None:
        """Accept no more frames, and forget the newest. The sink stays open."""
        with self._lock:
            self._is_closed = True
            self._is_watched = False
            self._is_unread = False
            self._newest = None
            self._good_kinds.clear()
            catching_up = self._catching_up
        if catching_up is not None and catching_up is not threading.current_thread():
            catching_up.join(_JOIN_S)
        self._writer.close()

    def renew_locks(self) -> None:
        """Make new locks in a forked child: a thread of the parent may have held the old ones.

        The next push is read, and the sink then raises the error that explains forking.
        """
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._catching_up = None
        self._errors.renew_lock()
        self._writer.renew_lock()
        self._good_kinds.clear()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "watched" if self._is_watched else "idle"
        return f"<Feed {state} pushed={self._n_pushed} read={self._n_read}>"

    def _read(self, newest: _Newest, kind: object, *, was_unwatched: bool = False) -> None:
        try:
            is_late = not self._is_read(newest)
        except BaseException:
            self._count("failed", was_unwatched)
            raise
        self._errors.clear()
        if is_late:  # another thread has read a newer frame in the meantime
            self._count("superseded", was_unwatched)
            return
        with self._lock:
            self._n_unwatched -= was_unwatched
            self._note_read(newest, kind)

    def _is_read(self, newest: _Newest) -> bool:
        frame = newest.frame if newest.select is None else newest.select(newest.frame)
        with self._reading:
            if newest.number < self._read_number:
                return False
            self.check_open()
            self._writer.write(frame, self._look)
            self._read_number = newest.number
            return True

    def _count(self, reason: str, was_unwatched: bool) -> None:
        with self._lock:
            self._n_unwatched -= was_unwatched
            self._n_dropped[reason] += 1

    def _note_read(self, newest: _Newest, kind: object) -> None:
        self._n_read += 1
        if self._is_closed:
            return
        if self._newest is None or self._newest.number <= newest.number:
            self._newest = newest
            self._is_unread = False
        if kind is not None:
            if len(self._good_kinds) >= _MAX_KINDS:
                self._good_kinds.clear()
            self._good_kinds.add(kind)

    def _catch_up(self) -> None:
        while (newest := self._take_unread()) is not None:
            try:
                _synchronize(newest.frame)
                self._read(newest, None, was_unwatched=True)
            except BaseException as exc:  # SystemExit of `select`, say: the thread goes on
                if not self._is_closed:
                    self._errors.report(explain(exc, "reading the newest frame"))

    def _take_unread(self) -> _Newest | None:
        with self._lock:
            if self._is_watched and self._is_unread:
                self._is_unread = False
                return self._newest
            self._catching_up = None
            return None


def _kept(frame: object, depth: int = 0) -> tuple[object, object]:
    """Return ``frame`` without its autograd graph, and its kind; None if it must always be read."""
    if depth > _MAX_DEPTH:
        raise FrameError(
            f"cannot show a frame that contains itself, or is nested more than {_MAX_DEPTH} deep",
            expected="a tensor, or a dict or list of tensors",
            fix="push the tensors themselves: stream.push([a, b])",
        )
    if isinstance(frame, Tensor):
        try:
            kept = frame.detach() if frame.grad_fn is not None else frame
            return kept, (type(frame), frame.shape, frame.dtype, frame.device)
        # Its device has failed, or a mode forbids access: reading it will raise the right error.
        except Exception:
            return frame, None
    if isinstance(frame, Mapping):
        parts = {name: _kept(part, depth + 1) for name, part in frame.items()}
        kinds = tuple((str(name), kind) for name, (_, kind) in parts.items())
        return {name: part for name, (part, _) in parts.items()}, _joint_kind(kinds)
    if isinstance(frame, list | tuple):
        each = [_kept(part, depth + 1) for part in frame]
        return [part for part, _ in each], _joint_kind(tuple(enumerate(kind for _, kind in each)))
    if isinstance(frame, Values):
        part, kind = _kept(frame.tensor, depth + 1)
        return Values(part), None if kind is None else (Values, kind)
    return frame, (frame.shape, frame.dtype) if isinstance(frame, np.ndarray) else None


def _joint_kind(kinds: tuple[tuple[object, object], ...]) -> object:
    return None if any(kind is None for _, kind in kinds) else kinds


def _unwrapped(frame: object) -> object:
    """Return ``frame`` with `Values` replaced by their tensors."""
    if isinstance(frame, Values):
        return frame.tensor
    if isinstance(frame, dict):
        return {name: _unwrapped(part) for name, part in frame.items()}
    return frame


def _devices_of(frame: object) -> set[torch.device]:
    """Return the CUDA devices that hold parts of ``frame``."""
    frame = _unwrapped(frame)
    if isinstance(frame, Tensor):
        return {frame.device} if frame.is_cuda else set()
    parts = frame.values() if isinstance(frame, dict) else frame if isinstance(frame, list) else ()
    return set().union(*map(_devices_of, parts))


def _synchronize(frame: object) -> None:
    """Wait for the work that writes to ``frame``."""
    for device in _devices_of(frame):
        try:
            torch.cuda.synchronize(device)
        except RuntimeError as exc:  # of any earlier work on the device
            raise explain(exc, str(device)) from exc
