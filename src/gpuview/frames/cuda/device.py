"""The only file that calls CUDA: streams, events, and memory that a GPU may write to.

The rest uses these protocols, so that it can be tested step by step without a GPU. Nothing here
waits for a device, except `Event.wait` and `Gpu.read`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from gpuview.frames.torch_compat import register_host_memory, unregister_host_memory

__all__ = ["CudaGpu", "Event", "Gpu", "Stream"]


class Event(Protocol):
    """A point in a stream. If it is recorded several times, the last time counts."""

    def is_done(self) -> bool:
        """Tell whether all work before it is done; True if it was never recorded."""

    def wait(self) -> None:
        """Block this thread until it is done."""

    def ms_since(self, earlier: Event) -> float:
        """Return the milliseconds between two events that are done."""


class Stream(Protocol):
    """Work that a device does in order. Adding to it never waits."""

    def run(self, work: Callable[[], None]) -> None:
        """Call ``work`` with this as the current stream. The stream's device is current already."""

    def wait(self, event: Event) -> None:
        """Let later work wait for an event of another stream, as it is recorded now."""

    def record(self, event: Event) -> None:
        """Record an event behind all work so far."""


class Gpu(Protocol):
    """One device."""

    device: torch.device
    has_triton: bool
    """Whether a Triton kernel may be tried."""
    copy_stream: Stream
    """Our own stream, for copies to the CPU."""

    def active(self) -> AbstractContextManager[object]:
        """Make it the current device for a while."""

    def current_stream(self) -> Stream:
        """Return the caller's current stream."""

    def new_event(self) -> Event:
        """Make an event."""

    def record_stream(self, tensor: Tensor, stream: Stream) -> None:
        """Once this memory is freed, do not reuse it before the work now in ``stream`` is done."""

    def zeros(self, n: int) -> Tensor:
        """Return int64 zeros for `read`; the current stream waits until they are there."""

    def read(self, tensor: Tensor) -> list[int]:
        """Return what ``tensor`` holds now. Overtakes all other work and waits for this copy."""

    def upload(self, tensor: Tensor) -> Tensor:
        """Copy from the CPU, on the current stream."""

    def pinned(self, nbytes: int) -> Tensor:
        """Return memory of the CPU that the device may write to."""

    def register(self, memory: Tensor) -> bool:
        """Let the device write to this memory of the CPU; False where the system refuses."""

    def unregister(self, memory: Tensor) -> None:
        """Undo `register`, once the device no longer writes there."""


class CudaGpu:
    """A real `Gpu`."""

    has_triton = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.copy_stream: Stream = _CudaStream(_new_stream(device))
        self._read_stream = _new_stream(device)  # has no other work to wait for

    def active(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self.device)

    def current_stream(self) -> _CurrentStream:
        return _CurrentStream(torch.cuda.current_stream(self.device))

    def new_event(self) -> _CudaEvent:
        return _CudaEvent()

    def record_stream(self, tensor: Tensor, stream: Stream) -> None:
        assert isinstance(stream, _CudaStream)
        tensor.record_stream(stream.stream)

    def zeros(self, n: int) -> Tensor:
        with torch.cuda.stream(self._read_stream):
            tensor = torch.zeros(n, dtype=torch.int64, device=self.device)
        torch.cuda.current_stream(self.device).wait_stream(self._read_stream)
        return tensor

    def read(self, tensor: Tensor) -> list[int]:
        with torch.cuda.stream(self._read_stream):
            return list(map(int, tensor.tolist()))

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def pinned(self, nbytes: int) -> Tensor:
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)

    def register(self, memory: Tensor) -> bool:
        with self.active():
            is_registered = register_host_memory(memory)
            if not is_registered:
                self._clear_error()
        return is_registered

    def unregister(self, memory: Tensor) -> None:
        with self.active():
            unregister_host_memory(memory)

    def _clear_error(self) -> None:
        """Clear CUDA's last error, so that the next launch does not report it as its own."""
        with contextlib.suppress(RuntimeError):
            torch.zeros(1, device=self.device)


class _CudaStream:
    """A stream that is not the current one."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream

    def run(self, work: Callable[[], None]) -> None:
        before = torch.cuda.current_stream(self.stream.device)
        torch.cuda.set_stream(self.stream)  # takes half as long as `torch.cuda.stream`
        try:
            work()
        finally:
            torch.cuda.set_stream(before)

    def wait(self, event: Event) -> None:
        assert isinstance(event, _CudaEvent)
        self.stream.wait_event(event.event)

    def record(self, event: Event) -> None:
        assert isinstance(event, _CudaEvent)
        event.event.record(self.stream)


class _CurrentStream(_CudaStream):
    """The caller's current stream."""

    def run(self, work: Callable[[], None]) -> None:
        work()


class _CudaEvent:
    """An event that can be timed. Waiting for it sleeps, without the GIL."""

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]

    def is_done(self) -> bool:
        return bool(self.event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        self.event.synchronize()

    def ms_since(self, earlier: Event) -> float:
        assert isinstance(earlier, _CudaEvent)
        return float(earlier.event.elapsed_time(self.event))


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream that users do not get: theirs are 32 of usual priority, in turns."""
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
