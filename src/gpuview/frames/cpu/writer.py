"""From tensors to a slot of the ring, in the caller's thread, if no tensor is on a CUDA device.

The pixel format depends on the picture:

    one tensor, pixel for pixel   3 channels   RGB, interleaved or planar like the tensor
                                  1 channel    grey
    anything else                              planar RGB; see `gpuview.frames.cpu.paint`

Note [converted twice]: a painted picture becomes 8-bit RGB planes here, and the media process
converts these to I420 with swscale. That is deliberate. RGB takes a third of the operations of I420
in the caller's thread, and swscale does the rest faster than torch would. Planes are not
interleaved, because that costs more than swscale's conversion. swscale also reads float32 or 16-bit
planes, but is then wrong by up to 1.8 levels.

NumPy is preferred to torch: it never splits an operation among threads, which would wait for each
other on a busy machine, so its operations may be large. But each operation releases the GIL, and a
busy cell does not return it at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.paint import Block, blocks, render
from gpuview.frames.cpu.ranges import (
    BLOCK_NUMEL,
    is_exact_in_float32,
    is_known_finite,
    needs_float64,
    raw_ranges,
    shown_ranges,
)
from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW, palette
from gpuview.frames.picture.geometry import BACKGROUND, PanelPlan, Plan, Scaling
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.layout import Tiles
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["Written", "write_picture"]

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_RGB_RANGE = 255
_TINY = 1e-300  # float64 loses digits below it
_STRIP_NUMEL = 65_536  # fits the cache


@dataclass(frozen=True, slots=True)
class NonFinite:
    """The numbers of NaN and Inf in a frame."""

    n_nan: int = 0
    n_inf: int = 0


class Written(NamedTuple):
    """What is known of a frame after it was written."""

    nonfinite: NonFinite
    ranges: Sequence[Tensor | None]
    """The `raw_ranges` of each tensor that is scaled by them, and is on the CPU."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A slot for one tensor that is shown pixel for pixel."""

    pixel_format: PixelFormat
    picture: Bytes
    """``(C, H, W)``, a view of the slot."""
    copies: list[tuple[Tensor, Bytes]]
    """Pairs of source and destination, 2-D and of the same shape."""


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
    if _is_plain(plan) and pixels.device.type == "cpu":
        panel = plan.panels[0]
        slot = _begin(sink, plan, pixels[0])
        is_finite = _copy(slot, panel.scaling)
        if is_finite or panel.channels == 3:
            nonfinite = NonFinite() if is_finite else _colour_nonfinite(slot.picture, pixels[0])
            _pad(slot.picture, panel)
            sink.publish(slot.pixel_format, plan.width, plan.height, capture_ns)
            return Written(nonfinite, ranges)
    nonfinite = _paint(sink, plan, tiles, ranges)
    sink.publish(PixelFormat.RGB24P, plan.width, plan.height, capture_ns)
    return Written(nonfinite, ranges)


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


def _is_plain(plan: Plan) -> bool:
    """Tell whether the picture is one tensor, pixel for pixel, with a known range."""
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
    """Tell whether the first panel fills the picture."""
    panel = plan.panels[0]
    return (plan.height, plan.width) == (panel.height, panel.width)


def _begin(sink: FrameSink, plan: Plan, planes: Tensor) -> _Slot:
    """Begin a slot for ``planes``, ``(C, h, w)``, in the order of their memory."""
    channels, h, w = planes.shape
    height, width = plan.height, plan.width
    pixels = planes.movedim(0, -1)  # (h, w, C)
    if channels == 1:
        pixel_format = PixelFormat.GREY8
    elif pixels.is_contiguous():
        pixel_format = PixelFormat.RGB24
    else:
        pixel_format = PixelFormat.RGB24P
    slot = np.frombuffer(sink.begin(frame_nbytes(pixel_format, width, height)), np.uint8)
    if pixel_format is PixelFormat.RGB24:
        picture = slot.reshape(height, width, 3).transpose(2, 0, 1)
        out = slot.reshape(height, width * 3)[:h, : w * 3]
        return _Slot(pixel_format, picture, [(pixels.flatten(1), out)])
    picture = slot.reshape(channels, height, width)
    return _Slot(pixel_format, picture, list(zip(planes, picture[:, :h, :w], strict=True)))


def _copy(slot: _Slot, scaling: Scaling) -> bool:
    """Write a slot's pixels; return False if there may be a NaN or Inf."""
    is_bytes = slot.copies[0][0].dtype == torch.uint8
    is_finite = True
    for source, out in slot.copies:
        if is_bytes and (scaling.low, scaling.high) == (0, 255):
            _copy_bytes(source.numpy(), out)
        else:
            is_finite &= _scale(source, scaling, out)
    return is_finite


