"""What the media process gets to encode, through a real ring and its own converter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpuview.media.encode.convert import SlotConverter
from tests.frames.ring import RingSink

__all__ = ["EncoderSink", "planes_of"]

Plane = npt.NDArray[np.uint8]


class EncoderSink(RingSink):
    """A ring whose frames are read as the encoder gets them."""

    def __init__(self) -> None:
        super().__init__()
        self._converter = SlotConverter()

    def begin(self, nbytes: int) -> memoryview:
        slot = super().begin(nbytes)
        slot[:] = b"\x63" * nbytes  # so that bytes that are never written show
        return slot

    def shown(self) -> tuple[Plane, Plane, Plane]:
        """Return y, cb and cr of the newest frame, as they are encoded."""
        slot = self.newest()
        frame = self._converter.convert(slot)
        assert frame is not None
        return planes_of(frame.to_ndarray(), slot.height, slot.width)


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
