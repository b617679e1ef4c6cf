"""One tensor's tiles in rows and columns: how many of each, and how large each tile is shown.

Pure; integers, in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpuview.errors import FrameError
from gpuview.frames.picture.geometry import LARGE_SIDE, MIN_CELL, Sides, even_up
from gpuview.protocol.pixel_format import MIN_SIDE

__all__ = ["Grid", "arrange", "waste"]

_SMALL_SIDE = 240
_GAP = 2
_GAPS_IN_WIDTH = 480
"""A gap is at least this part of the grid's width: a notebook cell shows it two pixels wide."""
_GAPS_IN_TILE = 16
"""And at most this part of a tile's width."""
_MIN_TILE = MIN_CELL - _GAP
_HOLE_COST = 5
_HEIGHT_COST = 1.5  # a page is scrolled for what is too high
_SPREAD = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of one tensor, row by row, before their size in the picture is decided."""

    n_tiles: int
    columns: int
    height: int
    width: int
    """The sides of a tile before it is enlarged or shrunk."""

    @property
    def rows(self) -> int:
        return -(-self.n_tiles // self.columns)

    def gap(self, grid_width: int) -> int:
        """Return the distance between two tiles in a grid of about this width."""
        if self.n_tiles == 1:
            return 0
        tile_width = grid_width // self.columns
        return max(_GAP, min(grid_width // _GAPS_IN_WIDTH, tile_width // _GAPS_IN_TILE))

    def cell(self, tile: Sides) -> Sides:
        """Return the sides of a tile with its gap."""
        height, width = tile
        gap = self.gap(self.columns * width)
        return height + gap, width + gap

    def enlarged(self, factor: int) -> Sides:
        """Return the sides of a tile enlarged by ``factor``."""
        return self.height * factor, self.width * factor

    def extent(self, tile: Sides) -> Sides:
        """Return the sides of the whole grid for tiles with the sides ``tile``; both even."""
        height, width = self.cell(tile)
        gap = width - tile[1]
        return even_up(self.rows * height - gap), even_up(self.columns * width - gap)

    def usual_factor(self, grid_side: int) -> int:
        """Return the factor by which the grid is enlarged if the user gave no size; at least 1.

        Args:
            grid_side: The approximate longest side of a grid of small tiles.
        """
        if self.n_tiles > 1:
            height, width = self._largest_tile((grid_side, grid_side))
            return max(1, round(min(height / self.height, width / self.width)))
        longest, shortest = max(self.height, self.width), min(self.height, self.width)
        # An odd side is padded by one pixel, so one pixel less is enough.
        wanted = max(-(-(_SMALL_SIDE - 1) // longest), -(-(MIN_SIDE - 1) // shortest))
        return max(1, min(wanted, LARGE_SIDE // longest))

    def factor_within(self, box: Sides) -> int:
        """Return the largest factor with which the grid fits into ``box``; at least 1."""
        height, width = self._largest_tile(box)
        return max(1, min(height // self.height, width // self.width))

    def fitted(self, box: Sides) -> Sides:
        """Return the sides of the largest tile with which the grid fits into ``box``.

        The tile keeps its aspect to the nearest pixel; a single tile to the nearest two.

        Args:
            box: Both sides even, at least `MIN_CELL`.

        Raises:
            FrameError: There is no room for so many tiles.
        """
        height, width = self._largest_tile(box)
        if min(height, width) < _MIN_TILE:
            raise FrameError(
                f"cannot show {self.n_tiles} tiles in {box[1]} x {box[0]} pixels",
                expected=f"at least {MIN_CELL} x {MIN_CELL} pixels for each",
                fix="show some of them: select=lambda tensor: tensor[:64], or tensor[:, :64] of a "
                "layer's channels",
            )
        step = 1 if self.n_tiles > 1 else 2
        if height * self.width <= width * self.height:
            return height, max(_MIN_TILE, _nearest(self.width * height, self.height, step))
        return max(_MIN_TILE, _nearest(self.height * width, self.width, step)), width

    def _largest_tile(self, box: Sides) -> Sides:
        """Return the height and width available for each tile in ``box``, whatever its aspect."""
        height, width = box
        gap = self.gap(width)
        return (height + gap) // self.rows - gap, (width + gap) // self.columns - gap


def arrange(
    n_tiles: int, tile: Sides, *, aspect: float, max_tile_aspect: float, columns: int | None = None
) -> Grid:
    """Choose the number of columns that wastes least: no holes, and an aspect near ``aspect``.

    Args:
        n_tiles: The number of tiles.
        tile: A tile's sides in the tensor.
        aspect: The aspect to aim for, width by height.
        max_tile_aspect: The largest ratio between the sides of a tile. The shorter side is enlarged
            by an integer factor to stay below it: a row of 4096 values becomes a band.
        columns: Those that the user wants; None chooses.
    """
    height, width = tile
    height *= max(1, math.ceil(width / (max_tile_aspect * height)))
    width *= max(1, math.ceil(height / (max_tile_aspect * width)))
    if columns is not None:
        return Grid(n_tiles, min(columns, n_tiles), height, width)
    ideal = math.sqrt(n_tiles * aspect * height / width)

    def cost(columns: int) -> float:
        rows = -(-n_tiles // columns)
        return waste(columns * width / (rows * height), aspect, 1 - n_tiles / (rows * columns))

    near = range(math.floor(ideal / _SPREAD), math.ceil(ideal * _SPREAD) + 1)
    choices = {_without_holes(n_tiles, columns) for columns in near}
    return Grid(n_tiles, min(sorted(choices), key=cost), height, width)


def waste(aspect: float, wanted: float, holes: float) -> float:
    """Return how badly a picture uses its place.

    Args:
        aspect: The picture's, width by height.
        wanted: The place's.
        holes: The share of the picture that shows nothing.
    """
    stretch = math.log(aspect / wanted)
    return max(stretch, -_HEIGHT_COST * stretch) + _HOLE_COST * holes


def _without_holes(n_tiles: int, columns: int) -> int:
    """Return the fewest columns that need no more rows than ``columns``, clamped to 1..n_tiles."""
    rows = -(-n_tiles // min(max(columns, 1), n_tiles))
    return -(-n_tiles // rows)


def _nearest(numerator: int, denominator: int, step: int) -> int:
    """Return the multiple of ``step`` that is nearest to ``numerator / denominator``."""
    return (2 * numerator + step * denominator) // (2 * step * denominator) * step
