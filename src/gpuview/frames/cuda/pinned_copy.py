"""The path on which the GPU writes to the ring itself, whose memory is registered (pinned)."""

from __future__ import annotations

import contextlib
import threading

import torch
from torch import Tensor

from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import Gpu
from gpuview.frames.sink import DeviceSink, FrameSink
from gpuview.protocol.ring import Reservation

__all__ = ["RegisteredPath"]

_SEQ_NBYTES = 8


class RegisteredPath:
    """For each frame: reserves a slot, launches the copy into it, and announces it.

    A ring is registered with its first frame. When another ring replaces it, a thread waits for the
    last copy into the old ring and unregisters it. One thread at a time.

    Args:
        sink: Where frames go.
    """

    def __init__(self, sink: DeviceSink) -> None:
        self._sink = sink
        self._slot: Reservation | None = None
        self._ring: _RegisteredRing | None = None

    @classmethod
    def to(cls, sink: FrameSink) -> RegisteredPath | None:
        """Return a path to ``sink`` if a device can write to it."""
        return cls(sink) if isinstance(sink, DeviceSink) else None

    def reserve(self, gpu: Gpu, nbytes: int) -> int | None:
        """Return the next frame's number; None if the memory cannot be registered.

        Raises:
            MediaError: The sink has no memory for it.
        """
        slot = self._sink.reserve(nbytes)
        if self._ring is None or self._ring.memory is not slot.memory:
            self.close()
            memory = torch.frombuffer(slot.memory, dtype=torch.uint8)
            if not gpu.register(memory):
                return None
            self._ring = _RegisteredRing(slot.memory, memory, gpu)
        self._slot = slot
        return slot.seq

    def send(self, gpu: Gpu, canvas: Canvas, zero: Tensor) -> None:
        """Launch the copies of a drawn canvas, on the device's copy stream.

        Args:
            gpu: The canvas' device.
            canvas: Drawn with the number that was reserved.
            zero: 8 bytes of zeros on the device.
        """
        assert self._slot is not None
        assert self._ring is not None
        ring, slot = self._ring, self._slot
        ring.last_gpu = gpu
        record, seq = ring.part(slot, canvas.record.numel())

        def launch() -> None:
            if slot.is_in_flight:  # see Note [in flight] in `gpuview.protocol.ring`
                seq.copy_(zero, non_blocking=True)
            record.copy_(canvas.record, non_blocking=True)
            seq.copy_(canvas.seq_bytes, non_blocking=True)

        gpu.copy_stream.run(launch)

    def announce(self) -> None:
        """Tell the media process to expect the frame."""
        assert self._slot is not None
        self._sink.announce(self._slot.seq)

    def close(self) -> None:
        """Release the ring. Does not wait for a device."""
        ring, self._ring, self._slot = self._ring, None, None
        if ring is not None:
            ring.retire()


class _RegisteredRing:
    """A ring's memory, registered for devices to write to it."""

    def __init__(self, memory: memoryview, registered: Tensor, gpu: Gpu) -> None:
        self.memory = memory
        self.last_gpu = gpu
        """The device of the last copy, which waits for all earlier copies."""
        self._registered = registered
        self._parts: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def part(self, slot: Reservation, nbytes: int) -> tuple[Tensor, Tensor]:
        """Return the destinations of the record and of its number; cached."""
        key = (slot.index, nbytes)
        if key not in self._parts:
            record = self._registered[slot.record_at : slot.record_at + nbytes]
            seq = self._registered[slot.seq_at : slot.seq_at + _SEQ_NBYTES]
            self._parts[key] = (record, seq)
        return self._parts[key]

    def retire(self) -> None:
        """Unregister the memory, on a thread that waits until all queued work is done."""
        gpu, done = self.last_gpu, self.last_gpu.new_event()
        if_failed = contextlib.suppress(RuntimeError)  # a failed device writes nothing more
        with if_failed, gpu.active():
            gpu.copy_stream.record(done)

        def work() -> None:
            with if_failed:
                done.wait()
            with if_failed:
                gpu.unregister(self._registered)

        threading.Thread(target=work, name="gpuview-retire", daemon=True).start()
