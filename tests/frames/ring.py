"""A real ring with both its ends in this process, in the engine's place."""

from __future__ import annotations

import os
from typing import Self

from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import (
    DEVICE_SLOTS,
    HOST_SLOTS,
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

    @property
    def reader(self) -> RingReader:
        """The end that the media process has."""
        assert self._reader is not None
        return self._reader

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
        slot = self.reader.take()
        assert slot is not None
        assert slot.is_whole()
        return slot

    def close(self) -> None:
        for end in (self._writer, self._reader):
            if end is not None:
                end.close()
        self._writer = self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ring(self, nbytes: int, n_slots: int) -> RingWriter:
        """Return the ring, made anew when it has no room for such frames."""
        ring = self._writer
        if ring is None or nbytes > ring.slot_nbytes or n_slots > ring.n_slots:
            seq = ring.seq if ring is not None else 0
            self.close()
            ring = self._writer = RingWriter.create(nbytes, n_slots, seq)
            self._reader = RingReader.attach(os.dup(ring.fd))
        return ring
