"""Element-wise parts of the Triton kernel: a value's scale and its colour."""

from __future__ import annotations

from typing import Literal

import triton
import triton.language as tl

from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW

__all__ = [
    "Colouring",
    "Scale",
    "as_float",
    "scaled",
    "speed",
    "to_level_or_row",
    "wheel",
    "with_nonfinite_colour",
]

Scale = Literal["as is", "byte", "range"]
"""How values become brightness: unchanged, divided by 255, or scaled by a range."""

Colouring = Literal["levels", "map", "classes", "flow"]
"""What a value is: brightness, a place in a colour map, the index of a class, or a part of a flow.
"""

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
def speed(right, down):
    """Return the length of a vector, without an overflow."""
    longer = tl.maximum(tl.abs(right), tl.abs(down))
    shorter = tl.minimum(tl.abs(right), tl.abs(down))
    ratio = shorter / tl.where(longer > 0, longer, 1.0)
    # NaN is neither the longer nor the shorter one.
    return longer * tl.sqrt(1 + ratio * ratio) + (right - right) + (down - down)


@triton.jit
def wheel(right, down, palette):
    """Return the colour of a flow; see `paint._wheel`. Both are in [0, 1], 0.5 for no flow."""
    right = right * 2.0 - 1.0
    down = down * 2.0 - 1.0
    length = speed(right, down)
    hue = _turn(-right, -down) * 55.0
    first = tl.where(hue >= 0, tl.minimum(tl.floor(hue), 54.0), 0.0)  # also where it is NaN
    at = palette + first.to(tl.int32) * 3
    part = hue - first
    red = _wheel_level(at, part, length)
    green = _wheel_level(at + 1, part, length)
    blue = _wheel_level(at + 2, part, length)
    return red, green, blue


@triton.jit
def _wheel_level(at, part, length):
    first = tl.load(at).to(tl.float32) / 255.0
    second = tl.load(at + 3).to(tl.float32) / 255.0
    hue = first + part * (second - first)
    return tl.where(length > 1.001, hue * 0.75, 1.0 - tl.minimum(length, 1.0) * (1.0 - hue))


@triton.jit
def _turn(x, y):
    """Return the angle of a vector in turns: 0 and 1 to the left, 0.5 to the right."""
    longer = tl.maximum(tl.abs(x), tl.abs(y))
    ratio = tl.minimum(tl.abs(x), tl.abs(y)) / tl.where(longer > 0, longer, 1.0)
    square = ratio * ratio
    # A polynomial for atan on [0, 1], to 2e-6 turns: M. Abramowitz, I. Stegun, 4.4.49.
    angle = 0.0028662257
    angle = angle * square - 0.0161657367
    angle = angle * square + 0.0429096138
    angle = angle * square - 0.0752896400
    angle = angle * square + 0.1065626393
    angle = angle * square - 0.1420889944
    angle = angle * square + 0.1999355085
    angle = angle * square - 0.3333314528
    angle = (angle * square + 1.0) * ratio * 0.15915494309189535
    angle = tl.where(tl.abs(y) > tl.abs(x), 0.25 - angle, angle)
    angle = tl.where(x < 0, 0.5 - angle, angle)
    return 0.5 + tl.where(y < 0, -angle, angle)


@triton.jit
def with_nonfinite_colour(level, is_nan, is_inf, palette, channel, colouring: tl.constexpr):
    """Replace a result of `to_level_or_row` by the colour or row of NaN and Inf."""
    if colouring == "map" or colouring == "classes":
        for_inf = _INF_ROW * 1.0
        for_nan = _NAN_ROW * 1.0
    else:
        for_inf = tl.load(palette + _INF_ROW * 3 + channel).to(tl.float32) / 255.0
        for_nan = tl.load(palette + _NAN_ROW * 3 + channel).to(tl.float32) / 255.0
    return tl.where(is_nan, for_nan, tl.where(is_inf, for_inf, level))
