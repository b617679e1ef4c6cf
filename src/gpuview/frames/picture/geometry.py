"""The geometry of one picture, in pixels: decided by `plan`, followed by all drawing code.

    Plan       a whole picture, as it is encoded
    PanelPlan  the part of it that shows one tensor: a grid of tiles of the same size
    cell       a tile, with the gap to its right and below it

Note [area]: tiles are resized by area interpolation. An output pixel is the mean of the input
pixels that it covers, weighted by the covered area. Enlarged by an integer factor, this is
nearest-neighbour interpolation; by another factor, nearest-neighbour with soft edges. Along an
axis, output pixel ``i`` of ``inner`` covers ``i * tile`` to ``(i + 1) * tile``, and input pixel
``k`` covers ``k * inner`` to ``(k + 1) * inner``. All of these are integers, so nothing is rounded
and no neighbour's NaN leaks in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

__all__ = [
    "BACKGROUND",
    "LARGE_GRID_SIDE",
    "LARGE_SIDE",
    "MAX_COLUMNS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MIN_CELL",
    "AutoRange",
    "Channels",
    "Content",
    "Label",
    "PanelLook",
    "PanelPlan",
    "Plan",
    "Scaling",
    "Sides",
    "TileKind",
    "ValueRange",
    "even_down",
    "even_up",
]

Sides = tuple[int, int]
"""``(height, width)``."""

ValueRange = tuple[float, float] | Literal["auto", "frame", "symmetric", "robust"] | None
"""The two values that are shown as black and white, or how to find them.

``"auto"`` takes the smallest and the largest finite value of each tile, ``"frame"`` those of all
tiles of a tensor; ``"robust"`` the 1st and the 99th percentile of each tile; ``"symmetric"`` the
largest magnitude in a tensor and its negative, so that 0 is in the middle. None is [0, 255] for
uint8, False and True for bool, [0, 1] for floating types, and ``"auto"`` for maps; pictures of
other integer types need an explicit range.
"""

Content = Literal["picture", "map", "labels", "flow"]
"""What the values of a tile are.

    picture  brightness, of one channel or three
    map      values that are not a brightness, of one channel or three: scaled, and coloured
    labels   the numbers of classes, of one channel
    flow     the x and y of a displacement, two channels
"""

Channels = Literal[1, 2, 3]
"""Of a tile."""

MAX_SIDE = 8688
"""The longest side of a picture in H.264 level 5.2, the highest that Chromium decodes."""

MAX_PIXELS = 3840 * 2400
"""The most pixels of a picture that level 5.2 allows, with padding to 16 x 16 macroblocks."""

LARGE_SIDE = 3840
"""The longest side of a picture for which the user gave no size."""

LARGE_GRID_SIDE = LARGE_SIDE * 17 // 16
"""The same of a grid of tiles: its gaps alone are no reason to shrink them, unless there are too
many pixels in all."""

MIN_CELL = 4
"""The smallest height and width of a cell as it is shown."""

MAX_COLUMNS = 256
"""Of panels, or of tiles."""

BACKGROUND: tuple[int, int, int] = (98, 98, 98)
"""The colour between tiles and around panels, RGB.

Its contrast with black is 3.4:1, where WCAG 2.2 asks for 3:1, and 4.6:1 with the text of labels. No
class has a similar colour.
"""


@dataclass(frozen=True, slots=True)
class PanelLook:
    """How one panel is shown, where that differs from its stream: None takes the stream's."""

    value_range: ValueRange = None
    colormap: str | None = None


class TileKind(NamedTuple):
    """The properties of a tensor's tiles that decide where they go and how they are scaled."""

    n_tiles: int
    channels: Channels
    height: int
    width: int
    """Of each tile."""
    dtype: torch.dtype
    content: Content = "picture"
    own: PanelLook | None = None
    """What the panel sets itself; None if nothing."""

    @property
    def tile(self) -> Sides:
        return self.height, self.width


AutoRange = Literal["tile", "frame", "symmetric", "robust"]
"""How a range is found in the finite values.

    tile       the smallest and the largest of each tile
    frame      the smallest and the largest of all the tensor's tiles
    symmetric  the largest magnitude of all the tensor's tiles, negative and positive; of a flow,
               the largest speed
    robust     the 1st and the 99th percentile of each tile; see `gpuview.frames.cpu.percentiles`
"""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The value range: what is shown as black and white, or as the two ends of the colour map."""

    low: float = 0.0
    high: float = 1.0
    """The range, low < high. Ignored if ``auto`` is set."""
    auto: AutoRange | None = None
    """Find the range in the values."""


@dataclass(frozen=True, slots=True)
class PanelPlan:
    """Where the tiles of one tensor go, and how their values become colours.

    Tile ``t`` is in row ``t // columns`` and column ``t % columns``; its first pixel is at
    ``y + row * cell_height``, ``x + column * cell_width``. Pixels of the panel outside all tiles
    are background. A single tile is padded with its last row and column instead.
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
    channels: Channels
    scaling: Scaling
    colormap: str
    """For one channel. ``"gray"`` maps [0, 1] to greys without steps."""


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
    """Both even, and at least `gpuview.protocol.pixel_format.MIN_SIDE` in an encoded picture."""
    panels: tuple[PanelPlan, ...]
    """One for each tensor, in order."""
    labels: tuple[Label, ...] = ()


def even_up(side: int) -> int:
    """Return ``side``, or the next even number."""
    return side + side % 2


def even_down(side: int) -> int:
    """Return ``side``, or the even number before it."""
    return side - side % 2
