"""Recordings of a stream, as users see them: `Recording`, which `GPUStream.record` returns.

The media process writes the files. It gets the first one opened, and its folder, so that whatever
is wrong with the path is raised in the cell, and so that it needs no access to paths of its own.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Self

from gpuview.errors import GpuviewError, RecordingError
from gpuview.protocol.media_messages import (
    RecordingEnded,
    RecordingProgress,
    StartRecording,
    StopRecording,
)
from gpuview.protocol.page_messages import Message
from gpuview.protocol.recording import numbered, open_file, open_next_file
from gpuview.protocol.stats import RecordingCounters

__all__ = ["Recording", "Recordings"]

logger = logging.getLogger("gpuview")

_SUFFIX = ".mp4"
_WAIT_S = 10.0
_NONE = RecordingCounters()
_NAMED = ("a path whose name ends in .mp4", 'stream.record("run.mp4")')

Send = Callable[[Message, Sequence[int]], None]


class Recording:
    """A recording of a stream; `GPUStream.record` makes it. From any thread.

        recording = stream.record("run.mp4")
        ...
        recording.stop()

    As a context manager, it stops at the end of the ``with`` block.
    """

    def __init__(
        self, number: int, path: Path, overwrite: bool, stop: Callable[[Recording], None]
    ) -> None:
        self.error: GpuviewError | None = None
        """Why it ended before it was stopped, such as a full disk; None if it did not."""
        self._number = number
        self._overwrite = overwrite
        self._is_stopping = False
        self._path = path
        self._stop = stop
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._before = _NONE  # what earlier media processes have written
        self._counters = _NONE  # what this one has

    @property
    def path(self) -> Path:
        """The first file."""
        return self._path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files so far, the first one too once it has a frame; see `GPUStream.record`."""
        numbers = [*self._before.files, *self._counters.files]
        return tuple(self._path.with_name(numbered(self._path.name, each)) for each in numbers)

    @property
    def frames(self) -> int:
        """How many pictures have been recorded; up to a second old while it is open."""
        return self._before.frames + self._counters.frames

    @property
    def packets_dropped(self) -> int:
        """How many packets are missing in the files, because the disk was too slow."""
        return self._before.packets_dropped + self._counters.packets_dropped

    @property
    def nbytes(self) -> int:
        """The size of the files; up to a second old while it is open."""
        return self._before.nbytes + self._counters.nbytes

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return not self._ended.is_set()

    def stop(self) -> None:
        """End the recording, with the frame that was pushed last. Safe to call twice.

        Waits until the files are whole, at most 10 s. Raises nothing: a failure is in `error`, and
        has been shown in the cell.
        """
        if self.is_open:
            self._is_stopping = True
            self._stop(self)
            if not self._ended.wait(_WAIT_S):
                logger.warning("%s has not been closed within %g s", self._path, _WAIT_S)

    # --- for `Recordings` ---------------------------------------------------------------------

    def _take(self, counters: RecordingCounters) -> None:
        """Take what the media process has written by now."""
        self._counters = counters
        self._begun.set()

    def _wait_until_begun(self) -> None:
        """Wait until it has begun, or ended; less than a second, but for the first stream."""
        self._begun.wait(_WAIT_S)

    def _continue_after(self) -> int:
        """Begin to count for another media process; return the lowest number of its first file."""
        before, now, self._counters = self._before, self._counters, _NONE
        self._before = RecordingCounters(
            files=[*before.files, *now.files],
            frames=before.frames + now.frames,
            packets_dropped=before.packets_dropped + now.packets_dropped,
            nbytes=before.nbytes + now.nbytes,
        )
        return max(self._before.files, default=0) + 1

    def _end(self, error: GpuviewError | None) -> None:
        """Note that nothing more will be written."""
        self.error = error
        self._ended.set()
        self._begun.set()

    def _abandon(self) -> None:
        """End in a forked child, where a thread of the parent may have held the old event."""
        self._ended = threading.Event()
        self._ended.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self.error is None else "failed"
        files = f" files={len(self.paths)}" if len(self.paths) > 1 else ""
        dropped = f" packets_dropped={self.packets_dropped}" if self.packets_dropped else ""
        return f"<Recording {self._path.name} {state} frames={self.frames}{files}{dropped}>"


