"""From CUDA tensors to a slot of the ring; the caller launches work and never waits.

    caller's stream   waits until the canvas is free, draws on it
    copy stream             waits for that, canvas -> slot, then the frame's number -> slot

`CudaWriter.write` launches both. After that no Python runs for the frame: the ring is registered as
pinned memory, the GPU writes to it, and the media process finds the number there. See Note [in
flight] in ``gpuview.protocol.ring``. If the memory cannot be registered, a thread copies the frame
into the ring (`gpuview.frames.cuda.staged_copy`).

Two canvases are enough. A frame is drawn on one while the other is copied; a third frame waits on
the GPU for the first copy. So frames that queue up behind a slow computation need no extra memory,
and the last of them always arrives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import Event, Gpu
from gpuview.frames.cuda.pinned_copy import RegisteredPath
from gpuview.frames.cuda.staged_copy import StagedPath
from gpuview.frames.picture.geometry import Plan
from gpuview.frames.picture.measured import N_MEASURES, Measured, as_measured
from gpuview.frames.picture.tensor_layout import Tiles
from gpuview.frames.sink import FrameSink, WriteStats
from gpuview.protocol.ring import HEADER_NBYTES

__all__ = ["CudaWriter"]


class CudaWriter:
    """Writes frames from one or more devices to a sink. The newest frame wins.

    Args:
        sink: Where frames go; through `StagedPath` unless it is a `DeviceSink`.
        lock: Held while the sink is used: by the caller of `write`, and by `StagedPath`.
        open_gpu: Creates the handle on a device.
    """

    def __init__(
        self,
        sink: FrameSink,
        lock: threading.Lock,
        open_gpu: Callable[[torch.device], Gpu] = Gpu,
    ) -> None:
        self._sink = sink
        self._lock = lock
        self._open_gpu = open_gpu
        self._states: dict[torch.device, _DeviceState] = {}
        self._last: _DeviceState | None = None
        self._registered = RegisteredPath.to(sink)
        self._staged: StagedPath | None = None  # if memory cannot be registered
        self._times: tuple[float | None, float | None] = (None, None)

    def write(self, plan: Plan, tiles: Sequence[Tiles], capture_ns: int) -> None:
        """Launch the work for one frame; the caller holds the lock. Never synchronises.

        Args:
            plan: The same object for all frames of a kind: a new object gets new buffers.
            tiles: One for each panel, all on one device.
            capture_ns: When the frame was pushed.

        Raises:
            MediaError: The sink has no memory for it.
            RuntimeError: The device has failed or is out of memory.
        """
        state = self._state(tiles[0].pixels.device)
        gpu = state.gpu
        with gpu.active():
            canvas = state.next_canvas(plan)
            seq = self._reserve(gpu, canvas)
            _draw(gpu, canvas, tiles, seq, capture_ns)
            gpu.copy_stream.wait(canvas.drawn)
            if self._last is not None and self._last is not state:
                gpu.copy_stream.wait(self._last.sent())  # numbers arrive in order
            gpu.copy_stream.record(canvas.copying)
            if self._staged is not None:
                self._staged.send(gpu, canvas, capture_ns)
            elif self._registered is not None:
                self._registered.send(gpu, canvas, state.zero)
            gpu.copy_stream.record(canvas.copied)
            canvas.is_used = True
            self._last = state
        if self._registered is not None:
            self._registered.announce()

    def measure(
        self, tiles: Sequence[Tiles], is_measured: Sequence[bool]
    ) -> Callable[[], list[Measured]]:
        """Launch measuring the frame just written; the caller holds the lock. Never synchronises.

        Args:
            tiles: As for `write`.
            is_measured: Which of them to measure.

        Returns:
            A function that waits for the result. Other threads may call it without the lock.
        """
        assert self._last is not None
        gpu, canvas = self._last.gpu, self._last.canvas
        measured, copied = gpu.new_event(), gpu.new_event()
        shape = (len(tiles), N_MEASURES)
        found = gpu.pinned(8 * len(tiles) * N_MEASURES).view(torch.float64).view(shape)
        with gpu.active():
            current = gpu.current_stream()
            measures = torch.empty(shape, dtype=torch.float64, device=gpu.device)
            current.run(lambda: canvas.measure(tiles, is_measured, measures))
            current.record(measured)
            gpu.copy_stream.wait(measured)
            gpu.copy_stream.run(lambda: _copy(found, measures))
            gpu.copy_stream.record(copied)
            gpu.record_stream(measures, gpu.copy_stream)
            for each in tiles:
                gpu.record_stream(each.pixels, current)

        def read() -> list[Measured]:
            copied.wait()
            return [
                as_measured(each) if is_wanted else Measured()
                for each, is_wanted in zip(found.tolist(), is_measured, strict=True)
            ]

        return read

    def stats(self) -> WriteStats:
        """Return the current counters. From any thread.

        The times are those of the newest frame that has arrived. Waits for a copy of 16 bytes from
        each device, which overtakes all other work.
        """
        with self._lock:
            if self._last is not None:
                self._times = self._last.times() or self._times
            counters = [(state.gpu, state.nonfinite) for state in self._states.values()]
        counts = [gpu.read(nonfinite) for gpu, nonfinite in counters]
        conversion_ms, copy_ms = self._times
        return WriteStats(
            n_nan=sum(n_nan for n_nan, _ in counts),
            n_inf=sum(n_inf for _, n_inf in counts),
            conversion_ms=conversion_ms,
            copy_ms=copy_ms,
        )

    def close(self) -> None:
        """Free everything; the ring is unregistered once the last copy is done.

        Waits for a device only if a frame is in a `StagedPath`. Does not raise if a device has
        failed. The caller must not hold the lock.
        """
        with self._lock:
            staged, self._staged = self._staged, None
            if self._registered is not None:
                self._registered.close()
            for state in self._states.values():
                state.record_use()
            self._states.clear()
            self._last = None
        if staged is not None:
            staged.close()

    def _state(self, device: torch.device) -> _DeviceState:
        state = self._states.get(device)
        if state is None:
            gpu = self._open_gpu(device)
            with gpu.active():
                state = self._states[device] = _DeviceState(gpu)
        return state

    def _reserve(self, gpu: Gpu, canvas: Canvas) -> int:
        """Return the frame's number; 0 if the memory cannot be registered."""
        if self._registered is not None:
            seq = self._registered.reserve(gpu, canvas.record.numel() - HEADER_NBYTES)
            if seq is not None:
                return seq
            self._registered = None
        if self._staged is None:
            self._staged = StagedPath(self._sink, self._lock)
        return 0


