"""The range of values by which a tile is scaled, found in plain torch on the tile's device."""

from __future__ import annotations

import torch
from torch import Tensor

from gpuview.frames.cpu.dtypes import work_dtype
from gpuview.frames.cpu.percentiles import percentile_ranges, sample_size
from gpuview.frames.picture.geometry import AutoRange

__all__ = [
    "BLOCK_NUMEL",
    "is_known_finite",
    "range_of_all",
    "raw_ranges",
    "shown_ranges",
    "tile_ranges",
    "union",
]

BLOCK_NUMEL = 32_767  # torch uses threads for more elements


def raw_ranges(pixels: Tensor, auto: AutoRange | None) -> Tensor:
    """Return the smallest and the largest finite value of each tile; without outliers if "robust".

    Runs on ``pixels.device`` and synchronises no more than `render`.

    Returns:
        ``(T, 2)`` on ``pixels.device``; float64 for float64 and integers of at least 32 bits, else
        float32. (inf, -inf) where no value is finite.
    """
    return _robust_ranges(pixels) if auto == "robust" else _whole_ranges(pixels)


def tile_ranges(pixels: Tensor, auto: AutoRange) -> Tensor:
    """Return the range by which each tile is scaled; see `shown_ranges`."""
    return shown_ranges(raw_ranges(pixels, auto), auto)


def shown_ranges(ranges: Tensor, auto: AutoRange) -> Tensor:
    """Return the range by which each tile is scaled, given its `raw_ranges`; see `AutoRange`.

    Returns:
        ``(T, 2)``. (0, 1) where no value is finite; (-1, 1) if it is symmetric.
    """
    if auto in ("frame", "symmetric"):
        ranges = union(ranges).expand(len(ranges), -1)
    if auto == "symmetric":
        reach = torch.maximum(-ranges[:, :1], ranges[:, 1:])
        reach = reach.masked_fill(reach <= 0, 1)  # zeros are in the middle
        return torch.cat((-reach, reach), 1)
    is_known = ranges[:, :1] <= ranges[:, 1:]
    return torch.where(is_known, ranges, torch.arange(2, dtype=ranges.dtype, device=ranges.device))


def range_of_all(pixels: Tensor, auto: AutoRange | None) -> Tensor:
    """Return the range that the ranges of all tiles are in; without outliers only if "robust".

    Runs where `raw_ranges` does.

    Returns:
        ``(2,)``; (inf, -inf) if no value is finite.
    """
    return union(raw_ranges(pixels, auto))


def _whole_ranges(pixels: Tensor) -> Tensor:
    """Return ``(T, 2)``; (inf, -inf) where no value is finite."""
    _, channels, height, width = pixels.shape
    rows, n = height, len(pixels)
    if pixels.device.type == "cpu":
        rows = max(1, min(height, BLOCK_NUMEL // (channels * width)))
        n = max(1, BLOCK_NUMEL // (channels * height * width))
    dtype = work_dtype(pixels, None)
    return torch.cat([_finite_ranges(tiles, rows, dtype) for tiles in torch.split(pixels, n)])


def _robust_ranges(pixels: Tensor) -> Tensor:
    """Return ``(T, 2)``; (inf, -inf) where no value is finite."""
    size, dtype = sample_size(len(pixels)), work_dtype(pixels, None)
    n = BLOCK_NUMEL // size if pixels.device.type == "cpu" else len(pixels)
    parts = [percentile_ranges(tiles, size, dtype) for tiles in torch.split(pixels, n)]
    return torch.cat(parts)


def _finite_ranges(tiles: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """Return ``(T, 2)``, read ``rows`` rows at a time; (inf, -inf) where no value is finite."""
    parts = [_extremes(_magnitudes(strip.to(dtype))) for strip in torch.split(tiles, rows, 2)]
    return union(torch.stack(parts)) if len(parts) > 1 else parts[0]


def _magnitudes(values: Tensor) -> Tensor:
    """Return the speeds of a flow, which has two channels; else the values themselves."""
    if values.shape[1] != 2:
        return values
    return torch.hypot(values[:, :1], values[:, 1:])


def union(ranges: Tensor) -> Tensor:
    """Return the union of ranges along the first dimension."""
    return torch.stack((ranges[..., 0].amin(0), ranges[..., 1].amax(0)), dim=-1)


def _extremes(values: Tensor) -> Tensor:
    least, greatest = values.amin((1, 2, 3)), values.amax((1, 2, 3))
    if not is_known_finite(greatest - least):
        # `where` would copy the scalar to the device and wait; `masked_fill` does not.
        is_nonfinite = values.isfinite().logical_not_()
        least = values.masked_fill(is_nonfinite, torch.inf).amin((1, 2, 3))
        greatest = values.masked_fill(is_nonfinite, -torch.inf).amax((1, 2, 3))
    return torch.stack((least, greatest), dim=-1)


def is_known_finite(values: Tensor) -> bool:
    """Tell whether all values are finite. False on a device, where this would have to wait."""
    return values.device.type == "cpu" and bool(values.sum().isfinite())
