"""The smallest and the largest finite value of a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gpuview.frames.cpu.dtypes import is_16_bit_float
from gpuview.frames.cpu.ranges import BLOCK_NUMEL, tile_ranges

__all__ = ["finite_extremes"]

_STRIP_NBYTES = 1 << 20  # fits the cache, and NumPy's calls cost little beside it


def finite_extremes(pixels: Tensor) -> tuple[float, float] | None:
    """Return the smallest and the largest finite value; None if no value is finite.

    A picture of 720p takes one core 0.2 ms in uint8, 1.5 ms in float32 and 4 ms in float16. Waits
    for any device but the CPU.

    Args:
        pixels: ``(T, C, H, W)``, any strides, any real dtype.
    """
    if pixels.device.type != "cpu":
        if not bool(pixels.isfinite().any()):
            return None
        low, high = tile_ranges(pixels, "frame")[0].tolist()
        return low, high
    least, greatest = math.inf, -math.inf
    for values in _strips(pixels):
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(high - low):
            finite = values[np.isfinite(values)]
            low = float(finite.min(initial=math.inf))
            high = float(finite.max(initial=-math.inf))
        least, greatest = min(least, low), max(greatest, high)
    return (least, greatest) if least <= greatest else None


def _strips(pixels: Tensor) -> Iterator[npt.NDArray[Any]]:
    numel = BLOCK_NUMEL if is_16_bit_float(pixels) else _STRIP_NBYTES // pixels.element_size()
    n = max(1, numel // (pixels.shape[1] * pixels.shape[3]))
    for tile in pixels:
        for strip in tile.split(n, 1):
            yield (strip.float() if is_16_bit_float(strip) else strip).numpy()
