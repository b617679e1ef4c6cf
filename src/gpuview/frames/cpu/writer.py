"""From tensors to a slot of the ring, in the caller's thread, if no CUDA device draws them.

The pixel format depends on the picture:

    one tensor, pixel for pixel   3 channels   RGB, interleaved or in planes as the tensor has it
                                  1 channel    I420 with flat chroma, which is half the bytes
    anything else                              RGB in planes; see `gpuview.frames.cpu.paint`

Note [converted twice]: a painted picture becomes RGB planes of 8 bits here, and the media process
converts those to I420 with swscale. That is deliberate. RGB takes a third of the operations of I420
in the caller's thread, and swscale does the rest faster than torch would. Planes are not
interleaved, because that costs more than swscale's conversion. swscale also reads planes of float32
or 16 bits, but is then wrong by up to 1.8 levels.

NumPy is used where it can be: it never splits an operation among threads, so no thread waits for
another that has no core, and an operation may be large. But each operation releases the GIL, and a
busy cell does not return it at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.paint import (
    BLOCK_NUMEL,
    Block,
    blocks,
    is_exact_in_float32,
    is_known_finite,
    needs_float64,
    render,
    tile_ranges,
)
from gpuview.frames.cpu.yuv import GREY_CHROMA, LUMA_OFFSET, LUMA_RANGE
from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW, palette
from gpuview.frames.picture.geometry import BACKGROUND, Panel, Plan, Scaling
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.layout import Tiles
from gpuview.protocol.ring import PixelFormat, frame_nbytes

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["NonFinite", "write_picture"]

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_RGB_RANGE = 255
_TINY = 1e-300  # below it, float64 loses digits
_STRIP_NUMEL = 65_536  # stays in the cache


@dataclass(frozen=True, slots=True)
class NonFinite:
    """How many of a frame's values are NaN and Inf."""

    n_nan: int = 0
    n_inf: int = 0


@dataclass(frozen=True, slots=True)
class _Slot:
    """A slot to which one tensor is written as it is."""

    pixel_format: PixelFormat
    picture: Bytes
    """``(C, H, W)``, a view of the slot."""
    lines: list[tuple[Tensor, Bytes]]
    """What is read, and where it goes: pairs of two dimensions and of one shape."""


def write_picture(
    sink: FrameSink, plan: Plan, tiles: Sequence[Tiles], capture_ns: int
) -> NonFinite:
    """Write one picture to the sink, and publish it.

    The tensors have been read when this returns. Waits for a device other than the CPU.

    Args:
        sink: Used by nobody else meanwhile.
        plan: The picture.
        tiles: One for each of the plan's panels, on any device.
        capture_ns: When the frame was pushed.

    Raises:
        MediaError: The sink has no memory for it.
    """
    pixels = tiles[0].pixels
    panels = [_settled(panel, each.pixels) for panel, each in zip(plan.panels, tiles, strict=True)]
    plan = replace(plan, panels=tuple(panels))
    if _is_plain(plan) and pixels.device.type == "cpu":
        panel = plan.panels[0]
        slot = _begin(sink, plan, pixels[0])
        is_finite = _copy(slot, panel.scaling)
        if is_finite or panel.channels == 3:
            nonfinite = NonFinite() if is_finite else _mark(slot.picture, pixels[0])
            _complete(slot.picture, panel)
            sink.publish(slot.pixel_format, plan.width, plan.height, capture_ns)
            return nonfinite
    nonfinite = _paint(sink, plan, tiles)
    sink.publish(PixelFormat.RGB24P, plan.width, plan.height, capture_ns)
    return nonfinite


def _settled(panel: Panel, pixels: Tensor) -> Panel:
    """Return the panel with its range found, if all tiles share one and values differ."""
    auto = panel.scaling.auto
    if auto is None or (auto == "tile" and panel.n_tiles > 1) or pixels.device.type != "cpu":
        return panel
    low, high = tile_ranges(pixels, "frame")[0].tolist()
    return replace(panel, scaling=Scaling(low, high)) if _TINY < high - low < math.inf else panel


def _is_plain(plan: Plan) -> bool:
    """Tell whether the picture is one tensor, pixel for pixel, with a range that is known."""
    panel = plan.panels[0]
    return (
        _is_full(plan)
        and panel.n_tiles == 1
        and (panel.tile_height, panel.tile_width) == (panel.inner_height, panel.inner_width)
        and (panel.channels == 3 or panel.colormap == "gray")
        and panel.scaling.auto is None
        and is_exact_in_float32(panel.scaling)
    )


