"""The 1st and the 99th percentile of each tile, from a sample of its values.

A tile of up to 4096 values is read whole, and then the percentiles are exact. From a larger tile,
4096 values are taken: one from each 4096th part of it, at places that look random, so that stripes
in the picture do not matter. An end of the range is then within half a percentage point of the
percentile (three standard deviations of 0.16). If a tensor has more than 64 tiles, fewer values are
taken from each, but at least 256.

`gpuview.frames.cuda.percentiles` takes the same values.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gpuview.frames.cpu.area import current_stream_id

__all__ = ["MAX_SAMPLE", "percentile_ranges", "sample_size", "sampled"]

MAX_SAMPLE = 4096
_MIN_SAMPLE = 256
_ALL_TILES = 1 << 18


def sample_size(n_tiles: int) -> int:
    """Return how many values of each tile are taken, at most; a power of two."""
    affordable = max(_MIN_SAMPLE, _ALL_TILES // n_tiles)
    return min(MAX_SAMPLE, 1 << (affordable.bit_length() - 1))


def percentile_ranges(tiles: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return the two percentiles of each tile's finite values; (inf, -inf) where none is finite.

    If both are the same, as in a tile that is almost everywhere zero, the smallest and the largest
    value of the sample. Runs on the tiles' device and only launches work there.

    Args:
        tiles: ``(T, C, H, W)``, any strides, any real dtype.
        size: From `sample_size`.
        dtype: Of the result: float32 or float64.

    Returns:
        ``(T, 2)``.
    """
    values = sampled(tiles, size).to(dtype)  # (T, n)
    is_finite = values.isfinite()
    values = _sorted(values.masked_fill(~is_finite, torch.inf))
    last = is_finite.sum(1, keepdim=True).sub_(1).clamp_(min=0)  # (T, 1)
    rank = (last + 50).div_(100, rounding_mode="floor")
    ends = values.gather(1, torch.cat((rank, last - rank), 1))
    extremes = values.gather(1, torch.cat((torch.zeros_like(last), last), 1))
    ranges = torch.where(ends[:, :1] < ends[:, 1:], ends, extremes)
    ranges[:, 1].masked_fill_(ranges[:, 1] == torch.inf, -torch.inf)
    return ranges


def sampled(tiles: Tensor, size: int) -> Tensor:
    """Return ``size`` values of each tile, or all if it has fewer, ``(T, n)``; only launches work.

    Args:
        tiles: ``(T, C, H, W)``, any strides, any dtype.
        size: At most `MAX_SAMPLE`.
    """
    _, channels, height, width = tiles.shape
    place = _places(channels, height, width, size, tiles.device, current_stream_id(tiles.device))
    return tiles[:, *place]


def _sorted(values: Tensor) -> Tensor:
    """Sort each row. NumPy uses no threads, which would wait for each other on a busy machine."""
    if values.device.type != "cpu":
        return values.sort(1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1))


@lru_cache(maxsize=64)
def _places(
    channels: int, height: int, width: int, size: int, device: torch.device, stream_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the channel, row and column of each value of the sample.

    Only the stream of ``stream_id`` may use the result without waiting.
    """
    numel = channels * height * width
    at = torch.arange(min(numel, size), device=device)
    if numel > size:
        shift = (at * 40_503 & 0xFFFF) * (numel // size) >> 16  # a multiplicative hash
        at = (at * numel).div_(size, rounding_mode="floor") + shift
    row = at.div(width, rounding_mode="floor")
    channel = row.div(height, rounding_mode="floor")
    return channel, row - channel * height, at - row * width
