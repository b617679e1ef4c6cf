"""The legend: what the colours of a picture mean, as far as only its values say it. Pure.

It stands in the cell as text: ranges that are found in the values, and the classes that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from gpuview.errors import shorten
from gpuview.frames.picture.colormap import (
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

__all__ = ["Meaning", "has_legend", "legend_of"]

_NAME_CHARS = 40
_MAX_RANGES = 3  # of panels
_MAX_CLASSES = 12
_CPU = torch.device("cpu")


class Meaning(NamedTuple):
    """A few words of the legend. Plain text, with anything in a panel's name."""

    text: str
    colour: str = ""
    """The colour that the words are about, ``#rrggbb``; empty if there is none."""


def has_legend(kind: TileKind, look: Look) -> bool:
    """Tell whether a tensor's values have to be measured for the legend."""
    return look.scaling_of(kind).auto is not None or _has_classes(kind, look)


def legend_of(
    names: Sequence[str] | None,
    kinds: Sequence[TileKind],
    look: Look,
    measured: Sequence[Measured],
) -> tuple[Meaning, ...]:
    """Return the range of each panel whose range is found in its values, and the classes there.

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
        elif found.extremes is not None and has_legend(kind, look):
            start = "" if name is None else f"{shorten(name, _NAME_CHARS)}: "
            ranges.append(Meaning(start + _range(kind, look, *found.extremes)))
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


def _range(kind: TileKind, look: Look, low: float, high: float) -> str:
    auto = look.scaling_of(kind).auto
    if kind.content == "flow":
        return f"speeds up to {high:.3g}"
    if auto == "symmetric":
        high = max(-low, high) or 1.0  # zeros are in the middle of -1 to 1
        low = -high
    words = f"{low + 0.0:.3g} … {high + 0.0:.3g}"  # not -0
    if auto in ("tile", "robust") and kind.n_tiles > 1:
        words = f"each of {kind.n_tiles} tiles by its own range, within {words}"
    if auto == "robust":
        words += ", without outliers"
    return words if kind.channels == 3 else f"{words} ({look.colormap_of(kind)})"
