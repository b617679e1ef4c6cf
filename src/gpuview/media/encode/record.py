"""Writes a stream's packets to files, without encoding anything again.

A recorder takes packets as a viewer does, and never holds the others up: its files are written on a
thread of its own, and what a slow disk cannot take is dropped there, up to the next keyframe.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from gpuview.errors import RecordingError
from gpuview.media.encode.codec import CLOCK_HZ, Codec, Packet
from gpuview.media.encode.fanout import Subscription
from gpuview.media.encode.mp4 import Mp4File
from gpuview.media.encode.recording_keyframes import KeyframePace
from gpuview.media.internal_error import problem_of
from gpuview.protocol.media_messages import RecordingEnded, RecordingProgress, StartRecording
from gpuview.protocol.recording import numbered, open_next_file
from gpuview.protocol.stats import RecordingCounters

__all__ = ["CODEC", "Recorder"]

CODEC = Codec("H264", "Main")
"""What is recorded: the codec that nearly every viewer gets."""

_MAX_WAITING_NBYTES = 32 * 1024 * 1024
_MAX_FILES = 100
_KEYFRAME_SPACING_S = 0.5
_REPORT_EVERY_S = 1.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Recorder(Subscription):
    """One recording: a subscription whose packets go to files. `put` and `end` never wait.

    Its thread begins with it and ends with the recording: after `end`, or with a failure.

    Args:
        codec: `CODEC`.
        request: As for `Subscription`.
        start: The kernel's request.
        fds: The descriptors that came with it; owned once this returns.
        send: Tells the kernel. Called on the recorder's thread; `RecordingEnded` comes last.
    """

    is_viewer = False

    def __init__(
        self,
        codec: Codec,
        request: Callable[[float], None],
        *,
        start: StartRecording,
        fds: list[int],
        send: Callable[[RecordingProgress | RecordingEnded], None],
    ) -> None:
        super().__init__(codec, request)
        self._pace = KeyframePace()
        self._has_begun = False
        self._changed = threading.Condition()  # guards the next four
        self._waiting: deque[Packet] = deque()
        self._waiting_nbytes = 0
        self._n_lost = 0
        self._end: int | None = None
        # The rest belongs to the thread.
        self._start = start
        self._send = send
        self._first_fd, self._folder_fd = fds
        self._number = start.number
        self._file: Mp4File | None = None
        self._files: list[int] = []
        self._closed_nbytes = 0
        self._frames = 0
        self._capture_ns = -1
        self._report_s = float("-inf")
        self._thread = threading.Thread(target=self._run, name="gpuview-record", daemon=True)
        self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Whether a first keyframe has come."""
        return self._has_begun

    def put(self, packet: Packet) -> None:
        """Queue a packet, unless it could not be decoded, or the disk is too slow."""
        if self._wants_keyframe(packet) or self._pace.is_due(packet):
            self._request(_KEYFRAME_SPACING_S)  # not `request_keyframe`: the link is not in trouble

    def end(self) -> None:
        """Take no more packets; the thread ends when the files are whole."""
        with self._changed:
            if self._end is None:
                self._end = time.monotonic_ns() * CLOCK_HZ // 1_000_000_000
            self._changed.notify()

    def join(self) -> None:
        """Wait until the files are closed; call `end` first."""
        self._thread.join()

    def _wants_keyframe(self, packet: Packet) -> bool:
        """Queue a packet, or drop it; tell whether only a keyframe could be queued next."""
        with self._changed:
            if self._end is not None:
                return False
            is_full = self._waiting_nbytes + packet.nbytes > _MAX_WAITING_NBYTES
            if is_full or (self._needs_keyframe and not packet.is_keyframe):
                self._n_lost += self._has_begun
                self._needs_keyframe = True
                # All viewers would pay for it, so there must be room.
                return self._waiting_nbytes <= _MAX_WAITING_NBYTES // 2
            self._needs_keyframe = False
            self._has_begun = True
            self._waiting.append(packet)
            self._waiting_nbytes += packet.nbytes
            self._changed.notify()
            return False

    # --- on the recorder's thread -------------------------------------------------------------

    def _run(self) -> None:
        problem = None
        try:
            while (packet := self._next()) is not None:
                self._write(packet)
                self._report()
            self._close_file(self._end or 0)
        except Exception as exc:
            problem = problem_of(self._explained(exc))
            self.end()
        try:
            self._release()
        finally:
            counters = self._counters()
            self._send(
                RecordingEnded(recording=self._start.recording, counters=counters, problem=problem)
            )

    def _next(self) -> Packet | None:
        """Wait for a packet; None when all have been written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._end is not None)
            if not self._waiting:
                return None
            packet = self._waiting.popleft()
            self._waiting_nbytes -= packet.nbytes
            return packet

    def _write(self, packet: Packet) -> None:
        if self._file is None or self._file.size != (packet.width, packet.height):
            self._close_file(packet.timestamp)
            self._file = Mp4File(self._open_file(), packet)
            self._files.append(self._number)
        self._file.add(packet)
        self._frames += packet.capture_ns != self._capture_ns
        self._capture_ns = packet.capture_ns

    def _open_file(self) -> int:
        if self._first_fd >= 0:
            fd, self._first_fd = self._first_fd, -1
            return fd
        if len(self._files) >= _MAX_FILES:
            raise RecordingError(
                f"the recording {self._start.name} has ended: the picture's size has changed "
                f"{_MAX_FILES} times, and each size needs a file",
                expected="a picture that seldom changes its size",
                fix="give the stream a size: GPUStream(size=(640, 480))",
            )
        start = self._start
        fd, self._number = open_next_file(
            self._folder_fd, start.name, self._number + 1, overwrite=start.overwrite
        )
        return fd

    def _close_file(self, end: int) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close(end)
            finally:
                self._closed_nbytes += file.nbytes

    def _release(self) -> None:
        """Close everything, also after a failure; a file that has no frame is removed."""
        with suppress(Exception):
            self._close_file(self._end or 0)
        if self._first_fd >= 0:
            os.close(self._first_fd)
            with suppress(OSError):
                os.unlink(numbered(self._start.name, self._number), dir_fd=self._folder_fd)
        os.close(self._folder_fd)

    def _report(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._report_s + _REPORT_EVERY_S:
            self._report_s = now_s
            self._send(
                RecordingProgress(recording=self._start.recording, counters=self._counters())
            )

    def _counters(self) -> RecordingCounters:
        return RecordingCounters(
            files=list(self._files),
            frames=self._frames,
            packets_dropped=self._n_lost,
            nbytes=self._closed_nbytes + (self._file.nbytes if self._file is not None else 0),
        )

    def _explained(self, exc: Exception) -> Exception:
        if not isinstance(exc, OSError):
            return exc
        has_room = exc.errno not in _NO_ROOM
        return RecordingError(
            f"the recording {numbered(self._start.name, self._number)} has ended: {exc.strerror}",
            expected="a file that can be written" if has_room else "room for the file",
            fix="record to another folder" if has_room else "free some space, and record again",
        )

    def __repr__(self) -> str:
        state = "open" if self._end is None else "ended"
        return f"<Recorder {self._start.name} {state} frames={self._frames}>"
