"""From a place in the picture to what is seen there: the inverse of drawing. Pure.

Places are shares of the picture's sides, from its upper left corner, from 0 up to 1: they hold for
every tier of the video, however large a page shows it. They are not rounded to the picture's
pixels, so that each element of a map that is shown smaller than it is can be named too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from gpuview.frames.picture.geometry import PanelPlan, Plan
from gpuview.frames.picture.tensor_layout import Axes, ElementIndex

__all__ = ["Box", "PictureMap", "Rectangle", "Spot", "Track", "tracks"]

_INTO_BOX = ((0.0, 0.0), *product((0.5, 0.25, 0.75), repeat=2))
"""Where a box looks for its tile, as shares of its sides: a gap may be in its middle."""


class Rectangle(NamedTuple):
    """A part of the picture, in shares of its sides."""

    x: float
    y: float
    width: float
    height: float


class Spot(NamedTuple):
    """One element of a tensor that is shown."""

    panel: int
    """Counts the frame's tensors from 0."""
    tile: int
    row: int
    column: int
    """In the tile."""


class Box(NamedTuple):
    """A part of one tile. It is never empty."""

    panel: int
    tile: int
    rows: range
    columns: range


class Track(NamedTuple):
    """A panel along one axis: cells, each of a tile and a gap. In pixels of the picture."""

    start: int
    length: int
    cell: int
    inner: int
    """Of a cell, what shows its tile."""
    n: int
    """The elements of a tile."""
    is_padded: bool
    """Whether the last element fills what is left; see `PanelPlan`."""

    def find(self, at: float) -> tuple[int, int] | None:
        """Return the cell and the element at a place; None if there is none."""
        offset = at - self.start
        if not 0 <= offset < self.length:
            return None
        if self.is_padded:
            return 0, self.nearest(at, 0)
        cell = math.floor(offset / self.cell)
        is_gap = offset - cell * self.cell >= self.inner
        return None if is_gap else (cell, self.nearest(at, cell))

    def nearest(self, at: float, cell: int) -> int:
        """Return the element of a cell's tile that is nearest to a place."""
        offset = at - self.start - cell * self.cell
        return min(max(math.floor(offset * self.n / self.inner), 0), self.n - 1)

    def place(self, cell: int, elements: range) -> tuple[float, float]:
        """Return where some elements of a cell begin and end."""
        start, size = self.start + cell * self.cell, self.inner / self.n
        return start + elements.start * size, start + elements.stop * size


def tracks(panel: PanelPlan) -> tuple[Track, Track]:
    """Return a panel from top to bottom, and from left to right."""
    is_padded = panel.n_tiles == 1
    down = Track(
        panel.y, panel.height, panel.cell_height, panel.inner_height, panel.tile_height, is_padded
    )
    across = Track(
        panel.x, panel.width, panel.cell_width, panel.inner_width, panel.tile_width, is_padded
    )
    return down, across


@dataclass(frozen=True, slots=True)
class PictureMap:
    """Tells what a picture shows where. Immutable; from any thread."""

    plan: Plan
    names: tuple[str, ...] | None
    """Of the panels; None for a single tensor without a name."""
    axes: tuple[Axes, ...]
    """Of each panel's tensor."""

    @property
    def has_one_tile(self) -> bool:
        """Whether there is nothing to arrange."""
        return [panel.n_tiles for panel in self.plan.panels] == [1] and not self.plan.labels

    def at(self, x: float, y: float) -> Spot | None:
        """Return what is seen at a place; None for labels, gaps and all that is no tile."""
        if not (0 <= x < 1 and 0 <= y < 1):  # also refuses NaN
            return None
        down, right = y * self.plan.height, x * self.plan.width
        for index, panel in enumerate(self.plan.panels):
            vertical, horizontal = tracks(panel)
            row, column = vertical.find(down), horizontal.find(right)
            if row is not None and column is not None and column[0] < panel.columns:
                tile = row[0] * panel.columns + column[0]
                return Spot(index, tile, row[1], column[1]) if tile < panel.n_tiles else None
        return None

    def box(self, x: float, y: float, to_x: float, to_y: float) -> Box | None:
        """Return the elements between two places, of one tile.

        Args:
            x, y: Where it begins. The tile there counts, or else one near the box's middle.
            to_x, to_y: The opposite corner, which may be anywhere: the box ends with the tile.

        Returns:
            None if there is no tile, or something is not finite.
        """
        if not all(map(math.isfinite, (x, y, to_x, to_y))):
            return None
        places = ((x + (to_x - x) * right, y + (to_y - y) * down) for right, down in _INTO_BOX)
        spot = next(filter(None, (self.at(*place) for place in places)), None)
        if spot is None:
            return None
        panel = self.plan.panels[spot.panel]
        vertical, horizontal = tracks(panel)
        row, column = divmod(spot.tile, panel.columns)
        rows = _between(*(vertical.nearest(at * self.plan.height, row) for at in (y, to_y)))
        columns = _between(*(horizontal.nearest(at * self.plan.width, column) for at in (x, to_x)))
        return Box(spot.panel, spot.tile, rows, columns)

    def place(self, box: Box) -> Rectangle:
        """Return the part of the picture that shows these elements."""
        panel = self.plan.panels[box.panel]
        vertical, horizontal = tracks(panel)
        row, column = divmod(box.tile, panel.columns)
        top, bottom = (at / self.plan.height for at in vertical.place(row, box.rows))
        left, right = (at / self.plan.width for at in horizontal.place(column, box.columns))
        return Rectangle(left, top, right - left, bottom - top)

    def name(self, panel: int) -> str | None:
        """Return a panel's name; None if the picture has no labels."""
        return None if self.names is None else self.names[panel]

    def index(self, spot: Spot) -> ElementIndex:
        """Return where in its tensor an element is."""
        return self.axes[spot.panel].index(spot.tile, spot.row, spot.column)


def _between(first: int, last: int) -> range:
    return range(min(first, last), max(first, last) + 1)
