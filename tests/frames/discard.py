"""A sink for tests that look at something else than the frames."""

from __future__ import annotations

from gpuview.protocol.pixel_format import PixelFormat

__all__ = ["DiscardingSink"]


class DiscardingSink:
    """Takes frames, and keeps none."""

    def begin(self, nbytes: int) -> memoryview:
        return memoryview(bytearray(nbytes))

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        pass
