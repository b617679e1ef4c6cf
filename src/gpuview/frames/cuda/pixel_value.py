"""Element-wise parts of the Triton kernel: a value's scale and its colour."""

from __future__ import annotations

from typing import Literal

import triton
import triton.language as tl

from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW

__all__ = ["Colouring", "Scale", "as_float", "scaled", "to_level_or_row", "with_nonfinite_colour"]

Scale = Literal["as is", "byte", "range"]
"""How values become brightness: unchanged, divided by 255, or scaled by a range."""

Colouring = Literal["levels", "map", "classes"]
"""What a value is: brightness, a place in a colour map, or the index of a class."""

_NAN_ROW = tl.constexpr(NAN_ROW)
_INF_ROW = tl.constexpr(INF_ROW)


@triton.jit
def as_float(value, needs_float64: tl.constexpr):
    """Return values in the dtype in which they are scaled and averaged."""
    return value.to(tl.float64) if needs_float64 else value.to(tl.float32)


@triton.jit
def scaled(value, half_low, gain, scale: tl.constexpr):
    """Return float32, 0 for black and 1 for white; not clamped."""
    # Halved, because the difference of two values may overflow their dtype.
    if scale == "as is":
        unit = value
    elif scale == "byte":
        unit = value * (1.0 / 255.0)
    else:
        unit = (value * 0.5 - half_low) * gain
    return unit.to(tl.float32)


@triton.jit
def to_level_or_row(unit, colouring: tl.constexpr):
    """Return brightness clamped to [0, 1]; with a colour map, the row of each value."""
    if colouring == "classes":
        # As in `picture.colormap`: N_INDICES, IGNORED_INDEX, and the two rows after Inf's.
        index = tl.floor(unit + 0.5)
        row = tl.where((index >= 0) & (index < 256), index, _INF_ROW + 2.0)
        return tl.where(index == -100, _INF_ROW + 1.0, row)
    unit = tl.minimum(tl.maximum(unit, 0.0), 1.0)
    if colouring == "map":
        unit = tl.minimum(tl.floor(unit * 256.0), 255.0)
    return unit


@triton.jit
def with_nonfinite_colour(level, is_nan, is_inf, palette, channel, colouring: tl.constexpr):
    """Replace a result of `to_level_or_row` by the colour or row of NaN and Inf."""
    if colouring != "levels":
        for_inf = _INF_ROW * 1.0
        for_nan = _NAN_ROW * 1.0
    else:
        for_inf = tl.load(palette + _INF_ROW * 3 + channel).to(tl.float32) / 255.0
        for_nan = tl.load(palette + _NAN_ROW * 3 + channel).to(tl.float32) / 255.0
    return tl.where(is_nan, for_nan, tl.where(is_inf, for_inf, level))
