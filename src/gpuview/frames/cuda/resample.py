"""The parts of the Triton kernel that resize a tile; see Note [area] in `picture.geometry`."""

from __future__ import annotations

import triton
import triton.language as tl

from gpuview.frames.cuda.pixel_value import as_float, scaled

__all__ = ["means"]


@triton.jit
def _first(i, tile, inner):
    """Return the start of the area that pixel ``i`` covers, and the tile's pixel at that point."""
    start = i * tile
    return start, start // inner


@triton.jit
def _cover(start, at, tile, inner):
    """Return how much of the tile's pixel ``at`` is covered; 0 or less if it is not covered."""
    return tl.minimum(start + tile, (at + 1) * inner) - tl.maximum(start, at * inner)


@triton.jit
def means(
    start,
    nonfinite,
    y,
    x,
    is_inside,
    is_own,
    half_low,
    gain,
    inner_height,
    inner_width,
    tile_height,
    tile_width,
    taps_y,
    taps_x,
    channel_step,
    row_step,
    column_step,
    channels: tl.constexpr,
    scale: tl.constexpr,
    needs_float64: tl.constexpr,
    inspects: tl.constexpr,
    block: tl.constexpr,
):
    """Return red, green and blue of some pixels of a row, scaled but not clamped.

    A single channel is repeated. Without ``inspects``, a pixel that covers a NaN or Inf is NaN or
    Inf. With it, these values are left out and counted, and the function also returns which pixels
    cover a NaN and which an Inf. A value is counted by the pixel that covers its first part, unless
    that pixel is padding.
    """
    red = tl.zeros([block], tl.float32)
    green = red
    blue = red
    n_nan = tl.zeros([block], tl.int32)
    n_inf = n_nan
    is_nan = n_nan > 0
    is_inf = is_nan
    start_y, first_y = _first(y, tile_height, inner_height)
    start_x, first_x = _first(x, tile_width, inner_width)
    for tap_y in range(taps_y):
        at_y = first_y + tap_y
        cover_y = _cover(start_y, at_y, tile_height, inner_height)
        part_y = cover_y.to(tl.float32) / tile_height
        for tap_x in range(taps_x):
            at_x = first_x + tap_x
            cover_x = _cover(start_x, at_x, tile_width, inner_width)
            is_covered = is_inside & (cover_y > 0) & (cover_x > 0)
            part = tl.where(is_covered, part_y * (cover_x.to(tl.float32) / tile_width), 0.0)
            at = start + at_y * row_step + at_x * column_step
            for channel in tl.static_range(channels):
                value = tl.load(at + channel * channel_step, mask=is_covered, other=0)
                value = as_float(value, needs_float64)
                unit = scaled(value, half_low, gain, scale)
                if inspects:
                    is_first = (at_y * inner_height >= start_y) & (at_x * inner_width >= start_x)
                    counts = is_covered & is_first & is_own
                    value_is_nan = value != value
                    value_is_inf = tl.abs(value) == float("inf")
                    is_nan = is_nan | value_is_nan
                    is_inf = is_inf | value_is_inf
                    n_nan += (value_is_nan & counts).to(tl.int32)
                    n_inf += (value_is_inf & counts).to(tl.int32)
                    # Far beyond any range, but sums still fit float32.
                    unit = tl.minimum(tl.maximum(unit, -1e30), 1e30)
                    unit = tl.where(value_is_nan | value_is_inf, 0.0, unit)
                if channel == 0:
                    red += part * unit
                elif channel == 1:
                    green += part * unit
                else:
                    blue += part * unit
    if channels == 1:
        green = red
        blue = red
    if inspects:
        tl.atomic_add(nonfinite, tl.sum(n_nan).to(tl.int64))
        tl.atomic_add(nonfinite + 1, tl.sum(n_inf).to(tl.int64))
    return red, green, blue, is_nan, is_inf