def _is_full(plan: Plan) -> bool:
    """Tell whether the first panel is the whole picture."""
    panel = plan.panels[0]
    return (plan.height, plan.width) == (panel.height, panel.width)


def _begin(sink: FrameSink, plan: Plan, planes: Tensor) -> _Slot:
    """Return a slot for ``planes``, ``(C, h, w)``, in the order in which their memory is."""
    channels, h, w = planes.shape
    height, width = plan.height, plan.width
    pixels = planes.movedim(0, -1)  # (h, w, C)
    if channels == 1:
        pixel_format = PixelFormat.I420
    elif pixels.is_contiguous():
        pixel_format = PixelFormat.RGB24
    else:
        pixel_format = PixelFormat.RGB24P
    slot = np.frombuffer(sink.begin(frame_nbytes(pixel_format, width, height)), np.uint8)
    if pixel_format is PixelFormat.RGB24:
        picture = slot.reshape(height, width, 3).transpose(2, 0, 1)
        out = slot.reshape(height, width * 3)[:h, : w * 3]
        return _Slot(pixel_format, picture, [(pixels.flatten(1), out)])
    n = channels * height * width
    slot[n:] = GREY_CHROMA
    picture = slot[:n].reshape(channels, height, width)
    return _Slot(pixel_format, picture, list(zip(planes, picture[:, :h, :w], strict=True)))


def _copy(slot: _Slot, scaling: Scaling) -> bool:
    """Write a slot's lines; False if there may be a NaN or Inf, which `_mark` has to colour."""
    is_grey = slot.pixel_format is PixelFormat.I420
    levels, offset = (LUMA_RANGE, LUMA_OFFSET) if is_grey else (_RGB_RANGE, 0)
    is_bytes = slot.lines[0][0].dtype == torch.uint8
    is_finite = True
    for source, out in slot.lines:
        if is_bytes and not is_grey and (scaling.low, scaling.high) == (0, 255):
            _copy_bytes(source.numpy(), out)
        else:
            is_finite &= _scale(source, scaling, levels, offset, out)
    return is_finite


def _copy_bytes(source: Bytes, out: Bytes) -> None:
    if source.flags.c_contiguous and out.flags.c_contiguous:
        # Holds the GIL: a copy that releases it gets it back late in a busy kernel, up to a switch
        # interval after these 0.1 ms.
        out.data.cast("B")[:] = source.data.cast("B")
    else:
        out[:] = source


def _scale(source: Tensor, scaling: Scaling, levels: int, offset: int, out: Bytes) -> bool:
    """Write ``source``, rounded half up to ``offset`` to ``offset + levels``.

    Returns False if a NaN or Inf was met, even if only scaling made it.

    Args:
        source: ``(H, W)``, any strides and dtype.
        scaling: Which values become the first and the last level; others are clamped.
        levels: How many there are, without the first.
        offset: The first one.
        out: ``(H, W)``.
    """
    number = np.float64 if needs_float64(source.dtype) else np.float32
    low, gain = number(scaling.low), number(levels / (scaling.high - scaling.low))
    scratch = np.empty((_rows_of(source), source.shape[1]), np.float32)
    is_finite = True
    with np.errstate(all="ignore"):  # what is not finite at the end is found
        for rows, values in _strips(source):
            strip = scratch[: len(values)]
            if low:
                np.subtract(values, low, out=strip, casting="same_kind")
                np.multiply(strip, gain, out=strip, casting="same_kind")
            else:
                np.multiply(values, gain, out=strip, casting="same_kind")
            least, greatest = float(strip.min()), float(strip.max())
            is_finite &= math.isfinite(greatest - least)
            if not (least >= 0 and greatest <= levels):  # also true for NaN
                np.clip(strip, 0, levels, out=strip)
            strip += offset + 0.5  # the cast to uint8 cuts, so this rounds half up
            np.copyto(out[rows], strip, casting="unsafe")
    return is_finite


