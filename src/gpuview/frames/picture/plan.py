"""The layout of one picture: pure decisions about positions and sizes, in pixels.

Note [sizes]: without a size, a picture is shown pixel for pixel. A picture smaller than 240 pixels
is enlarged by the integer factor that brings its longest side to 240; a picture larger than
`LARGE_SIDE` is shrunk, and a grid larger than `LARGE_GRID_SIDE`. A grid of tiles is enlarged to
about 640 pixels. With a size, everything is scaled to it. No picture has more than `MAX_PIXELS`. A
tile keeps its aspect, so there may be background to its right or below. Only very long tiles, such
as a row of 4096 values, are stretched; see `grid.arrange`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpuview.errors import FrameError
from gpuview.frames.picture.errors import naming_panel
from gpuview.frames.picture.geometry import (
    LARGE_GRID_SIDE,
    LARGE_SIDE,
    MAX_PIXELS,
    MAX_SIDE,
    Label,
    PanelPlan,
    Plan,
    Sides,
    TileKind,
    even_down,
)
from gpuview.frames.picture.grid import Grid, arrange
from gpuview.frames.picture.look import Look, Size
from gpuview.frames.picture.page_width import USUAL_ROOM
from gpuview.frames.picture.table import Table
from gpuview.protocol.pixel_format import MIN_SIDE

__all__ = ["plan"]

_MAX_DATA_ASPECT = 16
_MAX_PICTURE_ASPECT = LARGE_SIDE // MIN_SIDE
_DATA_BOX = (768, 768)
_GRID_SIDE = 640
_GRID_ASPECT = 4 / 3
_PICTURE_ASPECT = 16 / 9
_READABLE_SIDE = 320
_USUAL = Look()


def plan(
    tiles: Sequence[TileKind],
    names: Sequence[str] | None,
    look: Look,
    *,
    is_native: bool = False,
) -> Plan:
    """Decide where the tiles of each tensor go.

    Pure. Takes 10 us or more for each panel: cache the plan while the arguments are the same.

    A single tensor without a name fills the picture. Named tensors become labelled panels, row by
    row, in ``look.columns``, or in as many as waste least: in a picture of the aspect of
    ``look.size``, or as wide as ``look.room`` and as high as one of 16:9 in a usual cell. Each
    panel is enlarged by an integer factor until it can be read beside the largest; then all panels
    are scaled by the same factor.

    Args:
        tiles: One for each tensor.
        names: The labels, as many as ``tiles``; None for a single tensor without a label.
        look: How to show them. Its layout is ignored.
        is_native: Show every tile pixel for pixel, at any size, in a picture that is not encoded.
            ``look.size`` is ignored, and a side may be shorter than `MIN_SIDE`.

    Raises:
        FrameError: There is no tensor, there are too many tiles or panels for the size, or a
            picture of integers has no value range.
    """
    if not tiles:
        raise FrameError(
            "cannot show an empty collection of tensors",
            expected="at least one tensor",
            fix="push it once it holds a tensor",
        )
    if is_native:
        return _plan_native(tiles, names, look)
    if names is None:
        return _plan_alone(tiles, look)
    return _plan_labelled(tiles, names, look)


@dataclass(frozen=True, slots=True)
class _SizedGrid:
    """The tiles of one tensor, arranged, and the size at which each is shown."""

    kind: TileKind
    grid: Grid
    tile: Sides

    @classmethod
    def usual(
        cls,
        kind: TileKind,
        aspect: float,
        grid_side: int = _GRID_SIDE,
        columns: int | None = None,
    ) -> _SizedGrid:
        longest = _MAX_DATA_ASPECT if _is_data(kind) else _MAX_PICTURE_ASPECT
        grid = arrange(
            kind.n_tiles, kind.tile, aspect=aspect, max_tile_aspect=longest, columns=columns
        )
        return cls(kind, grid, grid.enlarged(grid.usual_factor(grid_side)))

    @classmethod
    def native(cls, kind: TileKind, look: Look) -> _SizedGrid:
        grid = arrange(
            kind.n_tiles,
            kind.tile,
            aspect=_GRID_ASPECT * look.used_room / USUAL_ROOM,
            max_tile_aspect=math.inf,
            columns=look.columns,
        )
        return cls(kind, grid, kind.tile)

    @property
    def sides(self) -> Sides:
        return self.grid.extent(self.tile)

    @property
    def is_large_data(self) -> bool:
        return _is_data(self.kind) and _exceeds(self.sides, _DATA_BOX)

    def enlarged_within(self, box: Sides) -> _SizedGrid:
        """Enlarge by the largest integer factor that fits; unchanged if even 1 is too large."""
        enlarged = replace(self, tile=self.grid.enlarged(self.grid.factor_within(box)))
        return self if _exceeds(enlarged.sides, box) else enlarged

    def fitted(self, box: Sides) -> _SizedGrid:
        return replace(self, tile=self.grid.fitted(box))

    def panel_at(self, position: Sides, look: Look) -> PanelPlan:
        kind, grid = self.kind, self.grid
        cell_height, cell_width = grid.cell(self.tile)
        return PanelPlan(
            *position,
            *self.sides,
            n_tiles=kind.n_tiles,
            columns=grid.columns,
            cell_height=cell_height,
            cell_width=cell_width,
            inner_height=self.tile[0],
            inner_width=self.tile[1],
            tile_height=kind.height,
            tile_width=kind.width,
            channels=kind.channels,
            scaling=look.scaling_of(kind),
            colormap=look.colormap_of(kind),
        )


def _is_data(kind: TileKind) -> bool:
    """Tell whether the tiles have no natural aspect: maps, or a very long single channel."""
    is_long = max(kind.tile) > _MAX_DATA_ASPECT * min(kind.tile)
    return kind.content == "map" or (kind.channels == 1 and is_long)


def _plan_native(tiles: Sequence[TileKind], names: Sequence[str] | None, look: Look) -> Plan:
    if names is None:
        grid = _SizedGrid.native(tiles[0], look)
        return Plan(*grid.sides, (grid.panel_at((0, 0), look),))
    grids = [_SizedGrid.native(kind, _USUAL) for kind in tiles]
    aspect = _PICTURE_ASPECT * look.used_room / USUAL_ROOM
    table = Table.arranged(_sides(grids), aspect=aspect, columns=look.columns, room=look.used_room)
    return _labelled(grids, names, table, look, table.sides)


def _plan_alone(tiles: Sequence[TileKind], look: Look) -> Plan:
    (kind,) = tiles
    aspect = _aspect(look, _GRID_ASPECT)
    grid = _SizedGrid.usual(kind, aspect, columns=look.columns)
    size = _affordable(look.size, grid.sides)
    box = _box(size, grid.sides, at_most=LARGE_SIDE if kind.n_tiles == 1 else LARGE_GRID_SIDE)
    if box is not None:
        grid = grid.fitted(box)
    return Plan(*_encoded_sides(grid.sides, size), (grid.panel_at((0, 0), look),))


def _plan_labelled(tiles: Sequence[TileKind], names: Sequence[str], look: Look) -> Plan:
    grids = _alike(tiles)
    aspect = _aspect(look, _PICTURE_ASPECT)
    table = Table.arranged(_sides(grids), aspect=aspect, columns=look.columns, room=look.used_room)
    size = _affordable(look.size, table.sides)
    box = _box(size, table.sides)
    if box is not None:
        boxes = table.scaled(box)
        grids = [grid.fitted(box) for grid, box in zip(grids, boxes, strict=True)]
        table = replace(table, panels=_sides(grids))
    return _labelled(grids, names, table, look, _encoded_sides(table.sides, size))


def _alike(tiles: Sequence[TileKind]) -> list[_SizedGrid]:
    """Enlarge each grid by the largest integer factor that keeps it readable, and no larger.

    That is half of the largest grid, as more pixels would only cost: a cell that shows the largest
    well shows half of it well. Large data does not count as the largest: a row of 4096 values would
    make other panels tiny.
    """
    # Many panels need small grids: labels must stay readable at the width of a notebook cell.
    grid_side = USUAL_ROOM // math.ceil(math.sqrt(len(tiles) * _PICTURE_ASPECT))
    grids = [_SizedGrid.usual(kind, _GRID_ASPECT, grid_side) for kind in tiles]
    grids = [grid.fitted(_DATA_BOX) if grid.is_large_data else grid for grid in grids]
    heights, widths = zip(*_sides(grids), strict=True)
    box = tuple(min(side, max(side // 2, _READABLE_SIDE)) for side in (max(heights), max(widths)))
    return [grid.enlarged_within((box[0], box[1])) for grid in grids]


def _labelled(
    grids: Sequence[_SizedGrid], names: Sequence[str], table: Table, look: Look, sides: Sides
) -> Plan:
    """Put each grid and its label at their places in the table."""
    panels, labels = [], []
    height, widths = table.label_height, table.column_widths
    for i, (y, x) in enumerate(table.positions()):
        with naming_panel(names[i]):
            panels.append(grids[i].panel_at((y, x), look))
        labels.append(Label(names[i], y - height, x, height, widths[i % table.columns]))
    return Plan(*sides, tuple(panels), tuple(labels))


def _sides(grids: Sequence[_SizedGrid]) -> tuple[Sides, ...]:
    return tuple(grid.sides for grid in grids)


def _exceeds(sides: Sides, box: Sides) -> bool:
    return sides[0] > box[0] or sides[1] > box[1]


def _aspect(look: Look, usual: float) -> float:
    """Return width by height: the user's, or the usual ones in a usual cell, of the same height."""
    if isinstance(look.size, tuple):
        return look.size[0] / look.size[1]
    return usual * look.used_room / USUAL_ROOM


