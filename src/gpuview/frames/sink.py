"""Where pictures go: one stream's ring, as the writers see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gpuview.protocol.ring import PixelFormat, Reservation

__all__ = ["DeviceSink", "FrameSink", "WriteStats"]


class FrameSink(Protocol):
    """Where frames go: the engine's handle on one stream. One thread at a time."""

    def begin(self, nbytes: int) -> memoryview:
        """Return ``nbytes`` writable bytes of a free slot. A second call gives up the first."""

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        """Make the slot that `begin` gave the newest frame."""


@runtime_checkable
class DeviceSink(FrameSink, Protocol):
    """A sink that a CUDA device can also write to."""

    def reserve(self, nbytes: int) -> Reservation:
        """Return where a device shall write ``nbytes`` of a picture; see `RingWriter.reserve`."""

    def announce(self, seq: int) -> None:
        """Tell the media process to expect a frame that a device will write."""


@dataclass(frozen=True, slots=True)
class WriteStats:
    """Counters and times of the frames so far."""

    n_nan: int = 0
    n_inf: int = 0
    """How many values were NaN and Inf, in all frames."""
    conversion_ms: float | None = None
    """How long the newest frame took to become pixels; None before the first one."""
    copy_ms: float | None = None
    """How long it took from its device to the slot; None on the CPU, which writes into the slot."""
