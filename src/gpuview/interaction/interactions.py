"""What the views of one stream say about its picture, and who in the kernel takes it."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from gpuview.protocol.interaction_messages import FromView, Interaction, ToView
from gpuview.signalling.rate_limit import RateLimit

__all__ = ["Interactions", "Reply"]

logger = logging.getLogger("gpuview")

Reply = Callable[[ToView], None]
"""Tells the view that has spoken something, from any thread, over the way that it has spoken."""

Said = TypeVar("Said", bound=FromView)

_MESSAGES, _MESSAGES_PER_S = 300, 300.0
_MAX_VIEWS = 256


class Interactions:
    """Passes on what views say, within limits, and keeps what views may say. Any thread.

    Args:
        publish: Tells all pages what views may say.
    """

    def __init__(self, publish: Callable[[Interaction], None]) -> None:
        self.newest = Interaction()
        """What views may say."""
        self.n_refused = 0
        """What views said too often, or to no one."""
        self._publish = publish
        self._parts: dict[str, Any] = {}
        self._takers: dict[type[FromView], Callable[[Any, Reply], None]] = {}
        self._lock = threading.Lock()  # guards the rest
        self._limits: OrderedDict[str, RateLimit] = OrderedDict()

    def answer(self, kind: type[Said], take: Callable[[Said, Reply], None]) -> None:
        """Let ``take`` have all messages of a kind.

        It is called on the thread that hears pages and must not wait: neither for a user's code nor
        for a device.
        """
        self._takers[kind] = take

    def take(self, message: FromView, reply: Reply) -> None:
        """Pass on what a view says, unless it says too much. Never waits."""
        taker = self._takers.get(type(message))
        if taker is None or self._is_too_much(message.view):
            self.n_refused += 1
        else:
            taker(message, reply)

    def change(self, **parts: Any) -> None:
        """Change what views may say, and tell all pages."""
        with self._lock:
            self._parts |= parts
            self.newest = Interaction(**self._parts)
            self._publish(self.newest)

    def renew_lock(self) -> None:
        """Make a new lock in a forked child, where the parent's threads are gone."""
        self._lock = threading.Lock()

    def _is_too_much(self, view: str) -> bool:
        with self._lock:
            limit = self._limits.setdefault(view, RateLimit(burst=_MESSAGES, per_s=_MESSAGES_PER_S))
            self._limits.move_to_end(view)
            while len(self._limits) > _MAX_VIEWS:
                self._limits.popitem(last=False)
            return limit.stops(time.monotonic())

    def __repr__(self) -> str:
        kinds = ", ".join(kind.__name__ for kind in self._takers)
        return f"<Interactions {kinds or 'none'} n_refused={self.n_refused}>"
