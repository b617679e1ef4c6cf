"""Pure: where a stream has been displayed, and whether it may still be seen there."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator

from gpuview.ipykernel_compat import CellRun

__all__ = ["DisplayIds", "Displays"]

_LATE_S = 30.0
_MOST_IDS = 16


class Displays:
    """The outputs that show one stream, and whether views of them are connected. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the rest
        self._runs: set[CellRun] = set()
        self._n_unplaced = 0
        self._is_elsewhere = False
        self._is_watched = False
        self._ended_s: float | None = None

    @property
    def are_over(self) -> bool:
        """Whether the stream was displayed, and nobody can see it any more."""
        return self.are_replaced and not self._is_watched

    @property
    def are_replaced(self) -> bool:
        """Whether the stream was displayed, and all of its outputs are gone, seen or not."""
        is_known = not self._n_unplaced and not self._is_elsewhere
        return self._ended_s is not None and is_known

    def described(self) -> None:
        """The stream was described for a page; it may be anywhere until `placed` says where."""
        with self._lock:
            self._n_unplaced += 1

    def placed(self, run: CellRun | None) -> None:
        """The description is in this run's output; None: at a place that cannot be followed."""
        with self._lock:
            self._n_unplaced = max(self._n_unplaced - 1, 0)
            if run is None:
                self._is_elsewhere = True
            else:
                self._runs.add(run)
                self._ended_s = None

    def cell_started(self, run: CellRun, now_s: float) -> None:
        """A cell runs, perhaps again: what its earlier runs displayed is gone from the page."""
        with self._lock:
            left = {each for each in self._runs if each.cell_id != run.cell_id or each == run}
            if self._runs and not left:
                self._ended_s = now_s
            self._runs = left

    def watched(self, is_watched: bool, now_s: float) -> None:
        """Views have come or gone.

        A view ends with its output, or soon after. If there is one long after all known outputs
        are gone, it is in another, such as a copy that the user made in the page.
        """
        with self._lock:
            is_late = self._ended_s is not None and now_s - self._ended_s > _LATE_S
            if is_late and (is_watched or self._is_watched):
                self._is_elsewhere = True
            self._is_watched = is_watched

    def __repr__(self) -> str:
        return f"<Displays outputs={len(self._runs)} {'over' if self.are_over else 'kept'}>"


class DisplayIds:
    """The ids of a stream's newest outputs, which nothing but the stream itself replaces.

    Each has its own: JupyterLab draws all outputs anew that have the id of another one.

    Args:
        stream: Distinguishes them from those of other streams.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._numbers = itertools.count(1)
        self._ids: deque[str] = deque(maxlen=_MOST_IDS)

    def new(self) -> str:
        """Return the id for an output that is about to be sent. From any thread."""
        self._ids.append(f"gpuview-{self._stream}-{next(self._numbers)}")
        return self._ids[-1]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._ids))

    def __contains__(self, display_id: object) -> bool:
        return display_id in self._ids