def _affordable(size: Size, sides: Sides) -> Size:
    """Return ``size``, reduced if a picture with the aspect of ``sides`` had too many pixels."""
    return min(size, _longest_side(sides)) if isinstance(size, int) else size


def _longest_side(sides: Sides) -> int:
    """Return the longest side at which a picture with the aspect of ``sides`` can be encoded."""
    return min(MAX_SIDE, even_down(math.isqrt(MAX_PIXELS * max(sides) // min(sides))))


def _box(size: Size, sides: Sides, at_most: int = LARGE_SIDE) -> Sides | None:
    """Return the box that a picture of ``sides`` is scaled to fit; None if it is not scaled.

    Without a size it is scaled if a side is longer than ``at_most``.
    """
    if isinstance(size, tuple):
        return size[1], size[0]
    if size is None and max(sides) <= min(at_most, _longest_side(sides)):
        return None
    longest = size or min(LARGE_SIDE, _longest_side(sides))
    shortest = min(longest, even_down(MAX_PIXELS // longest))
    return (longest, shortest) if sides[0] > sides[1] else (shortest, longest)


def _encoded_sides(sides: Sides, size: Size) -> Sides:
    """Return the sides of the encoded picture for panels that take up ``sides``."""
    if isinstance(size, tuple):
        return size[1], size[0]
    height, width = (max(side, MIN_SIDE) for side in sides)
    return height, width
