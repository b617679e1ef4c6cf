"""The path through pinned staging buffers, for rings whose memory cannot be registered."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import Event, Gpu
from gpuview.protocol.pixel_format import PixelFormat

if TYPE_CHECKING:
    from gpuview.frames.sink import FrameSink

__all__ = ["StagedPath"]

_JOIN_S = 2.0


@dataclass(slots=True)
class _Staging:
    """One staging buffer and its picture."""

    gpu: Gpu
    i420: Tensor
    arrived: Event
    width: int = 0
    height: int = 0
    capture_ns: int = 0


class StagedPath:
    """Two buffers for each device: a thread reads one, and the newest frame goes to the other.

    A frame is dropped if the next frame comes before the thread begins to read it.

    Args:
        sink: Where frames go.
        lock: Held while the sink is used: by the thread, and by the caller of `send`.
    """

    def __init__(self, sink: FrameSink, lock: threading.Lock) -> None:
        self._sink = sink
        self._changed = threading.Condition(lock)
        self._newest: _Staging | None = None
        self._reading: _Staging | None = None
        self._buffers: list[_Staging] = []
        self._failure: Exception | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="gpuview-staging", daemon=True)
        self._thread.start()

    def send(self, gpu: Gpu, canvas: Canvas, capture_ns: int) -> None:
        """Launch the copy of a drawn canvas on the copy stream; the caller holds the lock.

        Raises:
            Exception: CUDA's or the sink's error for an earlier frame. Each is raised once.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        picture = canvas.i420  # without RGB: what is copied twice should be small
        staging = self._free(gpu, picture.numel())
        staging.height, staging.width = canvas.plan.height, canvas.plan.width
        staging.capture_ns = capture_ns
        gpu.copy_stream.run(lambda: _copy(staging.i420, picture))
        gpu.copy_stream.record(staging.arrived)
        self._newest = staging
        self._changed.notify()

    def close(self) -> None:
        """Drop the frames in flight and end the thread. Waits for a slow device, at most 2 s.

        The caller must not hold the lock.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_JOIN_S)

    def _free(self, gpu: Gpu, nbytes: int) -> _Staging:
        """Return a buffer that the thread is not reading; it may hold the newest frame.

        Each buffer belongs to one device, so that copies into it stay in order.
        """
        fitting = [each for each in self._buffers if each.i420.numel() == nbytes]
        for each in fitting:
            if each.gpu is gpu and each is not self._reading:
                return each
        staging = _Staging(gpu, gpu.pinned(nbytes), gpu.new_event())
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
            # Holds the GIL: in a busy kernel, a copy that released it would get it back late.
            slot[:] = staging.i420.numpy().data
            self._sink.publish(PixelFormat.I420, staging.width, staging.height, staging.capture_ns)


def _copy(target: Tensor, source: Tensor) -> None:
    target.copy_(source, non_blocking=True)