class Recordings:
    """The recordings of one stream. From any thread.

    Args:
        send: Sends a message about the stream to the media process, with descriptors.
        newest_seq: Returns the number of the stream's newest frame in the ring.
        on_change: Called when the first recording begins and when the last one ends, perhaps more.
        on_failed: Called with the error that has ended a recording, and with None when one begins.
    """

    def __init__(
        self,
        send: Send,
        newest_seq: Callable[[], int],
        *,
        on_change: Callable[[], None],
        on_failed: Callable[[GpuviewError | None], None],
    ) -> None:
        self._send = send
        self._newest_seq = newest_seq
        self._on_change = on_change
        self._on_failed = on_failed
        self._numbers = itertools.count(1)
        self._open: dict[int, Recording] = {}

    @property
    def is_active(self) -> bool:
        """Whether something is being recorded."""
        return bool(self._open)

    def start(self, path: str | os.PathLike[str], *, overwrite: bool) -> Recording:
        """Begin a recording; waits for the media process, at most 10 s.

        Raises:
            RecordingError: The path is no name of an MP4 file that can be written, or the media
                process cannot record.
        """
        target = _target(path)
        recording = Recording(next(self._numbers), target, overwrite, self._stop)
        with _opened_folder(target) as folder_fd:
            fd = open_file(folder_fd, target.name, overwrite=overwrite)
            self._on_failed(None)
            self._open[recording._number] = recording
            self._begin(recording, 1, fd, folder_fd)
        self._on_change()
        recording._wait_until_begun()
        if recording.error is not None:
            raise copy(recording.error)
        return recording

    def receive(self, message: RecordingProgress | RecordingEnded) -> None:
        """Take what the media process says about a recording."""
        recording = self._open.get(message.recording)
        if recording is None:
            return
        recording._take(message.counters)
        if isinstance(message, RecordingEnded):
            problem = message.problem
            self._end(
                recording,
                None
                if problem is None
                else RecordingError(problem.problem, expected=problem.expected, fix=problem.fix),
            )

    def resume(self) -> None:
        """Go on in new files, because the media process has died and another one runs."""
        for recording in list(self._open.values()):
            if recording._is_stopping:
                self._end(recording, None)
                continue
            try:
                self._go_on(recording)
            except RecordingError as exc:
                self._end(recording, exc)

    def end(self, error: GpuviewError | None) -> None:
        """End all recordings, which nobody writes any more."""
        for recording in list(self._open.values()):
            self._end(recording, error)

    def close(self) -> None:
        """Stop all recordings, and wait as `Recording.stop` does."""
        for recording in list(self._open.values()):
            recording.stop()

    def abandon(self) -> None:
        """Forget all recordings in a forked child: they go on in the parent."""
        recordings, self._open = self._open, {}
        for recording in recordings.values():
            recording._abandon()

    def _begin(self, recording: Recording, number: int, fd: int, folder_fd: int) -> None:
        """Let the media process write; closes ``fd``, of which it gets a copy."""
        try:
            self._send(
                StartRecording(
                    recording=recording._number,
                    name=recording.path.name,
                    number=number,
                    overwrite=recording._overwrite,
                ),
                [fd, folder_fd],
            )
        finally:
            os.close(fd)

    def _go_on(self, recording: Recording) -> None:
        path, number = recording.path, recording._continue_after()
        with _opened_folder(path) as folder_fd:
            fd, number = open_next_file(
                folder_fd, path.name, number, overwrite=recording._overwrite
            )
            self._begin(recording, number, fd, folder_fd)

    def _stop(self, recording: Recording) -> None:
        self._send(StopRecording(recording=recording._number, seq=self._newest_seq()), ())

    def _end(self, recording: Recording, error: GpuviewError | None) -> None:
        if self._open.pop(recording._number, None) is None:
            return
        if error is not None:
            logger.warning("%s", error)
            self._on_failed(error)
        self._on_change()
        recording._end(error)

    def __repr__(self) -> str:
        return f"<Recordings {list(self._open.values())}>"


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of the file; no file is touched."""
    if not isinstance(path, str | os.PathLike):
        raise _refusal(path, f"this is of type {type(path).__name__}", *_NAMED)
    text = os.path.abspath(os.path.expanduser(os.fsdecode(path)))
    target = Path(text)
    if target.suffix != _SUFFIX:
        raise _refusal(path, f"only {_SUFFIX} files are written", *_NAMED)
    if "\0" in text or not _is_unicode(text):
        raise _refusal(path, "its name has characters that no message can carry", *_NAMED)
    return target


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    """Give a descriptor of the folder of ``path``; explain why a file in it cannot be opened."""
    try:
        folder_fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        fix = f"make it first: os.makedirs({str(path.parent)!r})"
        raise _refusal(path, f"its folder: {exc.strerror}", "a folder that exists", fix) from exc
    try:
        yield folder_fd
    except FileExistsError as exc:
        fix = "give another name, or replace the file: overwrite=True"
        raise _refusal(path, "the file exists", "a new file", fix) from exc
    except BlockingIOError as exc:
        fix = "stop the other recording first, or give another name"
        raise _refusal(path, "it is being recorded to", "one recording for each file", fix) from exc
    except OSError as exc:
        expected = "a file in a folder that you may write to"
        raise _refusal(path, exc.strerror or str(exc), expected, "give another path") from exc
    finally:
        os.close(folder_fd)


def _refusal(path: object, why: str, expected: str, fix: str) -> RecordingError:
    given = str(path) if isinstance(path, Path) else repr(path)
    return RecordingError(f"cannot record to {given}: {why}", expected=expected, fix=fix)
