"""Hints: what the user may want to set, if a picture may not be what was meant. Pure.

A hint never changes the picture. It names the exact argument, and stands in the cell for as long as
it holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from gpuview.errors import shorten
from gpuview.frames.picture.colormap import IGNORED_INDEX, N_INDICES, n_classes
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.measured import Measured
from gpuview.frames.picture.tensor_layout import Tiles

__all__ = ["is_measured", "no_classes", "range_hint", "reading_hint"]

_DARK = 0.1  # values that reach less of the range look black
_OUTSIDE = 0.25  # of the range; resizing and models overshoot by less
_SMALLEST, _LARGEST = 1e-30, 1e38  # a `Look` accepts no larger range
_NAME_CHARS = 40
_MAX_HINTS = 3  # of panels


def reading_hint(names: Sequence[str] | None, tiles: Sequence[Tiles]) -> str:
    """Return a hint if a tensor is read in one of two ways that are as likely.

    It is read as the one before it, and not as its shape suggests; or as a flow, ``(2, H, W)``, in
    a panel whose name does not say so.
    """
    for name, each in zip(names or (None,), tiles, strict=True):
        reading = each.reading
        if reading is None:
            continue
        if each.content == "flow" and reading.layout == "CHW" and not _is_of_flow(name):
            return f"{_of(name)}read as a flow (x, y): layout='NHW' for two maps"
        if reading.guess not in (None, reading.layout):
            return (
                f"{_of(name)}read as {reading.layout}, like the frames before: "
                f"layout={reading.guess!r} for the other reading"
            )
    return ""


def _is_of_flow(name: str | None) -> bool:
    return name is not None and "flow" in name.lower()


def is_measured(kind: TileKind, look: Look) -> bool:
    """Tell whether a tensor's extremes may lead to a hint.

    They may where the value range is the usual one of the dtype, so that it may be a wrong one; and
    where values are the indices of classes, so that some may have no colour.
    """
    if kind.dtype == torch.bool or kind.content == "flow":
        return False
    if n_classes(look.colormap_of(kind)) is not None:
        return True
    is_usual = look.value_range_of(kind) is None and kind.content == "picture"
    return is_usual and (kind.dtype == torch.uint8 or kind.dtype.is_floating_point)


def range_hint(
    names: Sequence[str] | None,
    kinds: Sequence[TileKind],
    look: Look,
    measured: Sequence[Measured],
) -> str:
    """Return a hint if values reach far beyond the usual range, or only a small part of it.

    Also if there are classes without a colour. Of several panels, each is named that needs one, and
    gets an argument of its own; but if one argument helps all of them, it is that of the stream.

    Args:
        names: The panels' names; None for a single tensor.
        kinds: One for each tensor.
        look: How they are shown.
        measured: Of each tensor; only of one that `is_measured` it matters.
    """
    said = [_said(kind, look, found) for kind, found in zip(kinds, measured, strict=True)]
    if not any(said):
        return ""
    fixes = {each and each.fix for each in said}
    is_for_all = len(fixes) == 1
    hints = []
    for name, each in zip(names or (None,), said, strict=True):
        if each is not None:
            fix = each.fix if is_for_all or not each.is_option else f"Panel(..., {each.fix})"
            hints.append(f"{_of(name)}{each.problem}: {fix}")
    if is_for_all or len(hints) <= _MAX_HINTS:
        return hints[0] if is_for_all else "; ".join(hints)
    return f"{'; '.join(hints[:_MAX_HINTS])}; and {len(hints) - _MAX_HINTS} more panels"


class _Said(NamedTuple):
    problem: str
    fix: str
    is_option: bool
    """Whether the fix is an argument of a stream or a panel."""


def _said(kind: TileKind, look: Look, found: Measured) -> _Said | None:
    """Return what there is to say about one tensor."""
    if found.extremes is None or not is_measured(kind, look):
        return None
    n = n_classes(look.colormap_of(kind))
    if kind.content == "labels" and _are_no_classes(*found.extremes):
        return _Said(*no_classes(*found.extremes), is_option=True)
    if n is not None:
        return _about_classes(n, *found.extremes)
    better = _better_range(kind, look, found.extremes)
    if better is None:
        return None
    problem = _reach(kind, look, found.extremes) + _outside(kind, look, found)
    return _Said(problem, f"value_range={better}", is_option=True)


def _are_no_classes(least: float, greatest: float) -> bool:
    return greatest >= N_INDICES or (least < -1 and least != IGNORED_INDEX)


def no_classes(least: float, greatest: float) -> tuple[str, str]:
    """Return what is wrong with integers that cannot be shown as labels, and the fix.

    Args:
        least: The smallest of them.
        greatest: The largest.
    """
    start = f"from {least:.6g} to" if least < 0 else "up to"
    problem = f"integers {start} {greatest:.6g} are no labels"
    return problem, f"value_range={_range_around(least, greatest)}"


def _about_classes(n: int, least: float, greatest: float) -> _Said | None:
    """Return a hint if a class has no colour, as far as the extremes show it."""
    last_ignored = N_INDICES - 1
    if greatest >= n and greatest != last_ignored:
        problem = f"classes reach {greatest:g}, and there are colours for 0 to {n - 1}"
        if greatest < last_ignored:
            return _Said(problem, 'colormap="labels"', is_option=True)
        return _Said(problem, f"labels % {last_ignored}", is_option=False)
    if least < 0 and least != IGNORED_INDEX:
        problem = f"the class {least:g} has no colour"
        return _Said(problem, f"{IGNORED_INDEX} or {last_ignored} to ignore it", is_option=False)
    return None


def _better_range(kind: TileKind, look: Look, found: tuple[float, float]) -> str | None:
    """Return a range that shows the values; None if the usual one does."""
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


def _reach(kind: TileKind, look: Look, found: tuple[float, float]) -> str:
    least, greatest = found
    only = "only " if _is_dark(kind, look, max(-least, greatest)) else ""
    start = f"from {least:.3g} to " if least < 0 else ""
    return f"values reach {only}{start}{greatest:.3g}"


def _outside(kind: TileKind, look: Look, found: Measured) -> str:
    if found.extremes is None or found.outside == 0:
        return ""
    usual, (least, greatest) = look.scaling_of(kind), found.extremes
    percent = f"{min(99, round(found.outside * 100))}"  # a sample does not show that it is all
    if found.outside < 0.01:
        percent = "less than 1"
    elif greatest < usual.low or least > usual.high:
        percent = "100"
    return f", {percent} % of them outside {usual.low:g} … {usual.high:g}"


def _rounded_up(value: float) -> float:
    """Return the next number of two digits; ``value`` itself if it differs by rounding only."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / step - 1e-4) * step


def _of(name: str | None) -> str:
    if name is None:
        return ""
    return f"{shorten(name, _NAME_CHARS)!r}: "
