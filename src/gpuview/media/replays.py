"""Shows views what was shown before: the last seconds of one stream, from packets that are kept.

A view asks while a person has paused it. What is kept then stays for that view until it goes on or
has gone, whatever the stream does meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gpuview.errors import GpuviewError, shorten
from gpuview.media.encode.codec import CLOCK_HZ
from gpuview.media.encode.decode import PictureDecoder
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.history import History, Picture, Span, picture_at
from gpuview.protocol.interaction_messages import GetReplay, Replay, pieces_of

__all__ = ["MAX_NBYTES", "Replays"]

logger = logging.getLogger("gpuview.media")

MAX_NBYTES = 32 * 1024 * 1024
"""The most that is kept of one stream, and the most that paused views hold besides."""

_MAX_WAITING = 64
_TICKS_PER_MS = CLOCK_HZ // 1000


@dataclass(frozen=True, slots=True)
class _Question:
    message: GetReplay
    span: Span


class Replays:
    """What is kept of one stream. Lives on the event loop, and decodes on a thread of its own.

    The newest question of a view counts. The thread exists while there are questions.

    Args:
        fanout: Gives the packets.
        tell: Tells a view something.
        kept_s: So many seconds are kept; 0: nothing.
    """

    def __init__(self, fanout: Fanout, tell: Callable[[Replay], None], kept_s: float) -> None:
        self._tell = tell
        self._history = History(kept_s, MAX_NBYTES)
        if kept_s > 0:
            fanout.keep(self._history.take)
        self._loop = asyncio.get_running_loop()
        self._asked: set[str] = set()
        self._stopped = threading.Event()
        # Both belong to the thread while there is one.
        self._decoder = PictureDecoder(self._stopped.is_set)
        self._pictures: tuple[Span, list[Picture]] = (Span(), [])
        self._lock = threading.Lock()  # guards the rest
        self._questions: dict[str, _Question] = {}
        self._thread: threading.Thread | None = None

    @property
    def nbytes(self) -> int:
        """The memory that the packets take."""
        return self._history.nbytes

    def ask(self, message: GetReplay) -> None:
        """Answer a view in a while. Never waits."""
        if self._stopped.is_set():
            return
        self._asked.add(message.view)
        if message.time_ms is None:
            self._history.hold(message.view)
        question = _Question(message, self._history.span(message.view))
        with self._lock:
            self._questions[message.view] = question
            while len(self._questions) > _MAX_WAITING:
                del self._questions[next(iter(self._questions))]
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="gpuview-replay", daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # no thread can be started now; the page asks again
                    self._thread = None

    def keep_for(self, paused: Collection[str], *, is_watched: bool) -> None:
        """Hold what only these views have a use for; if there is no view at all, keep nothing.

        A view's first question may overtake the news that it is paused, so who has asked since the
        last call counts as well.
        """
        if is_watched:
            self._history.release_all_but({*paused, *self._asked})
        else:
            self._history.clear()
        self._asked.clear()
        with self._lock:
            if self._thread is None and not self._history.is_held:
                self._decoder.forget()
                self._pictures = (Span(), [])

    async def close(self) -> None:
        """Answer nothing more, and wait for the thread."""
        self._stopped.set()
        with self._lock:
            self._questions.clear()
            thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join)
        self._history.clear()

    # --- on the thread of its own -------------------------------------------------------------

    def _work(self) -> None:
        while (question := self._next()) is not None:
            try:
                answers = self._answers(question)
            except Exception as exc:  # the next question is answered all the same
                logger.debug("a picture cannot be shown again", exc_info=exc)
                problem = exc.problem if isinstance(exc, GpuviewError) else str(exc)
                message = question.message
                answers = [
                    Replay(view=message.view, seq=message.seq, problem=shorten(problem, 300))
                ]
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._tell_all, answers)

    def _next(self) -> _Question | None:
        with self._lock:
            if not self._questions:
                self._thread = None
                return None
            return self._questions.pop(next(iter(self._questions)))

    def _answers(self, question: _Question) -> list[Replay]:
        message, pictures = question.message, self._pictures_of(question.span)
        if not pictures:
            return [Replay(view=message.view, seq=message.seq)]
        if message.time_ms is None:
            shown, jpeg = pictures[-1], b""
        else:
            shown = picture_at(pictures, round(message.time_ms * _TICKS_PER_MS), message.step)
            jpeg = self._decoder.jpeg(shown)
        return [
            Replay(
                view=message.view,
                seq=message.seq,
                time_ms=shown.timestamp / _TICKS_PER_MS,
                oldest_ms=pictures[0].timestamp / _TICKS_PER_MS,
                newest_ms=pictures[-1].timestamp / _TICKS_PER_MS,
                **piece,
            )
            for piece in pieces_of(jpeg)
        ]

    def _pictures_of(self, span: Span) -> list[Picture]:
        """Return the pictures; a view that steps back asks about one span again and again."""
        if self._pictures[0] is not span:
            self._pictures = (span, span.pictures())
        return self._pictures[1]

    # --- on the event loop --------------------------------------------------------------------

    def _tell_all(self, answers: list[Replay]) -> None:
        for answer in answers:
            self._tell(answer)

    def __repr__(self) -> str:
        return f"<Replays {self._history}>"
