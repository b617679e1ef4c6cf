"""From a tensor to a slot of the ring, in the caller's thread.

What is written depends on where the frame is, on its channels and its dtype:

    CPU   3 channels   uint8   copied as RGB24; the media process converts
    CPU   3 channels   float   rounded to RGB24; the media process converts
    CPU   1 channel            I420 with flat chroma, which is half the bytes
    CUDA                       I420, made on the device; see `gpuview.frames.cuda`

Rounding to RGB24 takes a third of the operations that I420 takes. In total both cost the same; but
each torch operation gives the GIL away, and a busy cell does not give it back at once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from gpuview.frames.layout import FrameView, Layout, describe, fit
from gpuview.frames.yuv import GREY_CHROMA, LUMA_OFFSET, LUMA_RANGE
from gpuview.wire.ring import PixelFormat, frame_nbytes

if TYPE_CHECKING:
    from gpuview.frames.cuda import CudaReadback

__all__ = ["FrameSink", "Readback"]

_RGB_RANGE = 255
_STRIP_NUMEL = 32_767  # from one more on, torch uses threads


class FrameSink(Protocol):
    """Where frames go: the engine's handle on one stream. One thread at a time."""

    def begin(self, nbytes: int) -> memoryview:
        """Return ``nbytes`` writable bytes of a free slot. Beginning again gives it up."""

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        """Make the slot that `begin` gave the newest frame."""


class Readback:
    """Writes tensors into a sink.

    Args:
        sink: Where frames go; used by one thread at a time, not owned.
    """

    def __init__(self, sink: FrameSink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._cuda: CudaReadback | None = None

    def push(self, frame: object, layout: Layout | None = None) -> None:
        """Make ``frame`` the stream's newest picture.

        From any thread. A CPU frame has been copied when this returns; a CUDA frame is only read
        in the order of the caller's current stream, so it may be overwritten by later work on that
        stream at once. Never synchronises with a device.

        Args:
            frame: As for `layout.describe`. An odd side is completed by its last row or column; a
                side under ``MIN_SIDE`` pixels is enlarged by a whole number. NaN is shown as 0,
                values outside [0, 1] as the nearest.
            layout: As for `layout.describe`.

        Raises:
            FrameError: The tensor cannot be shown.
            MediaError: The sink has no memory for it.
        """
        capture_ns = time.monotonic_ns()
        # Always in inference mode: what is staged inside it cannot be written to outside it.
        with torch.inference_mode():
            view = describe(frame, layout)
            view = FrameView(fit(view.planes))
            with self._lock:
                if view.planes.is_cuda:
                    self._cuda_readback().push(view, capture_ns)
                elif view.is_grey:
                    self._write_grey(view, capture_ns)
                else:
                    self._write_rgb(view, capture_ns)

    def close(self) -> None:
        """Drop what is under way on a device and end its thread. The sink stays open."""
        with self._lock:
            cuda, self._cuda = self._cuda, None
        if cuda is not None:
            cuda.close()

    def _cuda_readback(self) -> CudaReadback:
        if self._cuda is None:
            from gpuview.frames.cuda import CudaReadback

            self._cuda = CudaReadback(self._sink, self._lock)
        return self._cuda

    def _write_rgb(self, view: FrameView, capture_ns: int) -> None:
        planes = view.planes  # (3, H, W)
        height, width = planes.shape[1:]
        slot = self._sink.begin(frame_nbytes(PixelFormat.RGB24, width, height))
        pixels = planes.movedim(0, -1)  # (H, W, 3)
        if view.is_uint8 and pixels.is_contiguous():
            # Holds the GIL: a copy that gives it away gets it back late in a busy kernel, up to a
            # switch interval after these 0.1 ms.
            slot[:] = pixels.numpy().reshape(-1).data
        elif view.is_uint8:
            out = np.frombuffer(slot, np.uint8).reshape(height, width, 3)
            for channel in range(3):  # half the time of one copy of all three
                out[..., channel] = planes[channel].numpy()
        else:
            _scale(planes, _RGB_RANGE, 0, out=_tensor(slot).view(height, width, 3))
        self._sink.publish(PixelFormat.RGB24, width, height, capture_ns)

    def _write_grey(self, view: FrameView, capture_ns: int) -> None:
        height, width = view.planes.shape[1:]
        slot = self._sink.begin(frame_nbytes(PixelFormat.I420, width, height))
        luma = _tensor(slot)[: height * width].view(height, width, 1)
        _scale(view.planes, LUMA_RANGE, LUMA_OFFSET, out=luma)
        _tensor(slot)[height * width :] = GREY_CHROMA
        self._sink.publish(PixelFormat.I420, width, height, capture_ns)


def _tensor(slot: memoryview) -> Tensor:
    return torch.frombuffer(slot, dtype=torch.uint8)


def _scale(planes: Tensor, value_range: int, offset: int, *, out: Tensor) -> None:
    """Write ``planes``, rounded to ``offset`` to ``offset + value_range``, to ``out``.

    Works in strips that are too small for torch to share out among threads. When the cores are
    taken, as by the browser, those threads wait for each other: for 250 ms where a strip after the
    other takes 10. A strip also stays in the cache.

    Args:
        planes: ``(C, H, W)``, uint8 or floating.
        out: ``(H, W, C)`` uint8.
    """
    channels, height, width = planes.shape
    rows = max(1, _STRIP_NUMEL // (channels * width))
    gain = value_range / 255 if planes.dtype == torch.uint8 else value_range
    low = offset + 0.5  # the cast to uint8 cuts, so this rounds half up
    scratch = torch.empty_like(planes[:, :rows], dtype=torch.float32)
    for top in range(0, height, rows):
        strip = planes[:, top : top + rows]
        scaled = scratch[:, : strip.shape[1]].copy_(strip)
        scaled.mul_(gain).add_(low).nan_to_num_(low).clamp_(low, low + value_range)
        _interleave(scaled, out[top : top + rows])


def _interleave(planes: Tensor, pixels: Tensor) -> None:
    """Copy ``(C, H, W)`` to ``(H, W, C)``, the fastest way for the strides."""
    if planes.stride(0) == 1:
        pixels.copy_(planes.movedim(0, -1))
    else:
        for channel, plane in enumerate(planes):
            pixels[..., channel].copy_(plane)
