"""The statistics of many values, in float64, with NumPy: on one thread, and block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["N_BINS", "statistics_of"]

N_BINS = 32

Blocks = Callable[[], Iterable[npt.NDArray[Any]]]


def statistics_of(blocks: Blocks) -> dict[str, Any]:
    """Return what `BoxStatistics` says of values that are read twice, block by block."""
    n = n_nan = n_inf = 0
    least: Any = None
    greatest: Any = None
    for block in blocks():
        finite = _finite(block)
        n += block.size
        if block.dtype.kind == "f":
            is_nan = int(np.isnan(block).sum())
            n_nan, n_inf = n_nan + is_nan, n_inf + block.size - finite.size - is_nan
        if finite.size:
            low, high = finite.min(), finite.max()
            least = low if least is None else min(least, low)
            greatest = high if greatest is None else max(greatest, high)
    found = {"n": n, "n_nan": n_nan, "n_inf": n_inf}
    if least is None:
        return found | {"least": "", "greatest": "", "mean": "", "std": "", "counts": ()}
    low, high = float(least), float(greatest)
    # Near 1 and around 0, so that squares neither overflow nor cancel.
    scale = max(abs(low), abs(high)) or 1.0
    centre, span = (low / scale + high / scale) / 2, (high / scale - low / scale) or 1.0
    total = squares = 0.0
    counts = np.zeros(N_BINS, np.int64)
    for block in blocks():
        offsets = _finite(block).astype(np.float64).ravel() / scale - centre
        total, squares = total + offsets.sum(), squares + np.square(offsets).sum()
        bins = ((offsets / span + 0.5) * N_BINS).astype(np.int64).clip(0, N_BINS - 1)
        counts += np.bincount(bins, minlength=N_BINS)
    n_finite = int(counts.sum())
    mean = total / n_finite
    std = np.sqrt(max(0.0, squares / n_finite - mean * mean))
    return found | {
        "least": _short(least),
        "greatest": _short(greatest),
        "mean": _short((mean + centre) * scale),
        "std": _short(std * scale),
        "counts": tuple(map(int, counts)),
    }


def _finite(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if block.dtype.kind == "b":
        return block.view(np.uint8)
    return block[np.isfinite(block)] if block.dtype.kind == "f" else block


def _short(value: Any) -> str:
    """Return whole numbers in full, and others with six digits."""
    return str(value) if isinstance(value, np.integer) else f"{float(value):.6g}"
