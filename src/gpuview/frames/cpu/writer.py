"""From tensors to a slot of the ring, in the caller's thread, if no tensor is on a CUDA device.

Also from tensors on any device to a picture beside the view.

The pixel format depends on the picture:

    one tensor, pixel for pixel   3 channels   RGB, interleaved or planar like the tensor;
                                  1 channel    grey; see `gpuview.frames.cpu.unscaled`
    anything else                              planar RGB; see `gpuview.frames.cpu.paint`

Note [converted twice]: a painted picture becomes 8-bit RGB planes here, and the media process
converts these to I420 with swscale. That is deliberate. RGB takes a third of the operations of I420
in the caller's thread, and swscale does the rest faster than torch would. Planes are not
interleaved, because that costs more than swscale's conversion. swscale also reads float32 or 16-bit
planes, but is then wrong by up to 1.8 levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.paint import Block, blocks, render
from gpuview.frames.cpu.ranges import raw_ranges, shown_ranges
from gpuview.frames.cpu.unscaled import NonFinite, PlainPicture, is_full, is_plain, pad
from gpuview.frames.picture.geometry import BACKGROUND, PanelPlan, Plan, Scaling
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.tensor_layout import Tiles
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["NonFinite", "Written", "write_picture"]

Bytes = npt.NDArray[np.uint8]

_RGB_RANGE = 255
_TINY = 1e-300  # float64 loses digits below it


class Written(NamedTuple):
    """What is known of a frame after it was written."""

    nonfinite: NonFinite
    ranges: Sequence[Tensor | None]
    """The `raw_ranges` of each tensor that is scaled by them, and is on the CPU."""
    plain: PlainPicture | None
    """What has written it, if it was plain."""


def write_picture(sink: FrameSink, plan: Plan, tiles: Sequence[Tiles], capture_ns: int) -> Written:
    """Write one picture to the sink, and publish it.

    The tensors have been read when this returns. Waits for a device other than the CPU.

    Args:
        sink: Where the picture goes; not used by other threads meanwhile.
        plan: The picture.
        tiles: One for each of the plan's panels, on any device.
        capture_ns: When the frame was pushed.

    Raises:
        MediaError: The sink has no memory for it.
    """
    pixels = tiles[0].pixels
    pairs = list(zip(plan.panels, tiles, strict=True))
    ranges = [_raw_ranges(panel, each.pixels) for panel, each in pairs]
    panels = [_with_range(panel, raw) for panel, raw in zip(plan.panels, ranges, strict=True)]
    plan = replace(plan, panels=tuple(panels))
    if is_plain(plan) and pixels.device.type == "cpu":
        plain = PlainPicture.of(plan, pixels[0])
        marked = plain.write(sink, pixels[0], capture_ns)
        if marked is not None:
            return Written(marked, ranges, plain)
    nonfinite = _paint(sink, plan, tiles, ranges)
    sink.publish(PixelFormat.RGB24P, plan.width, plan.height, capture_ns)
    return Written(nonfinite, ranges, None)


def _raw_ranges(panel: PanelPlan, pixels: Tensor) -> Tensor | None:
    is_scaled = panel.scaling.auto is not None and pixels.device.type == "cpu"
    return raw_ranges(pixels, panel.scaling.auto) if is_scaled else None


def _with_range(panel: PanelPlan, raw: Tensor | None) -> PanelPlan:
    """Replace an automatic range by the values' own, if it is one for all tiles and not empty."""
    auto = panel.scaling.auto
    is_for_each = auto in ("tile", "robust") and panel.n_tiles > 1
    if auto is None or raw is None or is_for_each:
        return panel
    low, high = shown_ranges(raw, auto)[0].tolist()
    return replace(panel, scaling=Scaling(low, high)) if _TINY < high - low < math.inf else panel


def _paint(
    sink: FrameSink, plan: Plan, tiles: Sequence[Tiles], ranges: Sequence[Tensor | None]
) -> NonFinite:
    """Write any picture as RGB planes; does not publish it."""
    slot = sink.begin(frame_nbytes(PixelFormat.RGB24P, plan.width, plan.height))
    canvas = np.frombuffer(slot, np.uint8).reshape(3, plan.height, plan.width)
    if not is_full(plan) or plan.panels[0].n_tiles > 1:
        for plane, level in zip(canvas, BACKGROUND, strict=True):
            plane.fill(level)
    for label in plan.labels:
        image = label_image(label.text, label.height, label.width).movedim(-1, 0).numpy()
        canvas[:, label.y : label.y + label.height, label.x : label.x + label.width] = image
    n_nan = n_inf = 0
    for panel, each, raw in zip(plan.panels, tiles, ranges, strict=True):
        area = canvas[:, panel.y : panel.y + panel.height, panel.x : panel.x + panel.width]
        if each.pixels.device.type == "cpu":
            nonfinite = _paint_panel(area, panel, each.pixels, raw)
        else:
            nonfinite = _paint_elsewhere(area, panel, each.pixels)
        n_nan, n_inf = n_nan + nonfinite.n_nan, n_inf + nonfinite.n_inf
    return NonFinite(n_nan, n_inf)


def _paint_panel(area: Bytes, panel: PanelPlan, pixels: Tensor, raw: Tensor | None) -> NonFinite:
    """Paint a panel of a CPU tensor; ``area`` is its part of the canvas, ``(3, h, w)``."""
    n_nan = n_inf = 0
    for block in blocks(pixels, panel, raw):
        _place(block, area, panel)
        if block.nonfinite is not None:
            nan, inf = block.nonfinite.tolist()
            n_nan, n_inf = n_nan + nan, n_inf + inf
    if panel.n_tiles == 1:
        pad(area, panel)
    return NonFinite(n_nan, n_inf)


def _place(block: Block, area: Bytes, panel: PanelPlan) -> None:
    """Write a block at its place in the panel, whose part of the canvas is ``area``."""
    levels = _as_levels(block.rgb) if block.rgb.is_floating_point() else block.rgb
    rows, columns = levels.shape[2:]
    for tile, planes in enumerate(levels, block.tile):
        y = tile // panel.columns * panel.cell_height + block.y
        x = tile % panel.columns * panel.cell_width + block.x
        for target, plane in zip(area, planes.expand(3, -1, -1).numpy(), strict=True):
            target[y : y + rows, x : x + columns] = plane


def _paint_elsewhere(area: Bytes, panel: PanelPlan, pixels: Tensor) -> NonFinite:
    """Paint a panel whose tensor is not on the CPU; waits for its device."""
    painted = render(pixels, panel)
    area[:] = _as_levels(painted.rgb).cpu().numpy()
    counts = (painted.n_nan, painted.n_inf)
    return NonFinite(*(0 if count is None else int(count) for count in counts))


def _as_levels(rgb: Tensor) -> Tensor:
    return (rgb * _RGB_RANGE).add_(0.5).to(torch.uint8)  # the cast truncates: rounds half up
