"""One tensor on the CPU, pixel for pixel and with a known range: its levels in a slot of the ring.

NumPy is preferred to torch: it never splits an operation among threads, which would wait for each
other on a busy machine, so its operations may be large. But each operation releases the GIL, and a
busy cell does not return it at once.

Note [few operations]: after a training step the caches hold nothing of this code, and each function
that is called, ours or a library's, costs microseconds to fetch from memory. So all channels are
computed together, and `gpuview.frames.plan_cache` leaves out what the frame before has shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.dtypes import is_16_bit_float, is_exact_in_float32, needs_float64
from gpuview.frames.cpu.ranges import BLOCK_NUMEL, is_known_finite
from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW, palette
from gpuview.frames.picture.geometry import PanelPlan, Plan
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["NonFinite", "PlainPicture", "is_full", "is_plain", "pad"]

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_RGB_RANGE = 255
_STRIP_NUMEL = 65_536  # fits the cache
_HALF_LEVEL = np.float32(0.5)


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


@dataclass(frozen=True, slots=True)
class PlainPicture:
    """How tensors of one shape, dtype and strides are written, if their picture `is_plain`."""

    _plan: Plan
    _format: PixelFormat
    _is_copied: bool
    """Whether the values are levels already."""
    _low: np.floating[Any]
    _gain: np.floating[Any]
    _strips: tuple[slice, ...]
    """The rows that are computed at a time, few enough to fit the cache."""

    @classmethod
    def of(cls, plan: Plan, planes: Tensor) -> Self:
        """Prepare a picture.

        Args:
            plan: One that `is_plain`.
            planes: ``(C, h, w)``, C = 1 or 3, on the CPU, any strides.
        """
        scaling, dtype = plan.panels[0].scaling, planes.dtype
        number = np.float64 if needs_float64(dtype) else np.float32
        return cls(
            plan,
            _format_of(planes),
            _is_copied=dtype == torch.uint8 and (scaling.low, scaling.high) == (0, _RGB_RANGE),
            _low=number(scaling.low),
            _gain=number(_RGB_RANGE / (scaling.high - scaling.low)),
            _strips=_strips_of(planes),
        )

    def write(self, sink: FrameSink, planes: Tensor, capture_ns: int) -> NonFinite | None:
        """Write a picture to the sink, and publish it.

        The tensor has been read when this returns.

        Args:
            sink: Where the picture goes; not used by other threads meanwhile.
            planes: Like those that it was prepared for.
            capture_ns: When the frame was pushed.

        Returns:
            What was marked in the picture. None if a picture in grey is to be painted instead,
            because it may have such values; then nothing was published.

        Raises:
            MediaError: The sink has no memory for it.
        """
        channels, h, w = planes.shape
        height, width = self._plan.height, self._plan.width
        slot = np.frombuffer(sink.begin(frame_nbytes(self._format, width, height)), np.uint8)
        if self._format is PixelFormat.RGB24:
            source = planes.permute(1, 2, 0).flatten(1).unsqueeze(0)  # (1, h, 3 w)
            out = slot.reshape(1, height, width * 3)[:, :h, : w * 3]
            picture = slot.reshape(height, width, 3).transpose(2, 0, 1)
        else:
            source, picture = planes, slot.reshape(channels, height, width)
            out = picture[:, :h, :w]
        is_finite = self._copy(source, out)
        if not (is_finite or channels == 3):
            return None
        nonfinite = _ALL_FINITE if is_finite else _colour_nonfinite(picture, planes)
        if (h, w) != (height, width):
            pad(picture, self._plan.panels[0])
        sink.publish(self._format, width, height, capture_ns)
        return nonfinite

    def _copy(self, source: Tensor, out: Bytes) -> bool:
        """Write the levels of ``source``, ``(K, h, n)``; return False if some may be NaN or Inf."""
        if self._is_copied:
            _copy_bytes(source.numpy(), out)
            return True
        values = None if is_16_bit_float(source) else source.numpy()
        scratch = np.empty((out.shape[0], self._strips[0].stop, out.shape[2]), np.float32)
        is_finite = True
        with np.errstate(all="ignore"):  # a result that is not finite is noticed
            for rows in self._strips:
                strip = source[:, rows].float().numpy() if values is None else values[:, rows]
                is_finite &= self._scale(strip, scratch[:, : strip.shape[1]], out[:, rows])
        return is_finite

    def _scale(self, values: Array, scratch: Array, out: Bytes) -> bool:
        """Write ``values`` as levels from 0 to 255, rounded half up; others are clamped.

        Returns False if a value is NaN or Inf, also if it is so after scaling.
        """
        if self._low:
            values = np.subtract(values, self._low, out=scratch, casting="same_kind")
        np.multiply(values, self._gain, out=scratch, casting="same_kind")
        # Not of the values, which another thread may be writing.
        least = float(np.minimum.reduce(scratch, axis=None))
        greatest = float(np.maximum.reduce(scratch, axis=None))
        is_finite = math.isfinite(greatest - least)
        if not (least >= 0 and greatest <= _RGB_RANGE):  # also true for NaN
            np.clip(scratch, 0, _RGB_RANGE, out=scratch)
        np.add(scratch, _HALF_LEVEL, out=scratch)  # the cast truncates: rounds half up
        np.copyto(out, scratch, casting="unsafe")
        return is_finite


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


def _copy_bytes(source: Bytes, out: Bytes) -> None:
    if source.flags.c_contiguous and out.flags.c_contiguous:
        # Holds the GIL, for 0.1 ms at 720p: a copy that released it would, in a busy kernel, wait
        # up to a switch interval to get it back.
        out.data.cast("B")[:] = source.data.cast("B")
    else:
        out[:] = source


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


def _strips_of(planes: Tensor) -> tuple[slice, ...]:
    height, numel = planes.shape[1], BLOCK_NUMEL if is_16_bit_float(planes) else _STRIP_NUMEL
    n = max(1, min(height, numel * height // planes.numel()))
    return tuple(slice(top, min(top + n, height)) for top in range(0, height, n))
