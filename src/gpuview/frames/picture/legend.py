"""The legend: what the colours of a picture mean. Pure.

It stands in the cell: a colour bar for each panel with a colour map, the ranges of others that are
found in the values, and the classes that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch

from gpuview.errors import shorten
from gpuview.frames.picture.colormap import (
    FLOW,
    IGNORED_INDEX,
    IGNORED_ROW,
    N_INDICES,
    NO_CLASS_ROW,
    n_classes,
    palette,
)
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.measured import Measured

__all__ = ["Bar", "Meaning", "has_legend", "legend_of"]

_NAME_CHARS = 40
_MAX_RANGES = 6  # of panels
_N_STOPS = 17  # odd: one is in the middle
_MAX_CLASSES = 12
_MAX_WHOLE = 1e6  # from here on, numbers have an exponent
_CPU = torch.device("cpu")


class Bar(NamedTuple):
    """The colours of a map, with the values at its ends."""

    name: str
    """The panel's; empty if there are no panels."""
    colours: tuple[str, ...]
    """``#rrggbb``, at equal distances from the low end to the high one."""
    low: str
    high: str
    middle: str = ""
    """The value between both; empty if it says nothing."""
    note: str = ""
    """What else there is to know about the range; empty if nothing."""


class Meaning(NamedTuple):
    """A few words of the legend. Plain text, with anything in a panel's name."""

    text: str
    colour: str = ""
    """The colour that the words are about, ``#rrggbb``; empty if there is none."""
    bar: Bar | None = None
    """What says the same to the eye."""


def has_legend(kind: TileKind, look: Look) -> bool:
    """Tell whether a tensor's values have to be measured for the legend."""
    return look.scaling_of(kind).auto is not None or _has_classes(kind, look)


def legend_of(
    names: Sequence[str] | None,
    kinds: Sequence[TileKind],
    look: Look,
    measured: Sequence[Measured],
) -> tuple[Meaning, ...]:
    """Return the range of each panel that has a colour map or is scaled, and the classes there.

    Args:
        names: The panels' names; None for a single tensor.
        kinds: One for each tensor.
        look: How they are shown.
        measured: Of each tensor; only of one that `has_legend` it matters.
    """
    ranges: list[Meaning] = []
    classes: dict[Meaning, None] = {}  # of several panels, each once
    for name, kind, found in zip(names or (None,), kinds, measured, strict=True):
        if _has_classes(kind, look):
            classes |= dict.fromkeys(_classes(look.colormap_of(kind), found.class_rows))
        elif (ends := _ends(kind, look, found)) is not None:
            shown = "" if name is None else shorten(name, _NAME_CHARS)
            ranges.append(_range(shown, kind, look, ends))
    lead = [Meaning("classes")] if classes else []
    return (
        *_at_most(_MAX_RANGES, ranges, "panel", "panels"),
        *lead,
        *_at_most(_MAX_CLASSES, list(classes), "class", "classes"),
    )


def _at_most(n: int, meanings: list[Meaning], one: str, many: str) -> list[Meaning]:
    more = len(meanings) - n
    if more <= 0:
        return meanings
    return [*meanings[:n], Meaning(f"and {more} more {one if more == 1 else many}")]


def _has_classes(kind: TileKind, look: Look) -> bool:
    return kind.channels == 1 and n_classes(look.colormap_of(kind)) is not None


def _classes(colormap: str, rows: Sequence[int]) -> list[Meaning]:
    n, colours = n_classes(colormap) or 0, palette(colormap, _CPU)
    last = N_INDICES - 1
    words = {last: f"{last} ignored", IGNORED_ROW: f"{IGNORED_INDEX} ignored"}
    words[NO_CLASS_ROW] = "no class"
    known = sorted({NO_CLASS_ROW if n <= row < last else row for row in rows})
    return [Meaning(words.get(row, str(row)), _css(colours[row].tolist())) for row in known]


def _css(rgb: Sequence[int]) -> str:
    return "#" + bytes(rgb).hex()


def _has_bar(kind: TileKind, look: Look) -> bool:
    return kind.channels == 1 and look.colormap_of(kind) not in ("gray", FLOW)


def _ends(kind: TileKind, look: Look, found: Measured) -> tuple[float, float] | None:
    """Return the values at the ends of the colours, if they are known and worth telling."""
    scaling = look.scaling_of(kind)
    if scaling.auto is None:
        return (scaling.low, scaling.high) if _has_bar(kind, look) else None
    if found.extremes is None or scaling.auto != "symmetric" or kind.content == "flow":
        return found.extremes
    low, high = found.extremes
    largest = max(-low, high) or 1.0  # zeros are in the middle of -1 to 1
    return -largest, largest


def _range(name: str, kind: TileKind, look: Look, ends: tuple[float, float]) -> Meaning:
    """Return what there is to say of a panel's range."""
    start = f"{name}: " if name else ""
    low, high = _numbers(*ends)
    if kind.content == "flow":
        return Meaning(f"{start}speeds up to {high}")
    auto, colormap = look.scaling_of(kind).auto, look.colormap_of(kind)
    within = f"within {low} … {high}"
    tiles = (
        f"each of {kind.n_tiles} tiles" if auto in ("tile", "robust") and kind.n_tiles > 1 else ""
    )
    words = f"{tiles} by its own range, {within}" if tiles else f"{low} … {high}"
    outliers = "without outliers" if auto == "robust" else ""
    text = start + _joined(words, outliers)
    if kind.channels == 1:
        text += f" ({colormap})"
    if not _has_bar(kind, look):
        return Meaning(text)
    if tiles:
        note = _joined(f"of {tiles}, {within}", outliers)
        return Meaning(text, bar=Bar(name, _stops(colormap), "min", "max", note=note))
    middle = "0" if ends[0] == -ends[1] != 0 else ""
    return Meaning(text, bar=Bar(name, _stops(colormap), low, high, middle, outliers))


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _numbers(low: float, high: float) -> tuple[str, str]:
    """Return two numbers in as few digits as tell them apart, but at least three."""
    texts = ((_number(low, digits), _number(high, digits)) for digits in range(3, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (_number(low, 3), _number(high, 3)))


def _number(value: float, digits: int) -> str:
    if abs(value) < _MAX_WHOLE:
        digits = max(digits, len(str(int(abs(value)))))
    return f"{value + 0.0:.{digits}g}"  # not -0


@cache
def _stops(colormap: str) -> tuple[str, ...]:
    rows = palette(colormap, _CPU)
    last = N_INDICES - 1
    return tuple(_css(rows[last * i // (_N_STOPS - 1)].tolist()) for i in range(_N_STOPS))
