"""One tensor on the CPU, pixel for pixel and with a known range: its levels in a slot of the ring.

NumPy is preferred to torch: it never splits an operation among threads, which would wait for each
other on a busy machine, so its operations may be large. But each operation releases the GIL, and a
busy cell does not return it at once.

Note [few operations]: after a training step the caches hold nothing of this code, and each function
that is called, ours or a library's, costs microseconds to fetch from memory. So all channels are
computed together, and `gpuview.frames.alike` leaves out what the frame before has shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.ranges import (
    BLOCK_NUMEL,
    is_exact_in_float32,
    is_known_finite,
    needs_float64,
)
from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW, palette
from gpuview.frames.picture.geometry import PanelPlan, Plan, Scaling
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["NonFinite", "is_full", "is_plain", "pad", "write_plain"]

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_RGB_RANGE = 255
_STRIP_NUMEL = 65_536  # fits the cache


@dataclass(frozen=True, slots=True)
class NonFinite:
    """The numbers of NaN and Inf in a frame."""

    n_nan: int = 0
    n_inf: int = 0


_ALL_FINITE = NonFinite()


def is_plain(plan: Plan) -> bool:
    """Tell whether the picture is one tensor, pixel for pixel, with a known range."""
    panel = plan.panels[0]
    return (
        is_full(plan)
        and panel.n_tiles == 1
        and (panel.tile_height, panel.tile_width) == (panel.inner_height, panel.inner_width)
        and (panel.channels == 3 or panel.colormap == "gray")
        and panel.scaling.auto is None
        and is_exact_in_float32(panel.scaling)
    )


def is_full(plan: Plan) -> bool:
    """Tell whether the first panel fills the picture."""
    panel = plan.panels[0]
    return (plan.height, plan.width) == (panel.height, panel.width)


def write_plain(sink: FrameSink, plan: Plan, planes: Tensor, capture_ns: int) -> NonFinite | None:
    """Write a picture that `is_plain` to the sink, and publish it.

    The tensor has been read when this returns.

    Args:
        sink: Where the picture goes; not used by other threads meanwhile.
        plan: The picture.
        planes: ``(C, h, w)``, C = 1 or 3, on the CPU, any strides.
        capture_ns: When the frame was pushed.

    Returns:
        What was marked in the picture. None if a picture in grey is to be painted instead, because
        it may have such values; then nothing was published.

    Raises:
        MediaError: The sink has no memory for it.
    """
    panel = plan.panels[0]
    channels, h, w = planes.shape
    height, width = plan.height, plan.width
    pixel_format = _format_of(planes)
    slot = np.frombuffer(sink.begin(frame_nbytes(pixel_format, width, height)), np.uint8)
    if pixel_format is PixelFormat.RGB24:
        source = planes.permute(1, 2, 0).flatten(1).unsqueeze(0)  # (1, h, 3 w)
        out = slot.reshape(1, height, width * 3)[:, :h, : w * 3]
        picture = slot.reshape(height, width, 3).transpose(2, 0, 1)
    else:
        source, picture = planes, slot.reshape(channels, height, width)
        out = picture[:, :h, :w]
    is_finite = _copy(source, panel.scaling, out)
    if not (is_finite or channels == 3):
        return None
    nonfinite = _ALL_FINITE if is_finite else _colour_nonfinite(picture, planes)
    if (h, w) != (height, width):
        pad(picture, panel)
    sink.publish(pixel_format, width, height, capture_ns)
    return nonfinite


def pad(picture: Bytes, panel: PanelPlan) -> None:
    """Repeat the last row and column of a single tile up to the panel's sides; ``(C, H, W)``."""
    h, w = panel.inner_height, panel.inner_width
    picture[:, h:] = picture[:, h - 1 : h]
    picture[:, :, w:] = picture[:, :, w - 1 : w]


def _format_of(planes: Tensor) -> PixelFormat:
    """Return the format that has the order of the tensor's memory."""
    channels, _, w = planes.shape
    if channels == 1:
        return PixelFormat.GREY8
    return PixelFormat.RGB24 if planes.stride() == (1, 3 * w, 3) else PixelFormat.RGB24P


