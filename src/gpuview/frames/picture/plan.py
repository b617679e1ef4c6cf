"""Where everything goes in one picture: pure decisions about sizes, in pixels.

    Plan    a whole picture, as it is encoded
    Panel   a tensor's part of it: a grid of tiles, all of one size
    cell    a tile and the gap behind it, to the right and below

Note [area]: a tile is resized by area. A pixel of the picture is the mean of what it covers in the
tile, each of the tile's pixels weighted by the part of it that is covered. Where a tile grows by a
whole number that is the nearest pixel; where it grows by another one, the nearest with soft edges.
Along an axis, pixel ``i`` of ``inner`` covers from ``i * tile`` to ``(i + 1) * tile``, and the
tile's pixel ``k`` reaches from ``k * inner`` to ``(k + 1) * inner``: whole numbers, so that nobody
rounds and no neighbour's NaN leaks in.

Note [sizes]: without a size, a picture is shown pixel for pixel; one under 240 pixels is enlarged
by a whole number until its longest side has that, and one over `LARGE_SIDE` is shrunk. Tiles are
enlarged until their grid has about 640. With a size everything is scaled to it. Nothing gets more
than `MAX_PIXELS`. A tile keeps its aspect, so that something may be left over to the right or
below: background. Only tiles that are very long, as a row of 4096 values is, are drawn wider; see
`grid.arrange`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from gpuview.errors import FrameError
from gpuview.frames.picture.grid import LARGE_SIDE, Grid, Sides, arrange, even_down
from gpuview.frames.picture.table import CELL_WIDTH, Table
from gpuview.protocol.ring import MIN_SIDE

if TYPE_CHECKING:
    from gpuview.frames.picture.look import Look, Size

__all__ = [
    "BACKGROUND",
    "LARGE_SIDE",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Label",
    "Panel",
    "Plan",
    "Scaling",
    "TileKind",
    "naming",
    "plan",
]

MAX_SIDE = 8688
"""The longest side of a picture in H.264 level 5.2, the highest that Chromium decodes."""

MAX_PIXELS = 3840 * 2400
"""All pixels of a picture: what level 5.2 has, less what fills up its blocks of 16 x 16."""

BACKGROUND: tuple[int, int, int] = (32, 32, 32)
"""What is between tiles and around panels, RGB."""

_MAX_DATA_ASPECT = 16
_MAX_PICTURE_ASPECT = LARGE_SIDE // MIN_SIDE
_DATA_BOX = (768, 768)
_GRID_SIDE = 640
_GRID_ASPECT = 4 / 3
_PICTURE_ASPECT = 16 / 9


class TileKind(NamedTuple):
    """All of a tensor's tiles that decides where they go and how they are scaled."""

    n_tiles: int
    channels: Literal[1, 3]
    height: int
    width: int
    """Of each tile."""
    dtype: torch.dtype
    is_maps: bool

    @property
    def tile(self) -> Sides:
        return self.height, self.width

    @property
    def is_data(self) -> bool:
        """No picture whose aspect somebody knows: a map, or one channel that is very long."""
        is_long = max(self.tile) > _MAX_DATA_ASPECT * min(self.tile)
        return self.is_maps or (self.channels == 1 and is_long)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Which values are black and white, or the two ends of the colour map."""

    low: float = 0.0
    high: float = 1.0
    """What `low` and `high` are; they are not read when ``auto`` is given. high > low."""
    auto: Literal["tile", "frame"] | None = None
    """From the least and the greatest finite value of each tile, or of all of a tensor's tiles."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Where the tiles of one tensor go, and how their values become colours.

    Tile ``t`` is in row ``t // columns`` and column ``t % columns``; its first pixel is at
    ``y + row * cell_height``, ``x + column * cell_width``. What is in the panel and in no tile is
    background, except with one tile: then it is the tile's last row or column once more.
    """

    y: int
    x: int
    """The panel's first pixel in the picture; both even."""
    height: int
    width: int
    """Both even."""
    n_tiles: int
    columns: int
    cell_height: int
    cell_width: int
    inner_height: int
    inner_width: int
    """A tile as it is shown; at most a cell, and a cell's size only where there is no gap."""
    tile_height: int
    tile_width: int
    """A tile in the tensor."""
    channels: Literal[1, 3]
    scaling: Scaling
    colormap: str
    """For one channel; ``"gray"`` maps [0, 1] to black and white, without steps."""


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text above a panel."""

    text: str
    y: int
    x: int
    height: int
    width: int
    """All even."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole picture. What no panel and no label covers is background."""

    height: int
    width: int
    """Both even, and at least `MIN_SIDE` in a picture that is encoded."""
    panels: tuple[Panel, ...]
    """One for each tensor, in order."""
    labels: tuple[Label, ...] = ()


