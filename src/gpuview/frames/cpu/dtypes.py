"""In which precision the values of a dtype are read and computed: bfloat16, float64 and all others.

`picture.tensors` says which dtypes are accepted at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpuview.frames.picture.geometry import Scaling

__all__ = ["is_16_bit_float", "is_exact_in_float32", "needs_float64", "work_dtype"]

_WIDE = (torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64)
_HUGE = 1e30  # far beyond any range, but sums still fit float32


def is_16_bit_float(tensor: Tensor) -> bool:
    """Tell whether to read a tensor as float32: NumPy is slow with float16, and has no bfloat16."""
    return tensor.dtype in (torch.float16, torch.bfloat16)


def work_dtype(pixels: Tensor, scaling: Scaling | None) -> torch.dtype:
    """Return the dtype in which values are scaled and averaged."""
    return torch.float64 if needs_float64(pixels.dtype, scaling) else torch.float32


def needs_float64(dtype: torch.dtype, scaling: Scaling | None = None) -> bool:
    """Tell whether float32 is not exact enough for values of ``dtype``, or for these bounds."""
    is_inexact = scaling is not None and scaling.auto is None and not is_exact_in_float32(scaling)
    return dtype in _WIDE or is_inexact


def is_exact_in_float32(scaling: Scaling) -> bool:
    """Tell whether float32 is exact enough to scale by these bounds, which are not automatic."""
    span = scaling.high - scaling.low
    return 1 / _HUGE < span < _HUGE and max(abs(scaling.low), abs(scaling.high)) < 1024 * span
