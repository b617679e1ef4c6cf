"""The room that a page has for a picture, by which panels and tiles are arranged. Pure.

It takes a few steps only, so that whoever drags the edge of a window sees a few arrangements and
not one for each pixel.
"""

from __future__ import annotations

import math

__all__ = ["USUAL_ROOM", "next_room"]

USUAL_ROOM = 960
"""Roughly the width of a notebook cell in pixels, which shrinks wider pictures and their labels."""

_STEPS = (320, 480, 680, USUAL_ROOM)
_CLEARLY = math.log(1.1)


def next_room(room: int, width: int) -> int:
    """Return the step that is nearest to what a page has; the present one unless it clearly is.

    Args:
        room: The present step.
        width: What the page has, in CSS pixels, at least 1. Beyond `USUAL_ROOM` more changes
            nothing.
    """

    def distance(step: int) -> float:
        return abs(math.log(step / width))

    nearest = min(_STEPS, key=distance)
    return nearest if distance(nearest) + _CLEARLY < distance(room) else room
