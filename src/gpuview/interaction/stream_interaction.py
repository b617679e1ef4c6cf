"""Handlers and knobs of one stream, with all that they share."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gpuview.errors import GpuviewError
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.picture.picture_map import PictureMap
from gpuview.interaction.dispatcher import Dispatcher, Host
from gpuview.interaction.events import Place
from gpuview.interaction.handlers import Handlers, InContext, UserCalls
from gpuview.interaction.interactions import Interactions
from gpuview.interaction.knob_set import KnobSet

__all__ = ["StreamInteraction"]

logger = logging.getLogger("gpuview")


class StreamInteraction:
    """What people do to one stream. Any thread.

    Args:
        interactions: Passes on what views say, and tells them what they may say.
        update: Changes fields of the stream's `StreamState`.
        picture_map: Returns what the newest picture shows where; None before the first.
        in_this_cell: Returns what calls a function as in the cell that runs now.
    """

    def __init__(
        self,
        interactions: Interactions,
        *,
        update: Callable[..., None],
        picture_map: Callable[[], PictureMap | None],
        in_this_cell: Callable[[], InContext],
    ) -> None:
        self._update = update
        self._picture_map = picture_map
        self._errors = ErrorReporter(self._failed, lambda: update(handler_error=None))
        self._dispatcher = Dispatcher(lambda hint: update(handler_hint=hint))
        calls = UserCalls(self._dispatcher, self._errors, in_this_cell)
        self.handlers = Handlers(calls, interactions, self._locate)
        self.knobs = KnobSet(calls, interactions)

    def run_waiting(self) -> None:
        """Call the handlers for what waits, in this thread."""
        self._dispatcher.run_waiting()

    def run_on(self, host: Host | None) -> None:
        """Let handlers be called by this thread from now on; None: by one of our own."""
        self._dispatcher.host = host

    def close(self) -> None:
        """Call no handler and tell no page from now on. Does not wait for a handler that runs."""
        self._dispatcher.host = None
        self._dispatcher.close()
        self.knobs.close()

    def abandon(self) -> None:
        """End in a forked child, whose other threads are gone."""
        self._dispatcher.abandon()
        self._errors.renew_lock()
        self.handlers.renew_lock()
        self.knobs.renew_locks()

    def _locate(self, x: float, y: float) -> Place | None:
        picture_map = self._picture_map()
        spot = None if picture_map is None else picture_map.at(x, y)
        if picture_map is None or spot is None:
            return None
        return Place((spot.row, spot.column), picture_map.name(spot.panel), spot.tile)

    def _failed(self, error: GpuviewError) -> None:
        logger.warning("%s", error.problem, exc_info=error.__cause__)
        self._update(handler_error=self._errors.error)

    def __repr__(self) -> str:
        return f"<StreamInteraction {self.handlers!r} {self.knobs!r}>"
