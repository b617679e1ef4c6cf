"""Events as handlers get them: dicts of the renderview specification, and what waits for handlers.

Older and newer libraries of that family spell some keys differently. Both spellings are there:
``type`` and ``event_type``, ``timestamp`` and ``time_stamp``, ``ratio`` and ``pixel_ratio``,
``data`` and ``char_str``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gpuview.protocol.interaction_messages import LOOSE_TYPES, RenderEvent

__all__ = ["MAX_WAITING", "Event", "Place", "Waiting", "Work", "as_event", "merged"]

Event = dict[str, Any]

MAX_WAITING = 1000
"""How many events and changes may wait for handlers."""

_POINTER = ("x", "y", "button", "buttons", "modifiers")
_FIELDS = {
    "wheel": ("x", "y", "dx", "dy", "buttons", "modifiers"),
    "key_down": ("key", "modifiers"),
    "key_up": ("key", "modifiers"),
    "char": ("data", "modifiers"),
    "resize": ("width", "height", "ratio"),
    "focus": (),
    "blur": (),
    "close": (),
}
_OTHER_SPELLINGS = {
    "type": "event_type",
    "timestamp": "time_stamp",
    "ratio": "pixel_ratio",
    "data": "char_str",
}


class Place(NamedTuple):
    """What is seen at a place in the picture."""

    pixel: tuple[int, int]
    """Row and column in the tensor that is shown; of a grid's tile, in that tile."""
    panel: str | None
    """The panel's name; None for a picture without panels."""
    tile: int
    """Counts the tiles of a grid from 0."""


def as_event(
    given: RenderEvent, view: str, locate: Callable[[float, float], Place | None]
) -> Event:
    """Return an event as a handler gets it.

    Args:
        given: What a page has sent.
        view: The view in which it happened.
        locate: Tells what is seen at a place, in shares of the picture's sides.
    """
    names = _FIELDS.get(given.type, _POINTER)
    event: Event = {"type": given.type, "timestamp": given.timestamp, "view": view}
    for name in names:
        value = getattr(given, name)
        event[name] = tuple(value) if isinstance(value, list) else value
    for name, other in _OTHER_SPELLINGS.items():
        if name in event:
            event[other] = event[name]
    if "x" in event:
        if given.type != "wheel":
            touches = {each.id: _touch(each) for each in given.touches}
            event |= {"ntouches": len(touches), "touches": touches}
        is_inside = given.u is not None and given.v is not None
        place = locate(given.u, given.v) if is_inside else None  # type: ignore[arg-type]
        event |= {
            "u": given.u,
            "v": given.v,
            "pixel": place and place.pixel,
            "panel": place and place.panel,
            "tile": place and place.tile,
        }
    return event


def _touch(touch: Any) -> dict[str, float]:
    return {"x": touch.x, "y": touch.y, "pressure": touch.pressure}


def merged(before: Event, after: Event) -> Event | None:
    """Return one event for two in succession; None if both count.

    Of moves the later one stays, and the wheel's ways add up, as long as the same buttons and
    modifiers are held in the same view.
    """
    same = ("type", "view", "buttons", "modifiers")
    if after["type"] not in LOOSE_TYPES or any(before.get(n) != after.get(n) for n in same):
        return None
    if after["type"] != "wheel":
        return after
    return after | {name: before[name] + after[name] for name in ("dx", "dy")}


@dataclass(slots=True)
class Work:
    """A call of handlers that waits."""

    run: Callable[[Any], None]
    """Gets ``what``."""
    what: Any
    """An event, or a change."""
    key: object = None
    """Work of one key that waits is done once, in the place of the earlier; None: each time."""
    is_event: bool = False


class Waiting:
    """What waits for handlers, the oldest first. Any thread; memory is bounded."""

    def __init__(self) -> None:
        self.n_dropped = 0
        """What did not fit."""
        self._lock = threading.Lock()
        self._works: deque[Work] = deque()

    def __len__(self) -> int:
        return len(self._works)

    def put(self, work: Work) -> None:
        """Add work, or merge it with what waits. Where too much waits, it is dropped."""
        with self._lock:
            if work.key is not None and any(each.key == work.key for each in self._works):
                return
            last = self._works[-1] if self._works else None
            if work.is_event and last is not None and last.is_event and last.run == work.run:
                one = merged(last.what, work.what)
                if one is not None:
                    last.what = one
                    return
            if len(self._works) >= MAX_WAITING:
                self.n_dropped += 1
            else:
                self._works.append(work)

    def take(self) -> Work | None:
        """Return the oldest, or None."""
        with self._lock:
            return self._works.popleft() if self._works else None

    def clear(self) -> None:
        with self._lock:
            self._works.clear()

    def renew_lock(self) -> None:
        """Make a new lock in a forked child, where the parent's threads are gone."""
        self._lock = threading.Lock()
