"""The legend: what the colours of a picture mean, as far as only its values say it. Pure.

It stands in the cell as text. There is nothing to say where the user gave the value range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gpuview.errors import shorten
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.hints import Extremes
from gpuview.frames.picture.look import Look

__all__ = ["Meaning", "has_legend", "legend_of"]

_NAME_CHARS = 40
_MAX_RANGES = 3  # of panels


class Meaning(NamedTuple):
    """A few words of the legend. Plain text, with anything in a panel's name."""

    text: str


def has_legend(kind: TileKind, look: Look) -> bool:
    """Tell whether a tensor's values have to be measured for the legend."""
    return look.scaling_of(kind).auto is not None


def legend_of(
    names: Sequence[str] | None,
    kinds: Sequence[TileKind],
    look: Look,
    extremes: Sequence[Extremes],
) -> tuple[Meaning, ...]:
    """Return the range of each panel whose range is found in its values.

    Args:
        names: The panels' names; None for a single tensor.
        kinds: One for each tensor.
        look: How they are shown.
        extremes: The ends of the range of each tensor that `has_legend`, or of all ranges of its
            tiles; None if it has no finite value.
    """
    ranges = []
    for name, kind, ends in zip(names or (None,), kinds, extremes, strict=True):
        if ends is not None and has_legend(kind, look):
            start = "" if name is None else f"{shorten(name, _NAME_CHARS)}: "
            ranges.append(Meaning(start + _range(kind, look, *ends)))
    more = len(ranges) - _MAX_RANGES
    if more <= 0:
        return tuple(ranges)
    return *ranges[:_MAX_RANGES], Meaning(f"and {more} more panel{'s' if more > 1 else ''}")


def _range(kind: TileKind, look: Look, low: float, high: float) -> str:
    auto = look.scaling_of(kind).auto
    if kind.content == "flow":
        return f"speeds up to {high:.3g}"
    if auto == "symmetric":
        high = max(-low, high)
        low = -high
    words = f"{low:.3g} … {high:.3g}"
    if auto in ("tile", "robust") and kind.n_tiles > 1:
        words = f"each of {kind.n_tiles} its own range, within {words}"
    if auto == "robust":
        words += ", without outliers"
    return words if kind.channels == 3 else f"{words} ({look.colormap_of(kind)})"
