"""What people's events mean for a camera: pure. Events are as an event handler gets them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Gestures", "Motion", "Steering"]

_LEFT = 1
_BEGINS = ("pointer_down", "wheel", "key_down", "double_click")
_ENDS = ("blur", "close")
_ZOOM_PER_PX = 0.001

Event = Mapping[str, Any]


class Steering:
    """Decides which view steers: the one that began last, unless a button is held in another."""

    def __init__(self) -> None:
        self.n_refused = 0
        """How many clicks, turns of the wheel and keys came from views that do not steer."""
        self._view: object = None
        self._is_held = False

    def takes(self, event: Event) -> bool:
        """Return whether an event counts."""
        view = event.get("view")
        if event["type"] in _BEGINS and not self._is_held:
            self._view = view
        if view != self._view:
            self.n_refused += event["type"] in _BEGINS
            return False
        if event["type"] in ("pointer_down", "pointer_up"):
            self._is_held = bool(event["buttons"] or event["ntouches"])
        if event["type"] in _ENDS:
            self._is_held = False
        return True


@dataclass(frozen=True, slots=True)
class Motion:
    """How far a view was dragged, in CSS pixels rightward and downward, and zoomed."""

    turn: tuple[float, float] = (0.0, 0.0)
    """By one finger or the left button."""
    pan: tuple[float, float] = (0.0, 0.0)
    """By two fingers, another button, or with Shift."""
    zoom: float = 1.0
    """By this factor everything becomes smaller."""


class Gestures:
    """Turns one view's pointer and wheel events into motions, each since the event before."""

    def __init__(self) -> None:
        self._at: tuple[float, float] | None = None
        self._spread: float | None = None

    def motion(self, event: Event) -> Motion:
        """Return what an event moves."""
        if event["type"] == "wheel":
            return Motion(zoom=math.exp(_ZOOM_PER_PX * event["dy"]))
        if event["type"] == "pointer_move":
            return self._dragged(event)
        # A finger or button more or less: the next move is measured from where that was.
        self._at = self._spread = None
        if event["type"] == "pointer_down":
            self._at, self._spread = _centre(event), _spread(event)
        return Motion()

    def _dragged(self, event: Event) -> Motion:
        before, spread_before = self._at, self._spread
        if not (event["buttons"] or event["ntouches"]):
            self._at = self._spread = None
            return Motion()
        self._at, self._spread = _centre(event), _spread(event)
        if before is None:
            return Motion()
        way = (self._at[0] - before[0], self._at[1] - before[1])
        if self._spread is not None:
            zoom = spread_before / self._spread if spread_before and self._spread else 1.0
            return Motion(pan=way, zoom=zoom)
        is_turn = event["ntouches"] or (
            _LEFT in event["buttons"] and "Shift" not in event["modifiers"]
        )
        return Motion(turn=way) if is_turn else Motion(pan=way)


def _centre(event: Event) -> tuple[float, float]:
    points = _points(event)
    return (
        sum(x for x, _ in points) / len(points),
        sum(y for _, y in points) / len(points),
    )


def _spread(event: Event) -> float | None:
    """Return the distance of two fingers; None if there are not two."""
    points = _points(event)
    return math.dist(*points) if len(points) == 2 else None


def _points(event: Event) -> list[tuple[float, float]]:
    touches = [(touch["x"], touch["y"]) for touch in event["touches"].values()]
    return touches[:2] or [(event["x"], event["y"])]
