"""Who is called for which events."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuview.errors import GpuviewError, SettingsError, closest, shorten
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.interaction.dispatcher import Dispatcher
from gpuview.interaction.events import Event, Place, Work, as_event
from gpuview.interaction.interactions import Interactions, Reply
from gpuview.protocol.interaction_messages import EVENT_TYPES, Events, EventType

__all__ = ["Handler", "Handlers", "InContext", "UserCalls"]

logger = logging.getLogger("gpuview")

Handler = Callable[[Event], object]

InContext = Callable[[Callable[[], Any]], Any]
"""Calls a function as if it were called in a certain cell."""


class UserCalls:
    """Calls a user's functions by a dispatcher; an error is reported and ends nothing.

    Args:
        dispatcher: Where they are called.
        errors: Gets what they raise, and forgets it when they return the next time.
        in_this_cell: Returns what calls a function as in the cell that runs now.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        errors: ErrorReporter,
        in_this_cell: Callable[[], InContext],
    ) -> None:
        self.dispatcher = dispatcher
        self.in_this_cell = in_this_cell
        self._errors = errors

    def call(
        self, who: str, function: Callable[[Any], object], what: Any, context: InContext
    ) -> None:
        """Call ``function`` with ``what``. Within the dispatcher's work only."""

        def run() -> None:
            try:
                context(lambda: function(what))
            except BaseException as exc:  # SystemExit, too: nothing ends
                self._errors.report(_explained(who, exc), who)
            else:
                self._errors.clear(who)

        self.dispatcher.call(who, run)

    def forgive(self, who: str) -> None:
        """Show an earlier error of this function no more."""
        self._errors.clear(who)


def _explained(who: str, exc: BaseException) -> GpuviewError:
    text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    error = GpuviewError(
        f"{who} raised {shorten(text, 200)}",
        expected="a handler that returns",
        fix="the traceback is in the kernel's log; correct the handler and add it again",
    )
    error.__cause__ = exc
    return error


@dataclass(frozen=True, slots=True)
class _Added:
    handler: Handler
    types: frozenset[str]
    context: InContext


class Handlers:
    """The handlers of one stream. Any thread.

    Args:
        calls: Calls them.
        interactions: Is told which events are wanted, and passes them on.
        locate: Tells what is seen at a place, in shares of the picture's sides.
    """

    def __init__(
        self,
        calls: UserCalls,
        interactions: Interactions,
        locate: Callable[[float, float], Place | None],
    ) -> None:
        self._calls = calls
        self._interactions = interactions
        self._locate = locate
        self._lock = threading.Lock()
        self._added: tuple[_Added, ...] = ()
        self._listener: Callable[[Event], None] | None = None
        self._always: frozenset[str] = frozenset()
        interactions.answer(Events, self._take)

    @property
    def wanted(self) -> list[EventType]:
        """The types of events that somebody waits for."""
        types = self._always.union(*(each.types for each in self._added))
        return [each for each in EVENT_TYPES if each in types]

    def add(self, handler: Handler, types: tuple[str, ...]) -> None:
        """Call a handler for events of these types from now on.

        Raises:
            SettingsError: It cannot be called, or there is no such type.
        """
        if not callable(handler):
            raise SettingsError(
                f"cannot call a handler of type {type(handler).__name__}",
                expected="a function of one argument, the event",
                fix='stream.add_event_handler(print, "pointer_down")',
            )
        added = _Added(handler, _checked(types), self._calls.in_this_cell())
        with self._lock:
            others = (each for each in self._added if each.handler != handler)
            earlier = (each.types for each in self._added if each.handler == handler)
            added = _Added(handler, added.types.union(*earlier), added.context)
            self._added = (*others, added)
        self._tell(handler, added.types)

    def listen(self, listener: Callable[[Event], None], types: tuple[EventType, ...]) -> None:
        """Pass on each event that a handler gets, and all events of these types, at once.

        The listener is called on the thread that hears pages, and must not wait.
        """
        self._listener, self._always = listener, frozenset(types)
        self._interactions.change(events=self.wanted)

    def remove(self, handler: Handler, types: tuple[str, ...]) -> None:
        """Call a handler no more for these types; for none, if no type is given."""
        gone = _checked(types) if types else frozenset(EVENT_TYPES)
        with self._lock:
            left = (
                _Added(each.handler, each.types - gone, each.context)
                if each.handler == handler
                else each
                for each in self._added
            )
            self._added = tuple(each for each in left if each.types)
        self._tell(handler, gone)

    def renew_lock(self) -> None:
        """Make a new lock in a forked child, where the parent's threads are gone."""
        self._lock = threading.Lock()

    def _tell(self, handler: Handler, changed: frozenset[str]) -> None:
        for each in changed:
            self._calls.forgive(_name(handler, each))
        self._interactions.change(events=self.wanted)

    def _take(self, message: Events, _reply: Reply) -> None:
        wanted = set(self.wanted)
        for given in message.events:
            if given.type in wanted:
                event = as_event(given, message.view, self._locate)
                if self._listener is not None:
                    self._listener(event)
                if any(given.type in each.types for each in self._added):
                    self._calls.dispatcher.put(Work(self._call_all, event, is_event=True))

    def _call_all(self, event: Event) -> None:
        for each in self._added:
            if event["type"] in each.types:
                who = _name(each.handler, event["type"])
                self._calls.call(who, each.handler, dict(event), each.context)

    def __repr__(self) -> str:
        return f"<Handlers {len(self._added)} of {', '.join(self.wanted) or 'nothing'}>"


def _name(handler: Handler, event_type: str) -> str:
    name = getattr(handler, "__name__", type(handler).__name__)
    return f"the handler {shorten(str(name), 60)} of {event_type}"


def _checked(types: tuple[str, ...]) -> frozenset[str]:
    if not types:
        raise SettingsError(
            "a handler was given without any type of event",
            expected=f"one or more of {', '.join(EVENT_TYPES)}",
            fix='stream.add_event_handler(handler, "pointer_down")',
        )
    for each in types:
        if each != "*" and each not in EVENT_TYPES:
            raise SettingsError(
                f"there is no event of type {each!r}",
                expected=f"one of {', '.join(EVENT_TYPES)}, or '*' for all of them",
                fix=f"{closest(str(each), EVENT_TYPES) or EVENT_TYPES[0]!r}",
            )
    return frozenset(EVENT_TYPES) if "*" in types else frozenset(types)
