"""The recording that a view's button starts and stops: one at a time, in the working directory.

A page chooses nothing but when: the kernel makes the name, and a bound on the size ends what was
forgotten. Whoever reaches the kernel's comm could run code in it, so the button gives no new right.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal, TypedDict

from gpuview.errors import GpuviewError
from gpuview.recording import Recording

__all__ = ["RecordingState", "ViewRecording"]

_MOST_NBYTES = 2_000_000_000
_LOOK_S = 0.5
_MOST_NAMES = 1000


class RecordingState(TypedDict):
    """What pages are told; their trait ``recording``."""

    state: Literal["off", "on", "saved", "failed"]
    text: str
    """The file's name, or for failed: why."""


class ViewRecording:
    """Starts and stops a recording when pages ask for it. From any thread; never waits.

    Args:
        start: Begins a recording to a file that does not exist, or raises a `GpuviewError`.
        publish: Tells the pages; on a thread of its own.
    """

    def __init__(
        self, start: Callable[[Path], Recording], publish: Callable[[RecordingState], None]
    ) -> None:
        self._start = start
        self._publish = publish
        self._lock = threading.Lock()  # guards the rest
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def ask(self, is_on: bool) -> None:
        """Begin, or end, unless that is so already."""
        with self._lock:
            is_busy = self._thread is not None and self._thread.is_alive()
            if not is_on:
                self._stop.set()
            elif not is_busy:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._record, args=(self._stop,), name="gpuview-view-recording"
                )
                self._thread.daemon = True
                self._thread.start()

    def _record(self, stop: threading.Event) -> None:
        try:
            recording = self._start(_free_path(Path.cwd(), date.today()))
        except (GpuviewError, OSError) as exc:
            self._publish({"state": "failed", "text": _reason(exc)})
            return
        self._publish({"state": "on", "text": recording.path.name})
        while recording.is_open and recording.nbytes < _MOST_NBYTES and not stop.wait(_LOOK_S):
            pass
        recording.stop()
        if recording.error is not None:
            self._publish({"state": "failed", "text": _reason(recording.error)})
        elif not recording.paths:
            self._publish({"state": "failed", "text": "no frame came"})
        else:
            self._publish({"state": "saved", "text": recording.path.name})


def _free_path(folder: Path, today: date) -> Path:
    """Return the first name of the day that is free; the last one if all are taken."""
    paths = (folder / f"gpuview-{today:%Y-%m-%d}-{n}.mp4" for n in range(1, _MOST_NAMES))
    path = folder
    for path in paths:
        if not path.exists():
            break
    return path


def _reason(exc: Exception) -> str:
    return exc.problem if isinstance(exc, GpuviewError) else str(exc)
