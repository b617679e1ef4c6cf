"""From CUDA tensors to a slot of the ring; the caller launches work and waits for nothing.

    caller's stream   waits until the canvas is free, draws on it
    side stream             waits for that, canvas -> slot, then the frame's number -> slot

Both are launched by `CudaReadback.push`, after which no Python runs for the frame: the GPU writes
to the ring, which is registered as pinned memory, and the media process finds the number there. See
Note [in flight] in ``gpuview.protocol.ring``. Where that is refused, a thread carries the frame on
(`gpuview.frames.cuda.staged`).

Two canvases do. A frame that is drawn while the last one is copied takes the other; one that comes
earlier still waits, on the GPU, for the copy before. So no number of frames that wait behind a slow
computation needs more memory, and the last of them always arrives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch

from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import CudaGpu, Gpu, Mark
from gpuview.frames.cuda.registered import DeviceSink, Direct
from gpuview.frames.cuda.slot_layout import PICTURE_AT
from gpuview.frames.cuda.staged import Bounce
from gpuview.frames.picture.geometry import Plan
from gpuview.frames.picture.layout import Tiles
from gpuview.frames.sink import FrameSink, ReadbackStats

__all__ = ["CudaReadback", "DeviceSink"]


class CudaReadback:
    """Brings frames from one or more devices to a sink, newest frame wins.

    Args:
        sink: Where frames go; a `DeviceSink`, or else they take the way by `Bounce`.
        lock: Held by whoever uses the sink: here by the caller of `push`, and by `Bounce`.
        open_gpu: Makes the handle on a device.
    """

    def __init__(
        self,
        sink: FrameSink,
        lock: threading.Lock,
        open_gpu: Callable[[torch.device], Gpu] = CudaGpu,
    ) -> None:
        self._sink = sink
        self._lock = lock
        self._open_gpu = open_gpu
        self._easels: dict[torch.device, _Easel] = {}
        self._last: _Easel | None = None
        self._direct = Direct.into(sink)
        self._bounce: Bounce | None = None  # where there is no direct way
        self._times: tuple[float | None, float | None] = (None, None)

    def push(self, plan: Plan, tiles: Sequence[Tiles], capture_ns: int) -> None:
        """Queue the work for one frame; the caller holds the lock. Never synchronises.

        Args:
            plan: The same object for each frame of a kind: a new one is a new buffer.
            tiles: One for each panel, all on one device.
            capture_ns: When the frame was pushed.

        Raises:
            MediaError: The sink has no memory for it.
            RuntimeError: The device does not work any more, or has no memory left.
        """
        easel = self._easel(tiles[0].pixels.device)
        gpu = easel.gpu
        with gpu.active():
            canvas = easel.next_canvas(plan)
            seq = self._reserve(gpu, canvas)
            _draw(gpu, canvas, tiles, seq, capture_ns)
            gpu.side.wait(canvas.drawn)
            if self._last is not None and self._last is not easel:
                gpu.side.wait(self._last.sent())  # numbers arrive in order
            gpu.side.record(canvas.copying)
            if self._bounce is not None:
                self._bounce.send(gpu, canvas, capture_ns)
            elif self._direct is not None:
                self._direct.send(gpu, canvas, easel.zero)
            gpu.side.record(canvas.copied)
            canvas.is_used = True
            self._last = easel
        if self._direct is not None:
            self._direct.announce()

    def stats(self) -> ReadbackStats:
        """Return this moment's counters. From any thread.

        The times are the newest frame's that has arrived. Waits for a copy of 16 bytes from each
        device, which overtakes all other work.
        """
        with self._lock:
            if self._last is not None:
                self._times = self._last.times() or self._times
            counters = [(easel.gpu, easel.flaws) for easel in self._easels.values()]
        counts = [gpu.read(flaws) for gpu, flaws in counters]
        conversion_ms, copy_ms = self._times
        return ReadbackStats(
            n_nan=sum(n_nan for n_nan, _ in counts),
            n_inf=sum(n_inf for _, n_inf in counts),
            conversion_ms=conversion_ms,
            copy_ms=copy_ms,
        )

    def close(self) -> None:
        """Give everything back, which for the ring happens once the last copy is done.

        Waits for no device but on the way by `Bounce`, and does not fail where one has failed. The
        caller does not hold the lock.
        """
        with self._lock:
            bounce, self._bounce = self._bounce, None
            if self._direct is not None:
                self._direct.close()
            for easel in self._easels.values():
                easel.keep()
            self._easels.clear()
            self._last = None
        if bounce is not None:
            bounce.close()

    def _easel(self, device: torch.device) -> _Easel:
        easel = self._easels.get(device)
        if easel is None:
            gpu = self._open_gpu(device)
            with gpu.active():
                easel = self._easels[device] = _Easel(gpu)
        return easel

    def _reserve(self, gpu: Gpu, canvas: Canvas) -> int:
        """Return the frame's number on the direct way; 0, and no such way, where there is none."""
        if self._direct is not None:
            seq = self._direct.reserve(gpu, canvas.record.numel() - PICTURE_AT)
            if seq is not None:
                return seq
            self._direct = None
        if self._bounce is None:
            self._bounce = Bounce(self._sink, self._lock)
        return 0


def _draw(gpu: Gpu, canvas: Canvas, tiles: Sequence[Tiles], seq: int, capture_ns: int) -> None:
    current = gpu.current()
    current.wait(canvas.copied)
    current.record(canvas.begun)
    current.run(lambda: canvas.draw(tiles, seq, capture_ns))
    current.record(canvas.drawn)
    for each in tiles:
        gpu.keep(each.pixels, current)  # it may have been made on another stream


class _Easel:
    """What there is for one device."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.flaws = gpu.zeros(2)
        """How many values were NaN, and Inf."""
        self.zero = gpu.zeros(1).view(torch.uint8)
        self._canvases: list[Canvas] = []
        self._sent = gpu.mark()

    def sent(self) -> Mark:
        """Return a mark behind all copies so far."""
        self.gpu.side.record(self._sent)
        return self._sent

    def next_canvas(self, plan: Plan) -> Canvas:
        """Return the canvas that is free the earliest."""
        if self._canvases and self._canvases[0].plan is not plan:
            self.keep()
            self._canvases = []
        if not self._canvases:
            self._canvases = [Canvas(self.gpu, plan, self.flaws) for _ in range(2)]
        self._canvases.reverse()
        return self._canvases[-1]

    def times(self) -> tuple[float, float] | None:
        """Return how many ms the newest frame that has arrived took to be drawn, and copied."""
        for canvas in reversed(self._canvases):
            if canvas.is_used and canvas.copied.is_done():
                drawing_ms = canvas.drawn.ms_since(canvas.begun)
                return drawing_ms, canvas.copied.ms_since(canvas.copying)
        return None

    def keep(self) -> None:
        """Let all memory outlive what is queued."""
        for canvas in self._canvases:
            canvas.keep()
        for tensor in (self.flaws, self.zero):
            self.gpu.keep(tensor, self.gpu.side)