def _mark(picture: Bytes, planes: Tensor) -> NonFinite:
    """Colour the pixels of NaN and Inf, and count these; both ``(3, h, w)``."""
    n_nan = n_inf = 0
    markers = palette("gray", planes.device)
    n = max(1, BLOCK_NUMEL // (3 * planes.shape[2]))
    for top in range(0, planes.shape[1], n):
        strip = planes[:, top : top + n]
        if is_known_finite(strip):
            continue
        out = torch.from_numpy(picture)[:, top : top + n, : strip.shape[2]]
        is_nan, is_inf = strip.isnan(), strip.isinf()
        n_nan, n_inf = n_nan + int(is_nan.sum()), n_inf + int(is_inf.sum())
        for plane, nan, inf in zip(out, markers[NAN_ROW], markers[INF_ROW], strict=True):
            plane.masked_fill_(is_inf.any(0), inf).masked_fill_(is_nan.any(0), nan)
    return NonFinite(n_nan, n_inf)


def _rows_of(source: Tensor) -> int:
    """Return how many rows are computed with at a time."""
    numel = BLOCK_NUMEL if _is_half(source) else _STRIP_NUMEL
    return max(1, min(source.shape[0], numel // source.shape[1]))


def _strips(source: Tensor) -> Iterator[tuple[slice, Array]]:
    """Read the rows, some at a time, in a dtype that NumPy has."""
    n = _rows_of(source)
    scratch = None
    if _is_half(source):
        scratch = torch.empty((n, source.shape[1]), dtype=torch.float32, device="cpu")
    for top in range(0, source.shape[0], n):
        strip = source[top : top + n]
        if scratch is not None:
            # NumPy takes six times longer for float16, and has no bfloat16.
            strip = scratch[: len(strip)].copy_(strip)
        yield slice(top, top + n), strip.numpy()


def _is_half(source: Tensor) -> bool:
    return source.dtype in (torch.float16, torch.bfloat16)


def _paint(sink: FrameSink, plan: Plan, tiles: Sequence[Tiles]) -> NonFinite:
    """Write any picture in planes; does not publish it."""
    slot = sink.begin(frame_nbytes(PixelFormat.RGB24P, plan.width, plan.height))
    canvas = np.frombuffer(slot, np.uint8).reshape(3, plan.height, plan.width)
    if not _is_full(plan) or plan.panels[0].n_tiles > 1:
        for plane, level in zip(canvas, BACKGROUND, strict=True):
            plane.fill(level)
    for label in plan.labels:
        image = label_image(label.text, label.height, label.width).movedim(-1, 0).numpy()
        canvas[:, label.y : label.y + label.height, label.x : label.x + label.width] = image
    n_nan = n_inf = 0
    for panel, each in zip(plan.panels, tiles, strict=True):
        area = canvas[:, panel.y : panel.y + panel.height, panel.x : panel.x + panel.width]
        paint = _paint_panel if each.pixels.device.type == "cpu" else _paint_elsewhere
        nonfinite = paint(area, panel, each.pixels)
        n_nan, n_inf = n_nan + nonfinite.n_nan, n_inf + nonfinite.n_inf
    return NonFinite(n_nan, n_inf)


def _paint_panel(area: Bytes, panel: Panel, pixels: Tensor) -> NonFinite:
    """Paint a panel whose tensor is on the CPU; ``area`` is its part of the canvas, (3, h, w)."""
    n_nan = n_inf = 0
    for block in blocks(pixels, panel):
        _place(block, area, panel)
        if block.nonfinite is not None:
            nan, inf = block.nonfinite.tolist()
            n_nan, n_inf = n_nan + nan, n_inf + inf
    if panel.n_tiles == 1:
        _complete(area, panel)
    return NonFinite(n_nan, n_inf)


def _place(block: Block, area: Bytes, panel: Panel) -> None:
    """Write a block to where it is in the panel, whose part of the canvas is ``area``."""
    levels = block.rgb
    if levels.is_floating_point():
        levels = (levels * _RGB_RANGE).add_(0.5).to(torch.uint8)  # the cast cuts
    rows, columns = levels.shape[2:]
    for tile, planes in enumerate(levels, block.tile):
        y = tile // panel.columns * panel.cell_height + block.y
        x = tile % panel.columns * panel.cell_width + block.x
        for target, plane in zip(area, planes.expand(3, -1, -1).numpy(), strict=True):
            target[y : y + rows, x : x + columns] = plane


def _paint_elsewhere(area: Bytes, panel: Panel, pixels: Tensor) -> NonFinite:
    """Paint a panel whose tensor is on a device that is neither the CPU nor CUDA; waits for it."""
    painted = render(pixels, panel)
    levels = (painted.rgb * _RGB_RANGE).add_(0.5).to(torch.uint8)  # the cast cuts
    area[:] = levels.cpu().numpy()
    counts = (painted.n_nan, painted.n_inf)
    return NonFinite(*(0 if count is None else int(count) for count in counts))


def _complete(picture: Bytes, panel: Panel) -> None:
    """Repeat the last row and column of a lone tile up to the panel's sides; (C, H, W)."""
    h, w = panel.inner_height, panel.inner_width
    picture[:, h:] = picture[:, h - 1 : h]
    picture[:, :, w:] = picture[:, :, w - 1 : w]