def plan(
    tiles: Sequence[TileKind],
    names: Sequence[str] | None,
    look: Look,
    *,
    is_native: bool = False,
) -> Plan:
    """Decide where the tiles of each tensor go.

    Pure. Takes 10 us and more for each panel: keep the plan while the arguments are the same.

    One tensor without a name fills the picture. Named ones are labelled panels, row by row, in as
    many columns as bring the picture closest to 16:9, or to the aspect of ``look.size``. Each is
    enlarged by a whole number to about the size of the largest; then all are scaled alike.

    Args:
        tiles: One for each tensor.
        names: The labels, as many as ``tiles``; None for one tensor without a label.
        look: How to show them. Its layout is not read.
        is_native: Every tile pixel for pixel, however small or large, for a picture that is not
            encoded: ``look.size`` is not read, and a side may be under `MIN_SIDE`.

    Raises:
        FrameError: No tensor, too many tiles or panels for the size, or integers without a range.
    """
    if not tiles:
        raise FrameError(
            "cannot show a grid of no tensors",
            expected="at least one tensor",
            fix="push it once there is one",
        )
    if is_native:
        return _plan_native(tiles, names, look)
    if names is None:
        return _plan_alone(tiles, look)
    return _plan_labelled(tiles, names, look)


@dataclass(frozen=True, slots=True)
class _Part:
    """The tiles of one tensor, arranged, and how large each is shown."""

    kind: TileKind
    grid: Grid
    tile: Sides

    @classmethod
    def usual(cls, kind: TileKind, aspect: float, grid_side: int = _GRID_SIDE) -> _Part:
        longest = _MAX_DATA_ASPECT if kind.is_data else _MAX_PICTURE_ASPECT
        grid = arrange(kind.n_tiles, kind.tile, aspect=aspect, max_tile_aspect=longest)
        return cls(kind, grid, grid.enlarged(grid.usual_factor(grid_side)))

    @classmethod
    def native(cls, kind: TileKind) -> _Part:
        grid = arrange(kind.n_tiles, kind.tile, aspect=_GRID_ASPECT, max_tile_aspect=math.inf)
        return cls(kind, grid, kind.tile)

    @property
    def sides(self) -> Sides:
        return self.grid.extent(self.tile)

    @property
    def is_large_data(self) -> bool:
        return self.kind.is_data and _exceeds(self.sides, _DATA_BOX)

    def enlarged_within(self, box: Sides) -> _Part:
        """Return it enlarged by the largest whole number, or as it is where none fits."""
        enlarged = replace(self, tile=self.grid.enlarged(self.grid.factor_within(box)))
        return self if _exceeds(enlarged.sides, box) else enlarged

    def fitted(self, box: Sides) -> _Part:
        return replace(self, tile=self.grid.fitted(box))

    def panel(self, position: Sides, look: Look) -> Panel:
        kind, grid = self.kind, self.grid
        return Panel(
            *position,
            *self.sides,
            n_tiles=kind.n_tiles,
            columns=grid.columns,
            cell_height=self.tile[0] + grid.gap,
            cell_width=self.tile[1] + grid.gap,
            inner_height=self.tile[0],
            inner_width=self.tile[1],
            tile_height=kind.height,
            tile_width=kind.width,
            channels=kind.channels,
            scaling=_scaling(kind, look),
            colormap=_colormap(kind, look),
        )


@contextmanager
def naming(part: str) -> Iterator[None]:
    """Have a FrameError say which part of a grid it is about."""
    try:
        yield
    except FrameError as exc:
        problem = f"{exc.problem}, which is {part!r} of a grid"
        raise FrameError(problem, expected=exc.expected, fix=exc.fix) from exc


def _plan_native(tiles: Sequence[TileKind], names: Sequence[str] | None, look: Look) -> Plan:
    parts = [_Part.native(kind) for kind in tiles]
    if names is None:
        (part,) = parts
        return Plan(*part.sides, (part.panel((0, 0), look),))
    table = Table.closest_to(_PICTURE_ASPECT, _sides(parts))
    return _labelled(parts, names, table, look, table.sides)


def _plan_alone(tiles: Sequence[TileKind], look: Look) -> Plan:
    (kind,) = tiles
    part = _Part.usual(kind, _aspect(look.size) or _GRID_ASPECT)
    size = _affordable(look.size, part.sides)
    box = _box(size, part.sides)
    if box is not None:
        part = part.fitted(box)
    return Plan(*_encoded_sides(part.sides, size), (part.panel((0, 0), look),))


