"""Where pictures go: one stream's ring, as the code that writes into it sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gpuview.protocol.ring import PixelFormat

__all__ = ["FrameSink", "ReadbackStats"]


class FrameSink(Protocol):
    """Where frames go: the engine's handle on one stream. One thread at a time."""

    def begin(self, nbytes: int) -> memoryview:
        """Return ``nbytes`` writable bytes of a free slot. Beginning again gives it up."""

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        """Make the slot that `begin` gave the newest frame."""


@dataclass(frozen=True, slots=True)
class ReadbackStats:
    """What became of the frames so far."""

    n_nan: int = 0
    n_inf: int = 0
    """Values that are none, in all frames."""
    conversion_ms: float | None = None
    """How long the newest frame took to become pixels; None before the first one."""
    copy_ms: float | None = None
    """How long it took from its device to the slot; None on the CPU, which writes into the slot."""
