"""A stream's state, as its pages are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gpuview.protocol.page_messages import LegendEntry, Status
from gpuview.signalling.status import StreamState
from gpuview.signalling.throttle import Throttle

__all__ = ["PublishedStatus"]

_LEGEND_PERIOD_S = 0.25


class PublishedStatus:
    """The state of a stream, which tells the pages about each change. From any thread.

    Args:
        state: The state at first. The pages are not told about it.
        publish: Tells the pages; called with ``lock`` held.
        lock: Guards the state.
    """

    def __init__(
        self, state: StreamState, publish: Callable[[Status], None], lock: threading.RLock
    ) -> None:
        self.state = state
        self._publish = publish
        self._lock = lock
        self._caption = state.caption
        self._made_ns = state.made_ns
        self._legend: tuple[LegendEntry, ...] = ()
        self._captions = Throttle(self._tell_caption)
        self._legends = Throttle(lambda: self.update(legend=self._legend), _LEGEND_PERIOD_S)

    def update(self, **changes: Any) -> None:
        """Change fields of the state and publish it. A closed stream's state does not change."""
        with self._lock:
            if not self.state.is_closed:
                self.state = replace(self.state, **changes)
                self._publish(self.state.status)

    def set_caption(self, caption: str, *, are_views_seen: bool) -> None:
        """Set the user's line, which may change a thousand times a second.

        What nobody sees is told to whoever comes, by `greet`.
        """
        self._caption = caption
        if are_views_seen:
            self._captions.ask()

    def greet(self, *, made_ns: int) -> None:
        """Somebody may have come: tell the newest caption, and when the newest frame was made.

        A hundred who come at once are greeted by one message.
        """
        self._made_ns = made_ns
        self._captions.ask()

    def set_legend(self, legend: Sequence[LegendEntry]) -> None:
        """Set what the colours mean, which may change with each frame."""
        self._legend = tuple(legend)
        self._legends.ask()

    def set_sides(self, sides: tuple[int, int] | None, *, is_chosen: bool) -> None:
        """Let a page that has no picture yet keep the room for it."""
        if (sides, is_chosen) != (self.state.sides, self.state.is_size_chosen):
            self.update(sides=sides, is_size_chosen=is_chosen)

    def end(self) -> None:
        """Change no more. The pages are not told."""
        with self._lock:
            self.state = replace(self.state, is_closed=True, caption=self._caption)
        self._captions.close()
        self._legends.close()

    def publish(self) -> None:
        """Tell the pages again."""
        self._publish(self.state.status)

    def abandon(self, lock: threading.RLock) -> None:
        """End in a forked child, where locks may be held by threads that are gone."""
        self._lock = lock
        self._captions.renew_lock()
        self._legends.renew_lock()
        self.state = replace(self.state, is_closed=True)

    def _tell_caption(self) -> None:
        self.update(caption=self._caption, made_ns=self._made_ns)
