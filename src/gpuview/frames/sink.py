"""The destination of frames: one stream's ring, as the writers see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import Reservation

__all__ = ["DeviceSink", "FrameSink", "WriteStats"]


class FrameSink(Protocol):
    """Receives frames; implemented by the engine's handle on a stream. One thread at a time."""

    def begin(self, nbytes: int) -> memoryview:
        """Return ``nbytes`` writable bytes of a free slot. A second call discards the first."""

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        """Publish the slot that `begin` returned as the newest frame."""

    def release(self) -> None:
        """Free all slots until the next `begin`."""


@runtime_checkable
class DeviceSink(FrameSink, Protocol):
    """A sink that a CUDA device can also write to."""

    def reserve(self, nbytes: int) -> Reservation:
        """Reserve a slot for ``nbytes`` of a picture from a device; see `RingWriter.reserve`."""

    def announce(self, seq: int) -> None:
        """Tell the media process to expect a frame that a device will write."""


@dataclass(frozen=True, slots=True)
class WriteStats:
    """Counters and times of the frames so far."""

    n_nan: int = 0
    n_inf: int = 0
    """NaN and Inf values in all frames."""
    conversion_ms: float | None = None
    """Time to convert the newest frame to pixels; None before the first frame."""
    copy_ms: float | None = None
    """Time to copy it from its device to the slot; None on the CPU, which writes to the slot."""
