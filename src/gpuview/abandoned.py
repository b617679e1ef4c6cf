"""Streams that no variable and no output refers to are closed when the next cell starts or ends.

ipywidgets keeps every widget alive, because a page may show it. But the output of a cell is gone
when the cell runs again. A stream whose outputs are all gone, and that nobody watches, is taken out
of ipywidgets' registry, and out of IPython's history of results, while Python collects garbage. If
anything else refers to it, it is alive afterwards, and is put back. Wherever an output cannot be
followed, the stream stays: in an ``Output`` widget, under a display id, in captured output, and
in front ends that do not name their cells.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import ref

from gpuview.displays import DisplayIds, Displays
from gpuview.ipykernel_compat import CellRun, cell_run, hear_displays, kernel_shell
from gpuview.ipython_compat import without_results
from gpuview.ipywidgets_compat import is_captured, read_messages_weakly, unregistered

__all__ = ["AbandonedStreams", "FollowedStream", "follow"]

logger = logging.getLogger("gpuview")

_MIMETYPE = "application/vnd.jupyter.widget-view+json"
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0


def follow(stream: Any, close: Callable[[], None]) -> FollowedStream:
    """Call ``close`` when nothing refers to ``stream`` any more, if that can be known.

    Args:
        stream: A widget with an open comm, which this closes too.
        close: Frees what is left of the stream, between two cells; must not refer to it.
    """
    read_messages_weakly(stream)
    followed = FollowedStream(stream, close)
    shell = kernel_shell()
    if shell is not None:
        _abandoned_streams(shell).add(followed)
    return followed


@cache
def _abandoned_streams(shell: Any) -> AbandonedStreams:
    return AbandonedStreams(shell)


class FollowedStream:
    """What is known of a stream, which this keeps alive only if told to."""

    def __init__(self, stream: Any, close: Callable[[], None]) -> None:
        self.stream = ref(stream)
        self.owner: ref[Any] = self.stream
        """What people hold and display in place of the stream."""
        self.model_id: str = stream.model_id
        self.display_ids = DisplayIds(self.model_id)
        self.displays = Displays()
        self.hears_displays: Callable[[], bool] = lambda: False
        """Whether displays on this thread will be heard of."""
        self._comm = stream.comm
        self._kept_alive: Any = None
        self._close = close
        self._n_references = -1
        self._pause_s = _FIRST_PAUSE_S
        self._due_s = 0.0

    def owned_by(self, owner: Any) -> None:
        """Something else stands for the stream: each lives as long as the other."""
        self.owner = ref(owner)

    def described(self) -> None:
        """The stream is being described for a page, on this thread. From any thread."""
        self.displays.described()
        if not self.hears_displays():
            self.displays.placed(None)

    def watched(self, is_watched: bool) -> None:
        """Views have come or gone. From any thread."""
        self.displays.watched(is_watched, time.monotonic())

    def keep_alive(self, stream: Any | None) -> None:
        """Refer to the stream from now on, or to nothing. From any thread."""
        self._kept_alive = stream

    @property
    def may_be_abandoned(self) -> bool:
        """Whether nobody can see it, or it is gone already."""
        return self.displays.are_over or self.stream() is None

    @property
    def is_suspect(self) -> bool:
        """Whether it may have been abandoned since `remember`.

        If the number of references has changed; or now and then, as a thread that has ended may
        have held what refers to the stream.
        """
        has_changed = self._count() != self._n_references
        return self.may_be_abandoned and (has_changed or time.monotonic() >= self._due_s)

    def remember(self) -> None:
        """Remember how many references there are to the stream, which was found alive."""
        count, now_s = self._count(), time.monotonic()
        if count != self._n_references:
            self._n_references, self._pause_s = count, _FIRST_PAUSE_S
        elif now_s >= self._due_s:  # not if only others were due
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._due_s = now_s + self._pause_s

    def close(self) -> None:
        """Free what is left of the stream, here and in the pages."""
        self._close()
        self._comm.close()

    def _count(self) -> int:
        alive = (self.stream(), self.owner())
        return sum(sys.getrefcount(each) for each in alive if each is not None)


class AbandonedStreams:
    """Closes the abandoned streams of a kernel, at the start and at the end of each cell.

    Args:
        shell: The kernel's IPython shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._followed: dict[str, FollowedStream] = {}  # by the id of the model
        self._heard = threading.local()
        self._collecting = threading.Lock()
        shell.events.register("pre_run_cell", self._cell_starts)
        shell.events.register("post_run_cell", self._cell_ended)

    def add(self, followed: FollowedStream) -> None:
        """Follow one more stream."""
        followed.hears_displays = self._hears_this_thread
        self._followed[followed.model_id] = followed

    def _cell_starts(self, _info: object) -> None:
        # Before its variables are replaced, and after the views of earlier outputs have gone.
        self._close_abandoned()
        run = cell_run(self._shell)
        if run is not None:
            for followed in list(self._followed.values()):
                followed.displays.cell_started(run, time.monotonic())

    def _cell_ended(self, _result: object) -> None:
        self._close_abandoned()

    def _hears_this_thread(self) -> bool:
        publisher = self._shell.display_pub
        if getattr(self._heard, "publisher", None) is not publisher:
            if not hear_displays(publisher, self._hear):
                return False
            self._heard.publisher = publisher
        return True

    def _hear(self, message: dict[str, Any]) -> None:
        content = message["content"]
        view = content.get("data", {}).get(_MIMETYPE)
        followed = view and self._followed.get(view["model_id"])
        transient = content.setdefault("transient", {})
        if not followed or transient.get("display_id") in followed.display_ids:
            return
        # An output with an id of the user's may be replaced by another cell.
        is_plain = message["msg_type"] == "display_data" and not transient
        if is_plain:
            transient["display_id"] = followed.display_ids.new()
        parent = message["parent_header"]
        followed.displays.placed(self._where(parent["msg_id"]) if is_plain and parent else None)

    def _where(self, msg_id: str) -> CellRun | None:
        """Return the run whose output has what is displayed now; None if that is not known."""
        run = cell_run(self._shell)
        is_of_run = run is not None and msg_id == run.msg_id
        return run if run is not None and is_of_run and not is_captured(run.msg_id) else None

    def _close_abandoned(self) -> None:
        followed = list(self._followed.values())
        if not any(each.is_suspect for each in followed):
            return
        if not self._collecting.acquire(blocking=False):
            return  # a cell within a cell, or in another thread
        try:
            self._collect([each for each in followed if each.may_be_abandoned])
        except Exception:
            logger.exception("streams that nothing refers to could not be closed")
        finally:
            self._collecting.release()

    def _collect(self, followed: list[FollowedStream]) -> None:
        streams = {each.model_id: each.stream for each in followed}
        shown = [*streams.values(), *(each.owner for each in followed)]
        with unregistered(streams), without_results(self._shell, shown):
            gc.collect()
        for each in followed:
            if each.stream() is None:
                del self._followed[each.model_id]
                each.close()
            else:
                each.remember()
