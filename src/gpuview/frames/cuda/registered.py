"""The way into the ring where a GPU may write there: nothing but the GPU touches a frame."""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import Gpu
from gpuview.frames.sink import FrameSink
from gpuview.protocol.ring import Reservation

__all__ = ["DeviceSink", "Direct"]

_SEQ_NBYTES = 8


@runtime_checkable
class DeviceSink(FrameSink, Protocol):
    """A sink that a device can write to, too."""

    def reserve(self, nbytes: int) -> Reservation:
        """Return where a device is to write a picture of ``nbytes``; see `RingWriter.reserve`."""

    def announce(self, seq: int) -> None:
        """Let the media process expect a frame, whose writing is queued."""


class Direct:
    """Reserves a slot, launches the copy into it, announces it: in this order, for each frame.

    A ring is registered when its first frame comes. When another one takes its place, a thread
    waits for the last copy into it; nobody else does. One thread at a time.

    Args:
        sink: Where frames go.
    """

    def __init__(self, sink: DeviceSink) -> None:
        self._sink = sink
        self._slot: Reservation | None = None
        self._ring: _Ring | None = None

    @classmethod
    def into(cls, sink: FrameSink) -> Direct | None:
        """Return the way into ``sink``, if it has one."""
        return cls(sink) if isinstance(sink, DeviceSink) else None

    def reserve(self, gpu: Gpu, nbytes: int) -> int | None:
        """Return the next frame's number; None where the memory cannot be registered.

        Raises:
            MediaError: The sink has no memory for it.
        """
        slot = self._sink.reserve(nbytes)
        if self._ring is None or self._ring.memory is not slot.memory:
            self.close()
            memory = torch.frombuffer(slot.memory, dtype=torch.uint8)
            if not gpu.register(memory):
                return None
            self._ring = _Ring(slot.memory, memory, gpu)
        self._slot = slot
        return slot.seq

    def send(self, gpu: Gpu, canvas: Canvas, zero: Tensor) -> None:
        """Launch the copies of what is drawn, on the device's side queue.

        Args:
            gpu: Where the canvas is.
            canvas: Drawn with the number that was reserved.
            zero: 8 bytes of zeros there.
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

        gpu.side.run(launch)

    def announce(self) -> None:
        """Say that the frame is on its way."""
        assert self._slot is not None
        self._sink.announce(self._slot.seq)

    def close(self) -> None:
        """Give the ring up. Waits for no device."""
        ring, self._ring, self._slot = self._ring, None, None
        if ring is not None:
            ring.retire()


class _Ring:
    """A ring's memory, as devices write to it."""

    def __init__(self, memory: memoryview, registered: Tensor, gpu: Gpu) -> None:
        self.memory = memory
        self.last_gpu = gpu
        """Whose copies come last; they wait for those of any other device."""
        self._registered = registered
        self._parts: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def part(self, slot: Reservation, nbytes: int) -> tuple[Tensor, Tensor]:
        """Return where the record goes, and where its number; made once, then looked up."""
        key = (slot.index, nbytes)
        if key not in self._parts:
            record = self._registered[slot.record_at : slot.record_at + nbytes]
            seq = self._registered[slot.seq_at : slot.seq_at + _SEQ_NBYTES]
            self._parts[key] = (record, seq)
        return self._parts[key]

    def retire(self) -> None:
        """Take the registration back once all that is queued is done, on a thread that waits."""
        gpu, done = self.last_gpu, self.last_gpu.mark()
        has_failed = contextlib.suppress(RuntimeError)  # such a device writes nothing more
        with has_failed, gpu.active():
            gpu.side.record(done)

        def work() -> None:
            with has_failed:
                done.wait()
            with has_failed:
                gpu.unregister(self._registered)

        threading.Thread(target=work, name="gpuview-retire", daemon=True).start()