def _copy(source: Tensor, scaling: Scaling, out: Bytes) -> bool:
    """Write the levels of ``source``, ``(K, h, n)``; return False if there may be a NaN or Inf."""
    if source.dtype == torch.uint8 and (scaling.low, scaling.high) == (0, _RGB_RANGE):
        _copy_bytes(source.numpy(), out)
        return True
    return _scale(source, scaling, out)


def _copy_bytes(source: Bytes, out: Bytes) -> None:
    if source.flags.c_contiguous and out.flags.c_contiguous:
        # Holds the GIL, for 0.1 ms at 720p: a copy that released it would, in a busy kernel, wait
        # up to a switch interval to get it back.
        out.data.cast("B")[:] = source.data.cast("B")
    else:
        out[:] = source


def _scale(source: Tensor, scaling: Scaling, out: Bytes) -> bool:
    """Write ``source`` as levels from 0 to 255, rounded half up.

    Returns False if a value is NaN or Inf, in the tensor or after scaling.

    Args:
        source: ``(K, h, n)``, any strides and dtype.
        scaling: The values of the first and the last level; other values are clamped.
        out: ``(K, h, n)``.
    """
    number = np.float64 if needs_float64(source.dtype) else np.float32
    low, gain = number(scaling.low), number(_RGB_RANGE / (scaling.high - scaling.low))
    n_rows = _rows_of(source)
    scratch = np.empty((source.shape[0], n_rows, source.shape[2]), np.float32)
    is_finite = True
    with np.errstate(all="ignore"):  # a result that is not finite is noticed below
        for rows, values in _strips(source, n_rows):
            strip = scratch[:, : values.shape[1]]
            if low:
                np.subtract(values, low, out=strip, casting="same_kind")
                np.multiply(strip, gain, out=strip, casting="same_kind")
            else:
                np.multiply(values, gain, out=strip, casting="same_kind")
            least = float(np.minimum.reduce(strip, axis=None))
            greatest = float(np.maximum.reduce(strip, axis=None))
            is_finite &= math.isfinite(greatest - least)
            if not (least >= 0 and greatest <= _RGB_RANGE):  # also true for NaN
                np.clip(strip, 0, _RGB_RANGE, out=strip)
            np.add(strip, np.float32(0.5), out=strip)  # the cast truncates: rounds half up
            np.copyto(out[:, rows], strip, casting="unsafe")
    return is_finite


def _colour_nonfinite(picture: Bytes, planes: Tensor) -> NonFinite:
    """Colour and count the NaN and Inf of ``planes`` in ``picture``, both ``(3, h, w)``."""
    n_nan = n_inf = 0
    markers = palette("gray", planes.device)
    n = max(1, BLOCK_NUMEL // (3 * planes.shape[2]))
    for top in range(0, planes.shape[1], n):
        strip = planes[:, top : top + n]
        if is_known_finite(strip):
            continue
        out = torch.from_numpy(picture)[:, top : top + strip.shape[1], : strip.shape[2]]
        is_nan, is_inf = strip.isnan(), strip.isinf()
        n_nan, n_inf = n_nan + int(is_nan.sum()), n_inf + int(is_inf.sum())
        for plane, nan, inf in zip(out, markers[NAN_ROW], markers[INF_ROW], strict=True):
            plane.masked_fill_(is_inf.any(0), inf).masked_fill_(is_nan.any(0), nan)
    return NonFinite(n_nan, n_inf)


def _rows_of(source: Tensor) -> int:
    """Return how many rows are computed at a time."""
    channels, height, width = source.shape
    numel = BLOCK_NUMEL if _is_half(source) else _STRIP_NUMEL
    return max(1, min(height, numel // (channels * width)))


def _strips(source: Tensor, n: int) -> Iterator[tuple[slice, Array]]:
    """Read ``n`` rows at a time, in a dtype that NumPy has."""
    height = source.shape[1]
    if not _is_half(source):
        values = source.numpy()
        for top in range(0, height, n):
            yield (rows := slice(top, top + n)), values[:, rows]
        return
    # NumPy is six times slower with float16, and has no bfloat16.
    scratch = torch.empty((source.shape[0], n, source.shape[2]), dtype=torch.float32, device="cpu")
    for top in range(0, height, n):
        strip = source[:, top : top + n]
        yield slice(top, top + n), scratch[:, : strip.shape[1]].copy_(strip).numpy()


def _is_half(source: Tensor) -> bool:
    return source.dtype in (torch.float16, torch.bfloat16)
