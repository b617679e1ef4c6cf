"""A real ring with both its ends in this process, in the engine's place."""

from __future__ import annotations

import os

from gpuview.protocol.ring import (
    DEVICE_SLOTS,
    HOST_SLOTS,
    PixelFormat,
    Reservation,
    RingReader,
    RingWriter,
    Slot,
)

__all__ = ["RingSink"]


class RingSink:
    """A `gpuview.frames.cuda.DeviceSink` whose frames can be read here."""

    def __init__(self) -> None:
        self._writer: RingWriter | None = None
        self._reader: RingReader | None = None

    def begin(self, nbytes: int) -> memoryview:
        return self._ring(nbytes, HOST_SLOTS).begin(nbytes)

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        assert self._writer is not None
        self._writer.publish(pixel_format, width, height, capture_ns)

    def reserve(self, nbytes: int) -> Reservation:
        return self._ring(nbytes, DEVICE_SLOTS).reserve(nbytes)

    def announce(self, seq: int) -> None:
        assert self._writer is not None
        self._writer.announce(seq)

    def newest(self) -> Slot:
        """Return the newest frame, read in place."""
        assert self._reader is not None
        slot = self._reader.take()
        assert slot is not None
        return slot

    def close(self) -> None:
        for end in (self._writer, self._reader):
            if end is not None:
                end.close()
        self._writer = self._reader = None

    def _ring(self, nbytes: int, n_slots: int) -> RingWriter:
        """Return the ring, made anew when it has not room for such frames."""
        ring = self._writer
        if ring is None or nbytes > ring.slot_nbytes or n_slots > ring.n_slots:
            self.close()
            ring = self._writer = RingWriter.create(nbytes, n_slots)
            self._reader = RingReader.attach(os.dup(ring.fd))
        return ring
