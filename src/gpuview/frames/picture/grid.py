"""One tensor's tiles in rows and columns: how many of each, and how large each tile is shown.

Pure; integers, in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpuview.errors import FrameError
from gpuview.frames.picture.geometry import LARGE_SIDE, MIN_CELL, Sides, even_up
from gpuview.protocol.ring import MIN_SIDE

__all__ = ["Grid", "arrange"]

_SMALL_SIDE = 240
_GAP = 2
_MIN_TILE = MIN_CELL - _GAP


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

    @property
    def gap(self) -> int:
        """The distance between two tiles."""
        return _GAP if self.n_tiles > 1 else 0

    def enlarged(self, factor: int) -> Sides:
        """Return the sides of a tile enlarged by ``factor``."""
        return self.height * factor, self.width * factor

    def extent(self, tile: Sides) -> Sides:
        """Return the sides of the whole grid for tiles with the sides ``tile``; both even."""
        height, width = tile
        return (
            even_up(self.rows * (height + self.gap) - self.gap),
            even_up(self.columns * (width + self.gap) - self.gap),
        )

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
        return (
            (height + self.gap) // self.rows - self.gap,
            (width + self.gap) // self.columns - self.gap,
        )


def arrange(n_tiles: int, tile: Sides, *, aspect: float, max_tile_aspect: float) -> Grid:
    """Choose the columns with which the grid comes closest to ``aspect``, width by height.

    Args:
        n_tiles: The number of tiles.
        tile: A tile's sides in the tensor.
        aspect: The aspect to aim for.
        max_tile_aspect: The largest ratio between the sides of a tile. The shorter side is enlarged
            by an integer factor to stay below it: a row of 4096 values becomes a band.
    """
    height, width = tile
    height *= max(1, math.ceil(width / (max_tile_aspect * height)))
    width *= max(1, math.ceil(height / (max_tile_aspect * width)))
    ideal = math.sqrt(n_tiles * aspect * height / width)

    def distance(columns: int) -> float:
        rows = -(-n_tiles // columns)
        return abs(math.log(columns * width / (rows * height * aspect)))

    choices = {_without_gaps(n_tiles, columns) for columns in (math.floor(ideal), math.ceil(ideal))}
    return Grid(n_tiles, min(sorted(choices), key=distance), height, width)


def _without_gaps(n_tiles: int, columns: int) -> int:
    """Return the fewest columns that need no more rows than ``columns``, clamped to 1..n_tiles."""
    rows = -(-n_tiles // min(max(columns, 1), n_tiles))
    return -(-n_tiles // rows)


def _nearest(numerator: int, denominator: int, step: int) -> int:
    """Return the multiple of ``step`` that is nearest to ``numerator / denominator``."""
    return (2 * numerator + step * denominator) // (2 * step * denominator) * step
