"""From a CUDA tensor to a slot of the ring; the caller launches work and waits for nothing.

    caller's stream    rgb -> i420, event
    side stream              waits for the event, i420 -> pinned staging buffer, event
    thread                          waits for that event, staging -> slot, publish

Two staging buffers do: the thread reads one, the newest frame goes to the other. A frame that the
thread has not begun with when the next one comes is dropped.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gpuview.frames.layout import FrameView
from gpuview.frames.yuv import rgb_to_i420
from gpuview.wire.ring import PixelFormat

if TYPE_CHECKING:
    from gpuview.frames.readback import FrameSink

__all__ = ["CudaReadback"]

_JOIN_S = 2.0


@dataclass(frozen=True, slots=True)
class _Staged:
    """A frame on its way to pinned memory."""

    i420: Tensor
    """``(H * W * 3 / 2,)`` uint8, pinned; whole once ``copied`` has happened."""
    width: int
    height: int
    capture_ns: int
    copied: torch.cuda.Event


class CudaReadback:
    """Brings frames from one or more devices to a sink, newest frame wins.

    Args:
        sink: Where frames go.
        lock: Held by whoever uses the sink: here by the thread, while it publishes, and by the
            caller of `push`.
    """

    def __init__(self, sink: FrameSink, lock: threading.Lock) -> None:
        self._sink = sink
        self._changed = threading.Condition(lock)
        self._newest: _Staged | None = None
        self._reading: _Staged | None = None
        self._buffers: list[Tensor] = []
        self._side_streams: dict[torch.device, torch.cuda.Stream] = {}
        self._failure: Exception | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="gpuview-readback", daemon=True)
        self._thread.start()

    def push(self, view: FrameView, capture_ns: int) -> None:
        """Queue the work for one frame; the caller holds the lock. Never synchronises.

        Raises:
            Exception: What ended the thread: a CUDA error, or the sink's.
        """
        if self._failure is not None:
            raise self._failure
        height, width = view.planes.shape[1:]
        with torch.cuda.device(view.planes.device):
            i420 = rgb_to_i420(view.planes.expand(3, -1, -1))
            staging = self._free_buffer(i420.numel())
            copied = self._copy_aside(i420, staging)
        self._newest = _Staged(staging, width, height, capture_ns, copied)
        self._changed.notify()

    def close(self) -> None:
        """Drop what is under way and end the thread. The caller does not hold the lock."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_JOIN_S)

    def _free_buffer(self, nbytes: int) -> Tensor:
        """Return the pinned buffer that the thread does not read; it may be the newest frame's."""
        in_use = None if self._reading is None else self._reading.i420
        for buffer in self._buffers:
            if buffer is not in_use and buffer.numel() == nbytes:
                return buffer
        buffer = torch.empty(nbytes, dtype=torch.uint8, device="cpu", pin_memory=True)
        others = [other for other in self._buffers if other is in_use]
        self._buffers = [*others, buffer]
        return buffer

    def _copy_aside(self, i420: Tensor, staging: Tensor) -> torch.cuda.Event:
        """Launch the copy on a stream of our own, so that the caller's next work does not queue."""
        side = self._side_streams.get(i420.device)
        if side is None:
            side = self._side_streams[i420.device] = torch.cuda.Stream(  # type: ignore[no-untyped-call]
                i420.device
            )
        side.wait_stream(torch.cuda.current_stream())
        if self._newest is not None:  # the frame that is dropped for this one, perhaps half copied
            side.wait_event(self._newest.copied)
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(side):
            staging.copy_(i420, non_blocking=True)
            copied.record(side)
        i420.record_stream(side)  # the allocator must not give this memory away before the copy
        return copied

    def _run(self) -> None:
        try:
            while (staged := self._take()) is not None:
                staged.copied.synchronize()  # gives the GIL away
                self._publish(staged)
        except Exception as exc:
            self._failure = exc  # the next push raises it

    def _take(self) -> _Staged | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._newest is not None)
            self._reading, self._newest = self._newest, None
            return None if self._is_closed else self._reading

    def _publish(self, staged: _Staged) -> None:
        with self._changed:
            if self._is_closed:
                return
            slot = self._sink.begin(staged.i420.numel())
            # Holds the GIL, see `Readback`.
            slot[:] = staged.i420.numpy().data
            self._sink.publish(PixelFormat.I420, staged.width, staged.height, staged.capture_ns)