def _draw(gpu: Gpu, canvas: Canvas, tiles: Sequence[Tiles], seq: int, capture_ns: int) -> None:
    current = gpu.current_stream()
    current.wait(canvas.copied)
    current.record(canvas.begun)
    current.run(lambda: canvas.draw(tiles, seq, capture_ns))
    current.record(canvas.drawn)
    for each in tiles:
        gpu.record_stream(each.pixels, current)  # it may have been made on another stream


def _copy(target: Tensor, source: Tensor) -> None:
    target.copy_(source, non_blocking=True)


class _DeviceState:
    """The buffers, counters and events of one device."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.nonfinite = gpu.zeros(2)
        """The numbers of NaN and Inf so far."""
        self.zero = gpu.zeros(1).view(torch.uint8)
        self._canvases: list[Canvas] = []
        self._sent = gpu.new_event()

    def sent(self) -> Event:
        """Return an event recorded after all copies so far."""
        self.gpu.copy_stream.record(self._sent)
        return self._sent

    def next_canvas(self, plan: Plan) -> Canvas:
        """Return the canvas that is free first."""
        if self._canvases and self._canvases[0].plan is not plan:
            self.record_use()
            self._canvases = []
        if not self._canvases:
            self._canvases = [Canvas(self.gpu, plan, self.nonfinite) for _ in range(2)]
        self._canvases.reverse()
        return self._canvases[-1]

    @property
    def canvas(self) -> Canvas:
        """The canvas of the newest frame."""
        return self._canvases[-1]

    def times(self) -> tuple[float, float] | None:
        """Return the drawing and copying times of the newest frame that has arrived, in ms."""
        for canvas in reversed(self._canvases):
            if canvas.is_used and canvas.copied.is_done():
                drawing_ms = canvas.drawn.ms_since(canvas.begun)
                return drawing_ms, canvas.copied.ms_since(canvas.copying)
        return None

    def record_use(self) -> None:
        """Do not let the allocator reuse any memory before the queued work is done."""
        for canvas in self._canvases:
            canvas.record_use()
        for tensor in (self.nonfinite, self.zero):
            self.gpu.record_stream(tensor, self.gpu.copy_stream)
