"""A part of the picture, drawn anew at another size: each element that has room is a rectangle.

Like the picture itself, with the same colours; but no element is smaller than in the tensor because
the whole picture had to be small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.paint import render
from gpuview.frames.picture.geometry import BACKGROUND, Label, PanelPlan, Plan, Scaling
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.picture_map import Rectangle, Track, tracks

__all__ = ["drawn_region"]

Range = Callable[[int, int], tuple[float, float]]
"""Of a panel's tile: the values that are the ends of its colours."""

_BLOCK_NUMEL = 1 << 22


class _Strip(NamedTuple):
    """Neighbouring pixels that show one cell of a panel, along one axis."""

    cell: int
    pixels: slice
    elements: list[int]
    """One for each of the pixels."""

    @property
    def covered(self) -> range:
        return range(self.elements[0], self.elements[-1] + 1)

    @property
    def n_painted(self) -> int:
        """How many pixels are painted: each element once, or fewer if they do not all fit."""
        return min(len(self.covered), len(self.elements))

    @property
    def picks(self) -> list[int]:
        """Which painted pixel each pixel is."""
        if self.n_painted < len(self.covered):
            return list(range(len(self.elements)))
        return [element - self.elements[0] for element in self.elements]

    def cut(self, n: int) -> Iterator[_Strip]:
        for start in range(0, len(self.elements), n):
            elements = self.elements[start : start + n]
            first = self.pixels.start + start
            yield _Strip(self.cell, slice(first, first + len(elements)), elements)


def drawn_region(
    plan: Plan,
    tensors: Sequence[Tensor],
    range_of: Range,
    part: Rectangle,
    height: int,
    width: int,
) -> npt.NDArray[np.uint8]:
    """Draw a part of a picture.

    Args:
        plan: The picture.
        tensors: ``(T, C, H, W)`` of each panel, on any device.
        range_of: Asked for the tiles that are seen.
        part: What to draw; what is outside of the picture is background.
        height, width: Of the drawing, in pixels.

    Returns:
        ``(height, width, 3)`` RGB.
    """
    canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
    down = [(part.y + (at + 0.5) / height * part.height) * plan.height for at in range(height)]
    across = [(part.x + (at + 0.5) / width * part.width) * plan.width for at in range(width)]
    for index, (panel, pixels) in enumerate(zip(plan.panels, tensors, strict=True)):
        vertical, horizontal = tracks(panel)
        columns = list(_strips(horizontal, across))
        for row in _strips(vertical, down):
            for column in columns:
                tile = row.cell * panel.columns + column.cell
                if column.cell < panel.columns and tile < panel.n_tiles:
                    look = _alone(panel, *range_of(index, tile))
                    _paint(canvas, pixels[tile], look, row, column)
    for label in plan.labels:
        _write(canvas, label, down, across)
    return canvas


def _strips(track: Track, places: Sequence[float]) -> Iterator[_Strip]:
    found = [(at, track.find(place)) for at, place in enumerate(places)]
    seen = [(at, each) for at, each in found if each is not None]
    for cell, group in groupby(seen, key=lambda each: each[1][0]):
        pixels, pairs = zip(*group, strict=True)
        elements = [element for _, element in pairs]
        yield _Strip(cell, slice(pixels[0], pixels[-1] + 1), elements)


def _paint(
    canvas: npt.NDArray[np.uint8], tile: Tensor, look: PanelPlan, row: _Strip, column: _Strip
) -> None:
    """Paint the part of one tile that is seen, ``(C, H, W)``; in blocks, to need little memory."""
    numel_per_row = len(column.covered) * max(1, len(row.covered) // len(row.elements))
    for rows in row.cut(max(1, _BLOCK_NUMEL // numel_per_row)):
        part = tile[
            :, rows.covered.start : rows.covered.stop, column.covered.start : column.covered.stop
        ]
        sized = replace(
            look,
            height=rows.n_painted,
            width=column.n_painted,
            cell_height=rows.n_painted,
            cell_width=column.n_painted,
            inner_height=rows.n_painted,
            inner_width=column.n_painted,
            tile_height=part.shape[1],
            tile_width=part.shape[2],
        )
        rgb = render(part.unsqueeze(0), sized).rgb.movedim(0, -1).mul(255).add(0.5)
        painted = rgb.to(torch.uint8).cpu().numpy()
        canvas[rows.pixels, column.pixels] = painted[rows.picks][:, column.picks]


def _alone(panel: PanelPlan, low: float, high: float) -> PanelPlan:
    """Return the look of one tile of a panel, with a range that was found already."""
    if high <= low:
        high = low + max(1.0, abs(low))  # a constant tile has the lowest colour
    return replace(panel, y=0, x=0, n_tiles=1, columns=1, scaling=Scaling(low, high))


def _write(
    canvas: npt.NDArray[np.uint8], label: Label, down: Sequence[float], across: Sequence[float]
) -> None:
    rows = _inside(down, label.y, label.height)
    columns = _inside(across, label.x, label.width)
    if rows and columns:
        image = label_image(label.text, label.height, label.width).numpy()
        lines = [int(down[at] - label.y) for at in rows]
        letters = [int(across[at] - label.x) for at in columns]
        canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = image[lines][:, letters]


def _inside(places: Sequence[float], start: int, length: int) -> list[int]:
    return [at for at, place in enumerate(places) if start <= place < start + length]
