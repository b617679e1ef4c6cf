"""The Triton kernel that finds a tile's range without its outliers, as `cpu.percentiles` does."""

from __future__ import annotations

import triton
import triton.language as tl

from gpuview.frames.cuda.minmax import as_range

__all__ = ["find_percentiles"]


@triton.jit(do_not_specialize=["tile_height", "tile_width", "numel"])
def find_percentiles(
    pixels,
    ranges,
    tile_height,
    tile_width,
    numel,
    tile_step,
    channel_step,
    row_step,
    column_step,
    needs_float64: tl.constexpr,
    size: tl.constexpr,
):
    """Find the 1st and the 99th percentile of a tile. One program a tile.

    The values' bits are ordered like integers. The integer of a rank is found by halving the
    interval of all integers, so that nothing has to be sorted.
    """
    dtype: tl.constexpr = tl.float64 if needs_float64 else tl.float32
    bits: tl.constexpr = tl.int64 if needs_float64 else tl.int32
    n_bits: tl.constexpr = 64 if needs_float64 else 32
    most: tl.constexpr = (1 << (n_bits - 1)) - 1
    tile = tl.program_id(0)
    at = tl.arange(0, size).to(tl.int64)
    is_there = at < numel
    if numel > size:
        shift = ((at * 40503) & 0xFFFF) * (numel // size) >> 16
        at = at * numel // size + shift
    row = at // tile_width
    x = at - row * tile_width
    channel = row // tile_height
    y = row - channel * tile_height
    offset = channel * channel_step + y * row_step + x * column_step
    start = pixels + tile.to(tl.int64) * tile_step
    value = tl.load(start + offset, mask=is_there, other=0).to(dtype)
    is_value = is_there & (tl.abs(value) < float("inf"))
    key = value.to(bits, bitcast=True)
    key = tl.where(key < 0, key ^ most, key)
    key = tl.where(is_value, key, most)

    last = tl.maximum(tl.sum(is_value.to(tl.int32), 0) - 1, 0)
    rank = (last + 50) // 100
    least = tl.min(tl.where(is_value, value, float("inf")), 0)
    greatest = tl.max(tl.where(is_value, value, -float("inf")), 0)
    low = _of_rank(key, rank, n_bits)
    high = _of_rank(key, last - rank, n_bits)
    low = tl.where(low < 0, low ^ most, low).to(dtype, bitcast=True)
    high = tl.where(high < 0, high ^ most, high).to(dtype, bitcast=True)
    is_usual = (low < high) & (least <= greatest)
    low = tl.where(is_usual, low, least)
    high = tl.where(is_usual, high, greatest)
    half_low, gain = as_range(low.to(tl.float64), high.to(tl.float64))
    tl.store(ranges + tile * 2, half_low)
    tl.store(ranges + tile * 2 + 1, gain)


@triton.jit
def _of_rank(key, rank, n_bits: tl.constexpr):
    """Return the key that has ``rank`` others before it in order."""
    low = tl.min(key, 0)
    high = tl.max(key, 0)
    for _ in range(n_bits):
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        is_enough = tl.sum((key <= middle).to(tl.int32), 0) > rank
        high = tl.where(is_enough, middle, high)
        low = tl.where(is_enough, low, tl.minimum(middle + 1, high))
    return high
