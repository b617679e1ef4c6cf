"""Hints: what the user may want to set, if a picture may not be what was meant. Pure.

A hint never changes the picture. It names the exact argument, and stands in the cell for as long as
it holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gpuview.errors import shorten
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.layout import Tiles
from gpuview.frames.picture.look import Look

__all__ = ["Extremes", "range_hint", "reading_hint", "takes_usual_range"]

Extremes = tuple[float, float] | None
"""The smallest and the largest finite value of a tensor; None if unknown, or if there is none."""

_DARK = 0.1  # values that reach less of the range look black
_OUTSIDE = 0.25  # of the range; resizing and models overshoot by less
_SMALLEST, _LARGEST = 1e-30, 1e38  # a `Look` accepts no larger range
_NAME_CHARS = 40


def reading_hint(names: Sequence[str] | None, tiles: Sequence[Tiles]) -> str:
    """Return a hint if a tensor is read as the one before it, and not as its shape suggests."""
    for name, each in zip(names or (None,), tiles, strict=True):
        reading = each.reading
        if reading is not None and reading.guess not in (None, reading.layout):
            return (
                f"{_of(name)}read as {reading.layout}, like the frames before: "
                f"layout={reading.guess!r} for the other reading"
            )
    return ""


def takes_usual_range(kind: TileKind, look: Look) -> bool:
    """Tell whether the value range is the usual one of the dtype, so that it may be a wrong one."""
    is_usual = look.value_range_of(kind) is None and kind.content == "picture"
    return is_usual and (kind.dtype == torch.uint8 or kind.dtype.is_floating_point)


def range_hint(
    names: Sequence[str] | None,
    kinds: Sequence[TileKind],
    look: Look,
    extremes: Sequence[Extremes],
) -> str:
    """Return a hint if values reach far beyond the usual range, or only a small part of it.

    Args:
        names: The panels' names; None for a single tensor.
        kinds: One for each tensor.
        look: How they are shown.
        extremes: Of each tensor for which `takes_usual_range`; else None.
    """
    better = [_better_range(kind, look, found) for kind, found in zip(kinds, extremes, strict=True)]
    first = next((index for index, each in enumerate(better) if each is not None), None)
    if first is None:
        return ""
    # One range holds for all panels.
    is_for_all = all(each == better[first] for each in better)
    value_range = better[first] if is_for_all else '"auto"'
    name = None if names is None else names[first]
    return f"{_of(name)}{_reach(kinds[first], look, extremes[first])}: {value_range=!s}"


def _better_range(kind: TileKind, look: Look, found: Extremes) -> str | None:
    """Return a range that shows the values; None if the usual one does."""
    if found is None:
        return None
    least, greatest = found
    reach = max(-least, greatest)
    if not _SMALLEST < reach < _LARGEST:
        return None
    if _is_dark(kind, look, reach):
        return _range_around(least, greatest)
    usual = look.scaling_of(kind)
    margin = _OUTSIDE * (usual.high - usual.low)
    if usual.low - margin <= least and greatest <= usual.high + margin:
        return None
    if least >= 0 and 127 < greatest <= 255:
        return "(0, 255)"
    if least < 0 and 0.5 < reach <= 1:
        return "(-1, 1)"
    return _range_around(least, greatest)


def _is_dark(kind: TileKind, look: Look, reach: float) -> bool:
    usual = look.scaling_of(kind)
    return reach < _DARK * (usual.high - usual.low)


def _range_around(least: float, greatest: float) -> str:
    sides = max(0, -least), max(0, greatest)
    low, high = (_rounded_up(side) if side > max(sides) / 100 else 0 for side in sides)
    return f"({-low:g}, {high:g})"


def _reach(kind: TileKind, look: Look, found: Extremes) -> str:
    least, greatest = found or (0, 0)
    only = "only " if _is_dark(kind, look, max(-least, greatest)) else ""
    start = f"from {least:.3g} to " if least < 0 else ""
    return f"values reach {only}{start}{greatest:.3g}"


def _rounded_up(value: float) -> float:
    """Return the next number of two digits; ``value`` itself if it differs by rounding only."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / step - 1e-4) * step


def _of(name: str | None) -> str:
    if name is None:
        return ""
    return f"{shorten(name, _NAME_CHARS)!r}: "
