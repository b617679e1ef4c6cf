"""How the workers of a run find this kernel: what is posted while any of its streams is open."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from gpuview.cluster.join_file import WrittenJoinFile
from gpuview.cluster.ray_discovery import Notice
from gpuview.signalling.time_limit import call_within

__all__ = ["Posted", "posted"]

_REMOVED_IN_S = 10.0
_posted: dict[str, Posted] = {}


def posted(run: str) -> Posted:
    """Return what belongs to a run, which all of its streams share."""
    return _posted.setdefault(run, Posted())


class Posted:
    """The join files of one run, and its notice on Ray. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the rest
        self._streams: set[object] = set()
        self._files: dict[Path, WrittenJoinFile] = {}
        self._notice: Notice | None = None
        self._is_noticed = False  # or is being so

    def stream_opened(self, stream: object) -> None:
        """Keep what is posted until this stream has closed as well; it is known by any object."""
        with self._lock:
            self._streams.add(stream)

    def stream_closed(self, stream: object) -> None:
        """Remove all that is posted, after the last stream. Waits for the file system."""
        with self._lock:
            self._streams.discard(stream)
            removed = [] if self._streams else self._taken()
        for each in removed:
            _remove(each)

    def add_file(self, written: WrittenJoinFile) -> None:
        """Take care of a file, or remove it, if all streams have closed meanwhile."""
        with self._lock:
            is_kept = bool(self._streams)
            if is_kept:
                self._files[written.path] = written
        if not is_kept:
            _remove(written)

    def begin_notice(self) -> bool:
        """Return whether a notice is to be posted, by this caller: none is, or is about to be."""
        with self._lock:
            is_mine = not self._is_noticed
            self._is_noticed = True
            return is_mine

    def end_notice(self, notice: Notice | None) -> None:
        """Take care of the notice that was posted; None: it could not be."""
        with self._lock:
            is_kept = notice is not None and bool(self._streams)
            self._notice, self._is_noticed = (notice if is_kept else None), is_kept
        if notice is not None and not is_kept:
            _remove(notice)

    def abandon(self) -> None:
        """Forget everything in a forked child: it is the parent's."""
        self._lock = threading.Lock()  # a thread of the parent may have held the old one
        self._streams.clear()
        self._files.clear()
        self._notice, self._is_noticed = None, False

    def _taken(self) -> list[WrittenJoinFile | Notice]:
        removed: list[WrittenJoinFile | Notice] = [*self._files.values()]
        self._files.clear()
        if self._notice is not None:
            removed.append(self._notice)
            self._notice, self._is_noticed = None, False
        return removed

    def __repr__(self) -> str:
        return f"<Posted for {len(self._streams)} streams: {[str(each) for each in self._files]}>"


def _remove(each: WrittenJoinFile | Notice) -> None:
    with contextlib.suppress(OSError):
        call_within(_REMOVED_IN_S, each.remove)
