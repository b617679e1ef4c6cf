"""Answers what people ask of single values, on a thread of its own.

The newest question of a kind counts, for each view. The thread exists while there are questions.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from typing import Any, Protocol

from gpuview.errors import GpuviewError, shorten
from gpuview.frames.inspection import Inspection
from gpuview.frames.picture.picture_map import Rectangle
from gpuview.interaction.interactions import Interactions, Reply
from gpuview.protocol.interaction_messages import (
    Element,
    Freeze,
    FromView,
    GetElement,
    GetRegion,
    GetStatistics,
    Place,
    Region,
    Statistics,
    ToView,
    pieces_of,
)

__all__ = ["Inspector"]

logger = logging.getLogger("gpuview")

_MAX_VIEWS = 64
_MAX_FROZEN = 8

Question = GetElement | GetStatistics | GetRegion | Freeze


class Frames(Protocol):
    """The part of a feed that the inspector uses."""

    def inspect(self, before: Inspection | None) -> Inspection | None:
        """Read the newest frame, unless it is the one from before; None before the first."""


class Inspector:
    """Answers views. From any thread; only its own waits for devices.

    Args:
        frames: Where the newest frame is.
        interactions: Where views ask.
    """

    def __init__(self, frames: Frames, interactions: Interactions) -> None:
        self._frames = frames
        self._lock = threading.Lock()  # guards the questions and the thread
        self._questions: OrderedDict[tuple[str, type], tuple[Question, Reply]] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._frozen: OrderedDict[str, Inspection] = OrderedDict()
        self._newest: Inspection | None = None
        self._views: frozenset[str] | None = None
        interactions.answer(GetElement, self._ask)
        interactions.answer(GetStatistics, self._ask)
        interactions.answer(GetRegion, self._ask)
        interactions.answer(Freeze, self._ask)

    def keep_views(self, views: Collection[str]) -> None:
        """Forget what all other views have frozen."""
        with self._lock:
            self._views = frozenset(views)
            for view in set(self._frozen) - self._views:
                del self._frozen[view]

    def close(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._views = frozenset()
            self._questions.clear()
            self._frozen.clear()
            self._newest = None

    def renew_lock(self) -> None:
        """Make a new lock in a forked child, where the thread is gone."""
        self._lock = threading.Lock()
        self._thread = None

    def _ask(self, question: Question, reply: Reply) -> None:
        with self._lock:
            key = (question.view, type(question))
            self._questions[key] = (question, reply)
            self._questions.move_to_end(key)  # or it would be answered before what came before it
            while len(self._questions) > _MAX_VIEWS:
                self._questions.popitem(last=False)
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="gpuview-inspect", daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # no thread can be started now; the page asks again
                    self._thread = None

    # --- on the thread of its own -------------------------------------------------------------

    def _work(self) -> None:
        while (asked := self._next()) is not None:
            question, reply = asked
            try:
                for answer in self._answers(question):
                    reply(answer)
            except Exception as exc:  # of the user's `select`, or want of memory: the next goes on
                problem = exc.problem if isinstance(exc, GpuviewError) else str(exc)
                logger.debug("a view gets no values", exc_info=exc)
                _refuse(question, reply, shorten(problem, 300))

    def _next(self) -> tuple[Question, Reply] | None:
        with self._lock:
            if not self._questions:
                self._thread = None
                self._newest = None  # or an old frame would be kept alive
                return None
            return self._questions.popitem(last=False)[1]

    def _answers(self, question: Question) -> Iterator[ToView]:
        if isinstance(question, Freeze):
            self._freeze(question)
            return
        frozen = self._frozen.get(question.view)
        frame = self._read() if frozen is None else frozen
        head: dict[str, Any] = {
            "view": question.view,
            "seq": question.seq,
            "is_frozen": frozen is not None,
        }
        match question:
            case GetElement(x=x, y=y):
                element = None if frame is None else frame.element(x, y)
                yield Element(**head, **_fields(element))
            case GetStatistics(x=x, y=y, to_x=to_x, to_y=to_y):
                box = None if frame is None else frame.statistics(x, y, to_x, to_y)
                yield Statistics(**head, **_fields(box))
            case GetRegion():
                png = b"" if frame is None else _png(frame, question)
                yield from (Region(**head, **piece) for piece in pieces_of(png))

    def _freeze(self, question: Freeze) -> None:
        view = question.view
        frame = self._read() if question.is_on else None
        if frame is not None:
            frame.keep()
        with self._lock:
            self._frozen.pop(view, None)
            is_known = self._views is None or view in self._views
            if frame is not None and is_known:
                self._newest = None  # its values are kept, and those of the newest are not
                self._frozen[view] = frame
                while len(self._frozen) > _MAX_FROZEN:
                    self._frozen.popitem(last=False)

    def _read(self) -> Inspection | None:
        """Read the newest frame, unless that was done already."""
        newest = self._frames.inspect(self._newest)
        self._newest = newest
        return newest


def _png(frame: Inspection, question: GetRegion) -> bytes:
    part = Rectangle(question.x, question.y, question.width, question.height)
    return frame.png(part, question.pixel_height, question.pixel_width)


def _fields(found: Any) -> dict[str, Any]:
    """Return the fields of a message for what was found; none if that is nothing."""
    if found is None:
        return {}
    fields = asdict(found)
    place = Place(**found.place._asdict())
    lists = {name: list(value) for name, value in fields.items() if isinstance(value, tuple)}
    return fields | lists | {"place": place}


_REPLIES: dict[type[FromView], Callable[..., ToView]] = {
    GetElement: Element,
    GetStatistics: Statistics,
    GetRegion: Region,
}


def _refuse(question: Question, reply: Reply, problem: str) -> None:
    if not isinstance(question, Freeze):
        answer = _REPLIES[type(question)]
        reply(answer(view=question.view, seq=question.seq, problem=problem))
