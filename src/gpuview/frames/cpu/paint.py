"""From the tiles of a tensor to RGB, in plain torch on any device; the Triton kernel does the same.

Values are scaled by the value range, then averaged over each pixel's area, then coloured. A pixel
that covers a NaN or Inf gets a special colour.

On the CPU a picture is painted in blocks too small for torch to split among threads. When other
programs such as the browser use the cores, torch's threads wait for each other: 250 ms, where one
block after another takes 10 ms. A block also stays in the cache. Other devices paint a panel as a
single block.

Only element-wise operations, gathers and reductions are used. Matrix products would follow the
user's autocast and ``torch.set_float32_matmul_precision``, and so would the colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpuview.frames.cpu.area import Stretch, current_stream_id
from gpuview.frames.cpu.dtypes import work_dtype
from gpuview.frames.cpu.ranges import BLOCK_NUMEL, is_known_finite, raw_ranges, shown_ranges
from gpuview.frames.picture.colormap import (
    FLOW,
    IGNORED_INDEX,
    IGNORED_ROW,
    INF_ROW,
    N_INDICES,
    NAN_ROW,
    NO_CLASS_ROW,
    n_classes,
    palette,
)
from gpuview.frames.picture.geometry import BACKGROUND, PanelPlan, Scaling
from gpuview.frames.picture.wheel import FASTER, N_HUES

__all__ = [
    "Block",
    "Painted",
    "blocks",
    "class_rows",
    "is_classes",
    "render",
]

_FASTER_THAN = 1.001  # by rounding, the largest speed of all may be more than 1
_INF_CODE, _NAN_CODE = 1, 2  # 0 is finite; a pixel takes the largest code that it covers


@dataclass(frozen=True, slots=True)
class Painted:
    """One painted panel."""

    rgb: Tensor
    """``(3, height, width)`` float32 in [0, 1], on the tensor's device."""
    n_nan: Tensor | None
    n_inf: Tensor | None
    """The numbers of NaN and Inf in the tensor: int64 scalars on its device. None if all values are
    known to be finite."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of one tile, or several whole tiles."""

    tile: int
    """The first tile."""
    y: int
    x: int
    """The block's first pixel in each tile as it is shown."""
    rgb: Tensor
    """``(n, C, rows, columns)``, C = 1 or 3: uint8 of a colour map, else float32 in [0, 1]."""
    nonfinite: Tensor | None
    """The numbers of NaN and Inf, ``(2,)`` int64. No value is counted in two blocks."""


