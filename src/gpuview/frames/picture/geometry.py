"""The geometry of one picture, in pixels: what `plan` decides, and all drawing code follows.

    Plan    a whole picture, as it is encoded
    Panel   the part of it that shows one tensor: a grid of tiles, all of one size
    cell    a tile and the gap after it, to the right and below

Note [area]: a tile is resized by area. A pixel of the picture is the mean of the tile's pixels that
it covers, each weighted by the part that is covered. If a tile grows by a whole number, this is the
nearest pixel; otherwise it is the nearest pixel with soft edges. Along an axis, pixel ``i`` of
``inner`` covers ``i * tile`` to ``(i + 1) * tile``, and the tile's pixel ``k`` covers ``k * inner``
to ``(k + 1) * inner``. All of these are whole numbers, so nothing is rounded and
no neighbour's NaN leaks in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

__all__ = [
    "BACKGROUND",
    "LARGE_SIDE",
    "LEAST_CELL",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Label",
    "Panel",
    "Plan",
    "Scaling",
    "Sides",
    "TileKind",
    "even_down",
    "even_up",
]

Sides = tuple[int, int]
"""``(height, width)``."""

MAX_SIDE = 8688
"""The longest side of a picture in H.264 level 5.2, the highest that Chromium decodes."""

MAX_PIXELS = 3840 * 2400
"""The most pixels of a picture: level 5.2 allows them, with the padding to blocks of 16 x 16."""

LARGE_SIDE = 3840
"""The longest side of a picture for which the user gave no size."""

LEAST_CELL = 4
"""The least height and width of a cell as it is shown."""

BACKGROUND: tuple[int, int, int] = (32, 32, 32)
"""The colour between tiles and around panels, RGB."""


class TileKind(NamedTuple):
    """The properties of a tensor's tiles that decide where they go and how they are scaled."""

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


@dataclass(frozen=True, slots=True)
class Scaling:
    """Which values are black and white, or the two ends of the colour map."""

    low: float = 0.0
    high: float = 1.0
    """The two values, high > low. They are not read if ``auto`` is given."""
    auto: Literal["tile", "frame"] | None = None
    """Take the least and the greatest finite value of each tile, or of all the tensor's tiles."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Where the tiles of one tensor go, and how their values become colours.

    Tile ``t`` is in row ``t // columns`` and column ``t % columns``; its first pixel is at
    ``y + row * cell_height``, ``x + column * cell_width``. Pixels that are in the panel
    but in no tile are background. A single tile repeats its last row or column there instead.
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
    """A tile as it is shown, without the gap of its cell."""
    tile_height: int
    tile_width: int
    """A tile in the tensor."""
    channels: Literal[1, 3]
    scaling: Scaling
    colormap: str
    """For one channel. ``"gray"`` maps [0, 1] to black and white without steps."""


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
    """A whole picture. Pixels outside all panels and labels are background."""

    height: int
    width: int
    """Both even, and at least `gpuview.protocol.ring.MIN_SIDE` in an encoded picture."""
    panels: tuple[Panel, ...]
    """One for each tensor, in order."""
    labels: tuple[Label, ...] = ()


def even_up(side: int) -> int:
    """Return ``side``, or the next even number."""
    return side + side % 2


def even_down(side: int) -> int:
    """Return ``side``, or the even number before it."""
    return side - side % 2
