"""The Triton kernels that find a tile's range: its smallest and its largest finite value.

`find_minmax` reads a large tile with n programs, each of which reads every n-th block;
`merge_minmax` then reduces their results. A small tile needs only one program, and no merging.
"""

from __future__ import annotations

import triton
import triton.language as tl

from gpuview.frames.cuda.pixel_value import speed

__all__ = ["as_range", "find_minmax", "merge_minmax"]

_INF = tl.constexpr(float("inf"))


@triton.jit
def as_range(least, greatest):
    """Return half the low bound, and the gain 1 / (half the range)."""
    is_known = least <= greatest
    half_low = tl.where(is_known, least * 0.5, 0.0)
    half_span = tl.where(is_known, greatest * 0.5, 0.5) - half_low
    # If all values are the same, they are black whatever the gain.
    return half_low, 1.0 / tl.where(half_span > 0, half_span, 1.0)


@triton.jit(do_not_specialize=["tile_height", "tile_width", "numel"])
def find_minmax(
    pixels,
    ranges,
    tile_height,
    tile_width,
    numel,
    tile_step,
    channel_step,
    row_step,
    column_step,
    is_flat: tl.constexpr,
    is_flow: tl.constexpr,
    needs_float64: tl.constexpr,
    needs_int64: tl.constexpr,
    is_last: tl.constexpr,
    block: tl.constexpr,
):
    """Find the smallest and the largest finite value of a part of a tile; speed, if a flow."""
    dtype: tl.constexpr = tl.float64 if needs_float64 else tl.float32
    tile = tl.program_id(0)
    start = pixels + tile.to(tl.int64) * tile_step
    least = tl.full([block], _INF, dtype)
    greatest = tl.full([block], -_INF, dtype)
    for first in range(tl.program_id(1) * block, numel, tl.num_programs(1) * block):
        i = first + tl.arange(0, block)
        is_there = i < numel
        if needs_int64:
            i = i.to(tl.int64)
        offset = i
        if not is_flat:
            row = i // tile_width
            x = i - row * tile_width
            channel = row // tile_height
            y = row - channel * tile_height
            offset = channel * channel_step + y * row_step + x * column_step
        value = tl.load(start + offset, mask=is_there, other=0).to(dtype)
        if is_flow:
            down = tl.load(start + offset + channel_step, mask=is_there, other=0).to(dtype)
            value = speed(value, down)
        is_value = is_there & (tl.abs(value) < _INF)
        least = tl.minimum(least, tl.where(is_value, value, _INF))
        greatest = tl.maximum(greatest, tl.where(is_value, value, -_INF))
    low = tl.min(least, 0).to(tl.float64)
    high = tl.max(greatest, 0).to(tl.float64)
    if is_last:
        low, high = as_range(low, high)
    at = ranges + (tile * tl.num_programs(1) + tl.program_id(1)) * 2
    tl.store(at, low)
    tl.store(at + 1, high)


@triton.jit(do_not_specialize=["n_parts"])
def merge_minmax(parts, ranges, n_parts, is_symmetric: tl.constexpr, block: tl.constexpr):
    """Merge the parts of each tile, or of all tiles, into one range; perhaps one around zero."""
    tile = tl.program_id(0)
    least = tl.full([block], _INF, tl.float64)
    greatest = tl.full([block], -_INF, tl.float64)
    for first in range(0, n_parts, block):
        i = first + tl.arange(0, block)
        at = parts + (tile * n_parts + i) * 2
        least = tl.minimum(least, tl.load(at, mask=i < n_parts, other=_INF))
        greatest = tl.maximum(greatest, tl.load(at + 1, mask=i < n_parts, other=-_INF))
    low = tl.min(least, 0)
    high = tl.max(greatest, 0)
    if is_symmetric:
        reach = tl.maximum(-low, high)
        reach = tl.where(reach > 0, reach, 1.0)  # zeros are in the middle
        low = -reach
        high = reach
    half_low, gain = as_range(low, high)
    tl.store(ranges + tile * 2, half_low)
    tl.store(ranges + tile * 2 + 1, gain)
