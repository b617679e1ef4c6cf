"""A picture that stands still, without loss: one PNG for all viewers.

The encode thread only copies the picture out of the ring. A thread of its own makes the PNG, with a
lower priority, so that no new frame waits for it: 10 to 80 ms of CPU at 720p, and 0 for a picture
that moves on before it is due. PNG with zlib's level 1 and the filter "up" takes half the time of
lossless WebP, at 5 to 90 % more bytes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

import av
from av.video.reformatter import VideoReformatter

from gpuview.media.encode.codec import TIME_BASE
from gpuview.media.encode.convert import copied_without_loss
from gpuview.media.encode.schedule import StillClock
from gpuview.media.internal_error import log_fault
from gpuview.protocol.ring import Slot

__all__ = ["Still", "StillBoard", "StillMaker", "png_of"]

_NICENESS = 10
_NEVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Still:
    """A picture without loss."""

    capture_ns: int
    """Of the picture, as in `Packet`."""
    png: bytes


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    capture_ns: int
    frame: av.VideoFrame


class StillMaker:
    """Makes a `Still` of each picture that stands still, while somebody wants it.

    `changed` and `make` belong to the encode thread; the rest may be called from any thread.

    Args:
        on_still: Called with each still, on a thread of its own; and with None when there is
            another picture or none.
    """

    def __init__(self, on_still: Callable[[Still | None], None]) -> None:
        self.is_wanted = False
        """Whether somebody can show a still."""
        self._on_still = on_still
        self._clock = StillClock()
        self._lock = threading.Lock()  # guards the rest
        self._number = 0  # of the picture
        self._is_posted = False
        self._job: _Job | None = None
        self._worker: threading.Thread | None = None

    @property
    def due_s(self) -> float:
        """When `make` is to be called; infinite if it is not."""
        return self._clock.due_s if self.is_wanted else _NEVER_S

    def changed(self, now_s: float) -> None:
        """Note that a new picture was encoded: an older one is no longer wanted."""
        self.forget()
        self._clock.changed(now_s)

    def forget(self) -> None:
        """Drop the present picture and its still."""
        self._clock.done()
        with self._lock:
            self._number += 1
            self._job = None
            was_posted, self._is_posted = self._is_posted, False
        if was_posted:
            self._on_still(None)

    def make(self, slot: Slot | None) -> None:
        """Make a still of the picture in ``slot``, in the background. Never raises."""
        self._clock.done()
        if slot is None:
            return
        try:
            frame = copied_without_loss(slot)
            if frame is not None and slot.is_whole():  # otherwise a newer picture is there
                self._start(frame, slot.capture_ns)
        except Exception as exc:  # want of memory: the video goes on
            log_fault(exc)

    def close(self) -> None:
        """Wait for the thread, if there is one."""
        self.forget()
        worker = self._worker
        if worker is not None:
            worker.join()

    def _start(self, frame: av.VideoFrame, capture_ns: int) -> None:
        with self._lock:
            self._job = _Job(self._number, capture_ns, frame)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name="gpuview-still", daemon=True
                )
                self._worker.start()

    # --- on the thread of its own -------------------------------------------------------------

    def _work(self) -> None:
        # On Linux, a thread has a priority of its own.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (job := self._next_job()) is not None:
            try:
                self._post(job.number, Still(job.capture_ns, png_of(job.frame)))
            except Exception as exc:
                log_fault(exc)

    def _next_job(self) -> _Job | None:
        with self._lock:
            job, self._job = self._job, None
            if job is None:
                self._worker = None
            return job

    def _post(self, number: int, still: Still) -> None:
        with self._lock:  # held, so that the None of `forget` comes later
            if number == self._number:
                self._is_posted = True
                self._on_still(still)

    def __repr__(self) -> str:
        state = "making" if self._worker is not None else "wanted" if self.is_wanted else "off"
        return f"<StillMaker {state}>"


class StillBoard:
    """The present still of a stream, for its viewers. Lives on the event loop.

    Args:
        on_wanted: Called with True when the first viewer wants stills, and with False when the last
            one has gone.
    """

    def __init__(self, on_wanted: Callable[[bool], None]) -> None:
        self.newest: Still | None = None
        """None while the picture moves."""
        self._on_wanted = on_wanted
        self._listeners: set[Callable[[], None]] = set()

    def post(self, still: Still | None) -> None:
        """Make this the newest still, and tell the viewers."""
        self.newest = still
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when `newest` has changed."""
        self._listeners.add(listener)
        self._on_wanted(True)

    def leave(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` no more."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._on_wanted(False)

    def __repr__(self) -> str:
        return f"<StillBoard viewers={len(self._listeners)} newest={self.newest is not None}>"


def png_of(frame: av.VideoFrame) -> bytes:
    """Encode a grey frame, or an RGB frame, packed or in planes, as a PNG."""
    pixel_format = "gray" if frame.format.name == "gray" else "rgb24"
    context = av.CodecContext.create("png", "w")
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = pixel_format
    context.time_base = TIME_BASE
    context.thread_count = 1
    context.options = {"compression_level": "1", "pred": "up"}
    frame.pts = 0
    packets = context.encode(VideoReformatter().reformat(frame, format=pixel_format))
    return bytes((packets or context.encode(None))[0])