def render(pixels: Tensor, panel: PanelPlan) -> Painted:
    """Paint one panel.

    Runs on ``pixels.device``, on the current stream. On any device but the CPU it only launches
    work: it never synchronises.

    Args:
        pixels: ``(T, C, H, W)``, the tiles of the panel; any strides, any real dtype.
        panel: How they are arranged and coloured; the panel's own position is ignored.
    """
    n_cells = -(-panel.n_tiles // panel.columns) * panel.columns
    cells = _background((n_cells, 3, panel.cell_height, panel.cell_width), pixels.device)
    nonfinite: Tensor | None = None
    for block in blocks(pixels, panel):
        rgb = block.rgb if block.rgb.is_floating_point() else block.rgb / 255
        n, _, height, width = rgb.shape
        tiles, bottom, right = block.tile + n, block.y + height, block.x + width
        cells[block.tile : tiles, :, block.y : bottom, block.x : right] = rgb
        if block.nonfinite is not None:
            nonfinite = block.nonfinite if nonfinite is None else nonfinite + block.nonfinite
    n_nan, n_inf = (None, None) if nonfinite is None else nonfinite.unbind()
    return Painted(_arranged(cells, panel), n_nan, n_inf)


def blocks(pixels: Tensor, panel: PanelPlan, raw: Tensor | None = None) -> Iterator[Block]:
    """Paint a panel's tiles, block by block, without the background; see `render`.

    Args:
        pixels: As for `render`.
        panel: As for `render`.
        raw: The tiles' `raw_ranges`, if they are known.
    """
    ranges, auto = None, panel.scaling.auto
    if auto is not None:
        ranges = shown_ranges(raw_ranges(pixels, auto) if raw is None else raw, auto)
    for tiles, rows, columns in _cuts(panel, is_small=pixels.device.type == "cpu"):
        part = pixels[tiles, :, rows.covered, columns.covered]
        own_ranges = None if ranges is None else ranges[tiles]
        rgb, nonfinite = _paint(part, panel, rows, columns, own_ranges)
        yield Block(tiles.start, rows.first, columns.first, rgb, nonfinite)


def _cuts(panel: PanelPlan, *, is_small: bool) -> Iterator[tuple[slice, Stretch, Stretch]]:
    """Split a panel's tiles so that no operation of `_paint` is large enough to use threads.

    One operation may be: finding the NaN in a tile that is shrunk, if there is one.
    """
    height, width = panel.inner_height, panel.inner_width
    n, n_rows, n_columns = panel.n_tiles, height, width
    if is_small:
        is_mapped = panel.channels == 1 and panel.colormap != "gray"
        row_numel = max(panel.channels * panel.tile_width, (1 if is_mapped else 3) * width)
        n = max(1, BLOCK_NUMEL // (row_numel * height))
        n_rows = max(1, min(height, BLOCK_NUMEL // row_numel))
        n_columns = max(1, width // -(-row_numel // BLOCK_NUMEL))
    down = Stretch(panel.tile_height, height, 0, height)
    right = Stretch(panel.tile_width, width, 0, width)
    for tile in range(0, panel.n_tiles, n):
        for rows in down.cut(n_rows):
            for columns in right.cut(n_columns):
                yield slice(tile, tile + n), rows, columns


def _paint(
    part: Tensor, panel: PanelPlan, rows: Stretch, columns: Stretch, ranges: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Paint one block.

    Args:
        part: ``(n, C, K, L)``: the input pixels that ``rows`` and ``columns`` cover.
        panel: The whole panel.
        rows: The block's rows in each tile as it is shown.
        columns: Its columns.
        ranges: ``(n, 2)`` for an automatic range.

    Returns:
        A `Block`'s ``rgb`` and ``nonfinite``.
    """
    classes = is_classes(panel)
    if classes:
        means, span = columns.nearest(rows.nearest(part, 2), 3), 1.0
    else:
        dtype = work_dtype(part, panel.scaling)
        read, span = _scale(panel.scaling, ranges)
        means = rows.average(part, 2, lambda values: read(values.to(dtype)))
        means = columns.average(means, 3, lambda values: values)
    shown = class_rows(means) if classes else _levels_or_rows(means / span, panel)
    nonfinite = seen = None
    if part.dtype.is_floating_point and not is_known_finite(part if classes else means):
        shown.nan_to_num_(0).clamp_(min=0)  # NaN is a negative row
        codes = part.isfinite().logical_not_().to(torch.uint8) + part.isnan()
        own = codes[:, :, rows.owned, columns.owned]
        nonfinite = torch.stack(((own == _NAN_CODE).sum(), (own == _INF_CODE).sum()))
        seen = columns.worst(rows.worst(codes.amax(1, keepdim=True), 2), 3)
    rgb = _coloured(shown, seen, panel.colormap)
    rgb = rows.spread(columns.spread(rgb, 3), 2)
    return rgb if rgb.is_floating_point() else _unpacked(rgb), nonfinite


def is_classes(panel: PanelPlan) -> bool:
    """Tell whether values are indices of classes; see Note [classes] in `picture.colormap`.

    Classes are not averaged: halfway between two of them is a third one, or its colour. A pixel
    that covers several values has the colour of the one in its middle.
    """
    return panel.channels == 1 and n_classes(panel.colormap) is not None


def _scale(scaling: Scaling, ranges: Tensor | None) -> tuple[Callable[[Tensor], Tensor], float]:
    """Return a function to apply to the values before averaging, and a divisor for the means.

    Subtracting first keeps the sums small. Dividing last touches fewer elements, and values far
    outside the range do not overflow to infinity.
    """
    if ranges is None:
        low, span = scaling.low, scaling.high - scaling.low
        return (lambda values: values - low if low else values), span
    # Halved, because the difference of two values may overflow their dtype.
    least, greatest = (ranges / 2).view(-1, 2, 1, 1, 1).unbind(1)
    spans = greatest - least
    spans.masked_fill_(spans <= 0, torch.inf)  # a constant tile becomes 0
    return (lambda values: torch.add(-least, values, alpha=0.5).div_(spans)), 1


def _levels_or_rows(unit: Tensor, panel: PanelPlan) -> Tensor:
    """Return brightness in [0, 1] as float32, or rows of the palette as int32.

    NaN stays NaN, or becomes any row.
    """
    if panel.channels == 2:
        return _wheel(unit.to(torch.float32))
    unit = unit.clamp_(0, 1).to(torch.float32)
    if panel.channels == 3 or panel.colormap == "gray":
        return unit
    return (unit * 256).clamp_(max=255).to(torch.int32)


def _wheel(unit: Tensor) -> Tensor:
    """Return the colours of a flow, ``(n, 3, H, W)``, whose speeds are in [0, 1].

    Args:
        unit: ``(n, 2, H, W)`` in [0, 1], 0.5 for no flow.
    """
    right, down = unit.nan_to_num(0.5).mul_(2).sub_(1).unbind(1)  # (n, H, W)
    speed = torch.hypot(right, down)
    hue = torch.atan2(-down, -right).div_(math.pi).add_(1).mul_(N_HUES / 2)
    first = hue.floor().clamp_(0, N_HUES - 1)
    part = (hue - first).unsqueeze(1)
    hues = palette(FLOW, unit.device).to(torch.float32).div_(255)
    row = first.to(torch.int64)
    colour = hues[row].lerp(hues[row + 1], part.movedim(1, -1)).movedim(-1, 1)  # (n, 3, H, W)
    speed = speed.unsqueeze(1)
    slower = 1 - speed.clamp(max=1) * (1 - colour)
    return torch.where(speed > _FASTER_THAN, FASTER * colour, slower)


def class_rows(values: Tensor) -> Tensor:
    """Return the palette's row for each index; NaN becomes any row."""
    index = (values.to(work_dtype(values, None)) + 0.5).floor_()
    rows = index.masked_fill(~((index >= 0) & (index < N_INDICES)), NO_CLASS_ROW)
    return rows.masked_fill_(index == IGNORED_INDEX, IGNORED_ROW).to(torch.int32)


def _coloured(shown: Tensor, seen: Tensor | None, colormap: str) -> Tensor:
    """Return ``(n, C, H, W)`` in [0, 1]; with a colour map ``(n, 1, H, W)``, for `_unpacked`.

    Args:
        shown: ``(n, C, H, W)``, C = 1 or 3: brightness in [0, 1], or rows of the palette.
        seen: ``(n, 1, H, W)``: the largest code that each pixel covers; None if all are finite.
        colormap: For C = 1, or `FLOW`.
    """
    device = shown.device
    if shown.is_floating_point():
        if seen is None:
            return shown
        colours = (
            palette(FLOW if colormap == FLOW else "gray", device)
            .to(torch.float32)
            .div_(255)
            .view(-1, 3, 1, 1)
        )
        rgb = torch.where(seen == _INF_CODE, colours[INF_ROW], shown)
        return torch.where(seen == _NAN_CODE, colours[NAN_ROW], rgb)
    if seen is not None:
        shown.masked_fill_(seen == _INF_CODE, INF_ROW).masked_fill_(seen == _NAN_CODE, NAN_ROW)
    packed = _packed_palette(colormap, device, current_stream_id(device))
    return packed.index_select(0, shown.flatten()).view(shown.shape)


def _unpacked(packed: Tensor) -> Tensor:
    """Return ``(n, 3, H, W)`` uint8, a view."""
    return packed.squeeze(1).unsqueeze(-1).view(torch.uint8)[..., :3].movedim(-1, 1)


def _arranged(cells: Tensor, panel: PanelPlan) -> Tensor:
    """Return the panel, ``(3, height, width)``, from its cells in order, ``(n, 3, h, w)``."""
    if panel.n_tiles == 1:
        tile = cells[:, :, : panel.inner_height, : panel.inner_width]
        missing = (0, panel.width - panel.inner_width, 0, panel.height - panel.inner_height)
        return F.pad(tile, missing, mode="replicate")[0] if any(missing) else tile[0]
    grid = cells.view(-1, panel.columns, *cells.shape[1:]).permute(2, 0, 3, 1, 4)
    grid = grid.flatten(3).flatten(1, 2)  # (3, rows * cell_height, columns * cell_width)
    grid = grid[:, : panel.height, : panel.width]
    picture = _background((1, 3, panel.height, panel.width), cells.device)[0]
    picture[:, : grid.shape[1], : grid.shape[2]] = grid
    return picture


def _background(shape: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """Return ``(n, 3, H, W)`` float32 background, without a copy from the CPU."""
    filled = torch.empty(shape, dtype=torch.float32, device=device)
    for plane, level in zip(filled.unbind(1), BACKGROUND, strict=True):
        plane.fill_(level / 255)
    return filled


@lru_cache(maxsize=16)
def _packed_palette(colormap: str, device: torch.device, stream_id: int) -> Tensor:
    """Return the palette with a colour in each int32, ``(260,)``, for use on one stream."""
    colours = palette(colormap, device)
    return torch.cat((colours, colours[:, :1]), 1).view(torch.int32).squeeze(1)