def _copy_bytes(source: Bytes, out: Bytes) -> None:
    if source.flags.c_contiguous and out.flags.c_contiguous:
        # Holds the GIL for 0.1 ms: a copy that released it would, in a busy kernel, wait up to a
        # switch interval to get it back.
        out.data.cast("B")[:] = source.data.cast("B")
    else:
        out[:] = source


def _scale(source: Tensor, scaling: Scaling, out: Bytes) -> bool:
    """Write ``source`` as levels from 0 to 255, rounded half up.

    Returns False if a value is NaN or Inf, in the tensor or after scaling.

    Args:
        source: ``(H, W)``, any strides and dtype.
        scaling: The values of the first and the last level; other values are clamped.
        out: ``(H, W)``.
    """
    number = np.float64 if needs_float64(source.dtype) else np.float32
    low, gain = number(scaling.low), number(_RGB_RANGE / (scaling.high - scaling.low))
    scratch = np.empty((_rows_of(source), source.shape[1]), np.float32)
    is_finite = True
    with np.errstate(all="ignore"):  # a result that is not finite is noticed below
        for rows, values in _strips(source):
            strip = scratch[: len(values)]
            if low:
                np.subtract(values, low, out=strip, casting="same_kind")
                np.multiply(strip, gain, out=strip, casting="same_kind")
            else:
                np.multiply(values, gain, out=strip, casting="same_kind")
            least, greatest = float(strip.min()), float(strip.max())
            is_finite &= math.isfinite(greatest - least)
            if not (least >= 0 and greatest <= _RGB_RANGE):  # also true for NaN
                np.clip(strip, 0, _RGB_RANGE, out=strip)
            strip += 0.5  # the cast to uint8 truncates, so this rounds half up
            np.copyto(out[rows], strip, casting="unsafe")
    return is_finite


def _colour_nonfinite(picture: Bytes, planes: Tensor) -> NonFinite:
    """Colour and count the NaN and Inf of ``planes`` in ``picture``, both ``(3, h, w)``."""
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
    """Return how many rows are computed at a time."""
    numel = BLOCK_NUMEL if _is_half(source) else _STRIP_NUMEL
    return max(1, min(source.shape[0], numel // source.shape[1]))


def _strips(source: Tensor) -> Iterator[tuple[slice, Array]]:
    """Read some rows at a time, in a dtype that NumPy has."""
    n = _rows_of(source)
    scratch = None
    if _is_half(source):
        scratch = torch.empty((n, source.shape[1]), dtype=torch.float32, device="cpu")
    for top in range(0, source.shape[0], n):
        strip = source[top : top + n]
        if scratch is not None:
            # NumPy is six times slower with float16, and has no bfloat16.
            strip = scratch[: len(strip)].copy_(strip)
        yield slice(top, top + n), strip.numpy()


def _is_half(source: Tensor) -> bool:
    return source.dtype in (torch.float16, torch.bfloat16)


def _paint(
    sink: FrameSink, plan: Plan, tiles: Sequence[Tiles], ranges: Sequence[Tensor | None]
) -> NonFinite:
    """Write any picture as RGB planes; does not publish it."""
    slot = sink.begin(frame_nbytes(PixelFormat.RGB24P, plan.width, plan.height))
    canvas = np.frombuffer(slot, np.uint8).reshape(3, plan.height, plan.width)
    if not _is_full(plan) or plan.panels[0].n_tiles > 1:
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
        _pad(area, panel)
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
    """Paint a panel whose tensor is neither on the CPU nor on CUDA; waits for its device."""
    painted = render(pixels, panel)
    area[:] = _as_levels(painted.rgb).cpu().numpy()
    counts = (painted.n_nan, painted.n_inf)
    return NonFinite(*(0 if count is None else int(count) for count in counts))


def _as_levels(rgb: Tensor) -> Tensor:
    return (rgb * _RGB_RANGE).add_(0.5).to(torch.uint8)  # the cast truncates: rounds half up


def _pad(picture: Bytes, panel: PanelPlan) -> None:
    """Repeat the last row and column of a single tile up to the panel's sides; ``(C, H, W)``."""
    h, w = panel.inner_height, panel.inner_width
    picture[:, h:] = picture[:, h - 1 : h]
    picture[:, :, w:] = picture[:, :, w - 1 : w]
