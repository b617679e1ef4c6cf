"""What the media process gets to encode, through a real ring and its own converter."""

from __future__ import annotations

import os
from typing import Self

import numpy as np
import numpy.typing as npt

from gpuview.media.encode.convert import SlotConverter
from gpuview.protocol.ring import PixelFormat, RingReader, RingWriter, Slot

__all__ = ["RingSink", "planes_of"]

Plane = npt.NDArray[np.uint8]


class RingSink:
    """A `FrameSink` that writes into a ring, which is read as the media process does."""

    def __init__(self) -> None:
        self._writer: RingWriter | None = None
        self._reader: RingReader | None = None
        self._converter = SlotConverter()
        self.frames = 0

    def begin(self, nbytes: int) -> memoryview:
        if self._writer is None or self._writer.slot_nbytes < nbytes:
            self.close()
            self._writer = RingWriter.create(nbytes)
            self._reader = RingReader.attach(os.dup(self._writer.fd))
        slot = self._writer.begin(nbytes)
        slot[:] = b"\x63" * nbytes  # what nobody writes is seen
        return slot

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        assert self._writer is not None
        self._writer.publish(pixel_format, width, height, capture_ns)
        self.frames += 1

    def slot(self) -> Slot:
        """Return the newest frame, as it is in the ring."""
        assert self._reader is not None
        slot = self._reader.take()
        assert slot is not None
        return slot

    def shown(self) -> tuple[Plane, Plane, Plane]:
        """Return y, cb and cr of the newest frame, as they are encoded."""
        slot = self.slot()
        frame = self._converter.convert(slot)
        assert frame is not None
        return planes_of(frame.to_ndarray(), slot.height, slot.width)

    def close(self) -> None:
        for end in (self._writer, self._reader):
            if end is not None:
                end.close()
        self._writer = self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def planes_of(i420: npt.NDArray[np.uint8], height: int, width: int) -> tuple[Plane, Plane, Plane]:
    """Return the three planes that follow each other in ``i420``."""
    flat = i420.reshape(-1)
    n = height * width
    halves = (height // 2, width // 2)
    return (
        flat[:n].reshape(height, width),
        flat[n : n * 5 // 4].reshape(halves),
        flat[n * 5 // 4 :].reshape(halves),
    )
