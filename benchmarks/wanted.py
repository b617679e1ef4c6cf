"""Whether the figures of a benchmark reach what is wanted of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.document import markdown_table

__all__ = ["Bound", "Figure", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a figure has to reach: one of the two."""

    at_least: float = -math.inf
    at_most: float = math.inf

    def admits(self, value: float | None) -> bool:
        """Return whether a figure keeps to it. Nothing measured does not, nor does NaN."""
        return value is not None and self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        if self.at_most != math.inf:
            return f"{self.at_most:g} or less"
        return f"{self.at_least:g} or more"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the comparison."""

    name: str
    value: float | None
    """None where nothing was measured."""
    wanted: Bound | None
    """None: the figure is only shown."""

    @property
    def is_met(self) -> bool:
        return self.wanted is None or self.wanted.admits(self.value)


def compare(figures: Sequence[Figure]) -> tuple[str, bool]:
    """Return a Markdown table of the figures beside their bounds, and whether all keep to them."""
    rows = [(figure.name, _cells(figure)) for figure in figures]
    is_met = all(figure.is_met for figure in figures)
    return markdown_table(["measured", "wanted"], rows), is_met


def _cells(figure: Figure) -> list[str]:
    said = "nothing" if figure.value is None else _number(figure.value)
    measured = said if figure.is_met else f"{said}, **missed**"
    return [measured, "" if figure.wanted is None else str(figure.wanted)]


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"
