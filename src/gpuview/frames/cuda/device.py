"""The only place that speaks CUDA: queues of work, marks in them, memory that a GPU may write to.

Protocols, so that what is built on them can be tested step by step without a GPU. Nothing here
waits for a device, except `Mark.wait` and `Gpu.read`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from gpuview.frames.torch_compat import register_host_memory, unregister_host_memory

__all__ = ["CudaGpu", "Gpu", "Mark", "Queue"]


class Mark(Protocol):
    """A point in a queue; where it was set last counts."""

    def is_done(self) -> bool:
        """Tell whether everything before it has been done; True if it was never set."""

    def wait(self) -> None:
        """Block this thread until it is done."""

    def ms_since(self, earlier: Mark) -> float:
        """Return the milliseconds between two marks that are done."""


class Queue(Protocol):
    """Work that a device does in order. Adding to it never waits."""

    def run(self, work: Callable[[], None]) -> None:
        """Call ``work``, which launches something on the current stream, for this queue.

        Its device is current.
        """

    def wait(self, mark: Mark) -> None:
        """Let what follows wait until a mark of another queue is done, as it is set now."""

    def record(self, mark: Mark) -> None:
        """Set a mark behind all that was added so far."""


class Gpu(Protocol):
    """One device."""

    device: torch.device
    has_triton: bool
    """Whether a Triton kernel may be tried."""
    side: Queue
    """Our own queue, for copies."""

    def active(self) -> AbstractContextManager[object]:
        """Make it the current device for a while."""

    def current(self) -> Queue:
        """Return the caller's current queue."""

    def mark(self) -> Mark:
        """Make a mark."""

    def keep(self, tensor: Tensor, queue: Queue) -> None:
        """Do not give this memory away, once freed, before what is in ``queue`` now is done."""

    def zeros(self, n: int) -> Tensor:
        """Return int64 zeros that `read` may read at any time; ``current`` has to wait for them."""

    def read(self, tensor: Tensor) -> list[int]:
        """Return what is in ``tensor`` now, whatever is queued; waits for this copy alone."""

    def upload(self, tensor: Tensor) -> Tensor:
        """Copy from the CPU, on the current stream."""

    def pinned(self, nbytes: int) -> Tensor:
        """Return memory of the CPU that the device may write to."""

    def register(self, memory: Tensor) -> bool:
        """Let the device write to this memory of the CPU; False where the system refuses that."""

    def unregister(self, memory: Tensor) -> None:
        """Take that back, when the device no longer writes there."""


class CudaGpu:
    """A `Gpu` that is one."""

    has_triton = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.side: Queue = _CudaQueue(_new_stream(device))
        self._asking = _new_stream(device)  # so that an answer waits for nothing

    def active(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self.device)

    def current(self) -> _CurrentQueue:
        return _CurrentQueue(torch.cuda.current_stream(self.device))

    def mark(self) -> _CudaMark:
        return _CudaMark()

    def keep(self, tensor: Tensor, queue: Queue) -> None:
        assert isinstance(queue, _CudaQueue)
        tensor.record_stream(queue.stream)

    def zeros(self, n: int) -> Tensor:
        with torch.cuda.stream(self._asking):
            tensor = torch.zeros(n, dtype=torch.int64, device=self.device)
        torch.cuda.current_stream(self.device).wait_stream(self._asking)
        return tensor

    def read(self, tensor: Tensor) -> list[int]:
        with torch.cuda.stream(self._asking):
            return list(map(int, tensor.tolist()))

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def pinned(self, nbytes: int) -> Tensor:
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)

    def register(self, memory: Tensor) -> bool:
        with self.active():
            is_registered = register_host_memory(memory)
            if not is_registered:
                self._forget_error()
        return is_registered

    def unregister(self, memory: Tensor) -> None:
        with self.active():
            unregister_host_memory(memory)

    def _forget_error(self) -> None:
        """Take CUDA's last error away, which the next launch would report as its own."""
        with contextlib.suppress(RuntimeError):
            torch.zeros(1, device=self.device)


class _CudaQueue:
    """A stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream

    def run(self, work: Callable[[], None]) -> None:
        before = torch.cuda.current_stream(self.stream.device)
        torch.cuda.set_stream(self.stream)  # half of what `torch.cuda.stream` takes
        try:
            work()
        finally:
            torch.cuda.set_stream(before)

    def wait(self, mark: Mark) -> None:
        assert isinstance(mark, _CudaMark)
        self.stream.wait_event(mark.event)

    def record(self, mark: Mark) -> None:
        assert isinstance(mark, _CudaMark)
        mark.event.record(self.stream)


class _CurrentQueue(_CudaQueue):
    """The caller's current stream, which need not be made current."""

    def run(self, work: Callable[[], None]) -> None:
        work()


class _CudaMark:
    """An event that can be timed; waiting for it sleeps, and gives the GIL away."""

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]

    def is_done(self) -> bool:
        return bool(self.event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        self.event.synchronize()

    def ms_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _CudaMark)
        return float(earlier.event.elapsed_time(self.event))


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    """Return one that is not the user's, who gets the 32 of usual priority, again and again."""
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
