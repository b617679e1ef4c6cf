"""The way into the ring where a GPU may not write there: by pinned memory and a thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import Gpu, Mark
from gpuview.frames.cuda.slot_layout import PICTURE_AT
from gpuview.protocol.ring import PixelFormat

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["Bounce"]

_JOIN_S = 2.0


@dataclass(slots=True)
class _Staging:
    """A picture on its way through pinned memory."""

    gpu: Gpu
    i420: Tensor
    arrived: Mark
    width: int = 0
    height: int = 0
    capture_ns: int = 0


class Bounce:
    """Two staging buffers for each device: the thread reads one, the newest frame goes to another.

    A frame that the thread has not begun with when the next one comes is dropped.

    Args:
        sink: Where frames go.
        lock: Held by whoever uses the sink: here by the thread, while it publishes, and by the
            caller of `send`.
    """

    def __init__(self, sink: FrameSink, lock: threading.Lock) -> None:
        self._sink = sink
        self._changed = threading.Condition(lock)
        self._newest: _Staging | None = None
        self._reading: _Staging | None = None
        self._buffers: list[_Staging] = []
        self._failure: Exception | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="gpuview-readback", daemon=True)
        self._thread.start()

    def send(self, gpu: Gpu, canvas: Canvas, capture_ns: int) -> None:
        """Queue the copy of what is drawn, on the device's side queue; the caller holds the lock.

        Raises:
            Exception: Why an earlier frame did not arrive: a CUDA error, or the sink's. Each is
                raised once.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        picture = canvas.record[PICTURE_AT:]
        staging = self._free(gpu, picture.numel())
        staging.height, staging.width = canvas.plan.height, canvas.plan.width
        staging.capture_ns = capture_ns
        gpu.side.run(lambda: _copy(staging.i420, picture))
        gpu.side.record(staging.arrived)
        self._newest = staging
        self._changed.notify()

    def close(self) -> None:
        """Drop what is under way and end the thread, which may wait for a device, for 2 s at most.

        The caller does not hold the lock.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_JOIN_S)

    def _free(self, gpu: Gpu, nbytes: int) -> _Staging:
        """Return a buffer that the thread does not read; it may be the newest frame's.

        Each is one device's, as its mark is: so a copy into it follows the one before.
        """
        fitting = [each for each in self._buffers if each.i420.numel() == nbytes]
        for each in fitting:
            if each.gpu is gpu and each is not self._reading:
                return each
        staging = _Staging(gpu, gpu.pinned(nbytes), gpu.mark())
        self._buffers = [*fitting, staging]
        return staging

    def _run(self) -> None:
        while (staging := self._take()) is not None:
            try:
                staging.arrived.wait()
                self._publish(staging)
            except Exception as exc:
                self._failure = exc  # the next `send` raises it

    def _take(self) -> _Staging | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._newest is not None)
            self._reading, self._newest = self._newest, None
            return None if self._is_closed else self._reading

    def _publish(self, staging: _Staging) -> None:
        with self._changed:
            if self._is_closed:
                return
            slot = self._sink.begin(staging.i420.numel())
            # Holds the GIL: a copy that gives it away gets it back late in a busy kernel.
            slot[:] = staging.i420.numpy().data
            self._sink.publish(PixelFormat.I420, staging.width, staging.height, staging.capture_ns)


def _copy(target: Tensor, source: Tensor) -> None:
    target.copy_(source, non_blocking=True)