def _plan_labelled(tiles: Sequence[TileKind], names: Sequence[str], look: Look) -> Plan:
    parts = _alike(tiles)
    table = Table.closest_to(_aspect(look.size) or _PICTURE_ASPECT, _sides(parts))
    size = _affordable(look.size, table.sides)
    box = _box(size, table.sides)
    if box is not None:
        boxes = table.scaled(box)
        parts = [part.fitted(box) for part, box in zip(parts, boxes, strict=True)]
        table = replace(table, panels=_sides(parts))
    return _labelled(parts, names, table, look, _encoded_sides(table.sides, size))


def _alike(tiles: Sequence[TileKind]) -> list[_Part]:
    """Enlarge each by the whole number that brings it closest to the largest.

    Data do not count as large: a row of 4096 values would make every other panel tiny.
    """
    # The more panels, the smaller their grids: labels are read in a cell that is as wide as ever.
    grid_side = CELL_WIDTH // math.ceil(math.sqrt(len(tiles) * _PICTURE_ASPECT))
    parts = [_Part.usual(kind, _GRID_ASPECT, grid_side) for kind in tiles]
    parts = [part.fitted(_DATA_BOX) if part.is_large_data else part for part in parts]
    heights, widths = zip(*_sides(parts), strict=True)
    return [part.enlarged_within((max(heights), max(widths))) for part in parts]


def _labelled(
    parts: Sequence[_Part], names: Sequence[str], table: Table, look: Look, sides: Sides
) -> Plan:
    """Put each part where the table has it, under its name."""
    panels, labels = [], []
    height = table.label_height
    for i, (y, x) in enumerate(table.positions()):
        width = table.column_widths[i % table.columns]
        with naming(names[i]):
            panels.append(parts[i].panel((y, x), look))
        labels.append(Label(names[i], y - height, x, height, width))
    return Plan(*sides, tuple(panels), tuple(labels))


def _sides(parts: Sequence[_Part]) -> tuple[Sides, ...]:
    return tuple(part.sides for part in parts)


def _exceeds(sides: Sides, box: Sides) -> bool:
    return sides[0] > box[0] or sides[1] > box[1]


def _aspect(size: Size) -> float | None:
    """Return width by height, when the user said both."""
    return size[0] / size[1] if isinstance(size, tuple) else None


def _affordable(size: Size, sides: Sides) -> Size:
    """Return ``size``, or less when a picture of ``sides`` would have too many pixels with it."""
    return min(size, _longest_side(sides)) if isinstance(size, int) else size


def _longest_side(sides: Sides) -> int:
    """Return the longest side with which a picture of the aspect of ``sides`` can be encoded."""
    return min(MAX_SIDE, even_down(math.isqrt(MAX_PIXELS * max(sides) // min(sides))))


def _box(size: Size, sides: Sides) -> Sides | None:
    """Return what a picture of ``sides`` is to be fitted into; None when it is shown as it is."""
    if isinstance(size, tuple):
        return size[1], size[0]
    longest = size or min(LARGE_SIDE, _longest_side(sides))
    if size is None and max(sides) <= longest:
        return None
    shortest = min(longest, even_down(MAX_PIXELS // longest))
    return (longest, shortest) if sides[0] > sides[1] else (shortest, longest)


def _encoded_sides(sides: Sides, size: Size) -> Sides:
    """Return the picture's sides when what it shows has ``sides``."""
    if isinstance(size, tuple):
        return size[1], size[0]
    height, width = (max(side, MIN_SIDE) for side in sides)
    if size is None:
        return height, width
    return (size, width) if height >= width else (height, size)


def _scaling(kind: TileKind, look: Look) -> Scaling:
    dtype, value_range = kind.dtype, look.value_range
    if isinstance(value_range, tuple):
        return Scaling(*value_range)
    if value_range is not None:
        return Scaling(auto="tile" if value_range == "auto" else "frame")
    if dtype == torch.bool:
        return Scaling()
    if kind.is_maps:
        return Scaling(auto="tile")
    if dtype == torch.uint8:
        return Scaling(0, 255)
    if dtype.is_floating_point:
        return Scaling()
    raise FrameError(
        f"cannot tell black from white in a picture with {dtype = }",
        expected="a value range for every integer type but uint8",
        fix='value_range="auto", or the values of black and white: value_range=(0, 4095)',
    )


def _colormap(kind: TileKind, look: Look) -> str:
    if kind.channels == 3:
        return "gray"
    return look.colormap or ("viridis" if kind.is_maps else "gray")
