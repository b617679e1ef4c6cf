"""The only file that calls CUDA: streams, events, and memory that a GPU can write to.

The tests put a GPU of their own in place of `Gpu`, one that works step by step. Nothing here waits
for a device except `Event.wait` and `Gpu.read`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor

from gpuview.frames.torch_compat import register_host_memory, unregister_host_memory

__all__ = ["Event", "Gpu", "Stream", "reading_stream"]


class Event:
    """A CUDA event with timing. If it is recorded several times, the last time counts."""

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]

    def is_done(self) -> bool:
        """Tell whether all work before the event is done; True if it was never recorded."""
        return bool(self.event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Block this thread until the event is done. It sleeps, without the GIL."""
        self.event.synchronize()

    def ms_since(self, earlier: Event) -> float:
        """Return the milliseconds between two events that are done."""
        return float(earlier.event.elapsed_time(self.event))


class Stream:
    """A CUDA stream. Its methods launch work and never wait."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream

    def run(self, work: Callable[[], None]) -> None:
        """Call ``work`` with this as the current stream. Its device must be current already."""
        before = torch.cuda.current_stream(self.stream.device)
        torch.cuda.set_stream(self.stream)  # twice as fast as `torch.cuda.stream`
        try:
            work()
        finally:
            torch.cuda.set_stream(before)

    def wait(self, event: Event) -> None:
        """Make later work on this stream wait for the event, as it is recorded now."""
        self.stream.wait_event(event.event)

    def record(self, event: Event) -> None:
        """Record the event after all work so far."""
        event.event.record(self.stream)


class _CurrentStream(Stream):
    """The caller's current stream."""

    def run(self, work: Callable[[], None]) -> None:
        work()


class Gpu:
    """One CUDA device."""

    has_triton = True
    """Whether to try the Triton kernel."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.copy_stream = Stream(_new_stream(device))
        """Our own stream, for copies to the CPU."""
        self._read_stream = _new_stream(device)  # without other work to wait for

    def active(self) -> AbstractContextManager[object]:
        """Return a context manager that makes this the current device."""
        return torch.cuda.device(self.device)

    def current_stream(self) -> Stream:
        """Return the caller's current stream."""
        return _CurrentStream(torch.cuda.current_stream(self.device))

    def new_event(self) -> Event:
        return Event()

    def record_stream(self, tensor: Tensor, stream: Stream) -> None:
        """After this memory is freed, do not reuse it before the work now on ``stream`` is done."""
        tensor.record_stream(stream.stream)

    def zeros(self, n: int) -> Tensor:
        """Return int64 zeros for `read`. The current stream waits for them."""
        with torch.cuda.stream(self._read_stream):
            tensor = torch.zeros(n, dtype=torch.int64, device=self.device)
        torch.cuda.current_stream(self.device).wait_stream(self._read_stream)
        return tensor

    def read(self, tensor: Tensor) -> list[int]:
        """Return the present values. Overtakes all other work, and waits only for this copy."""
        with torch.cuda.stream(self._read_stream):
            return list(map(int, tensor.tolist()))

    def upload(self, tensor: Tensor) -> Tensor:
        """Copy from the CPU, on the current stream."""
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def pinned(self, nbytes: int) -> Tensor:
        """Return pinned CPU memory."""
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)

    def register(self, memory: Tensor) -> bool:
        """Let the device write to this CPU memory; return False if the system refuses."""
        with self.active():
            is_registered = register_host_memory(memory)
            if not is_registered:
                self._clear_error()
        return is_registered

    def unregister(self, memory: Tensor) -> None:
        """Undo `register`, once the device no longer writes there."""
        with self.active():
            unregister_host_memory(memory)

    def _clear_error(self) -> None:
        """Clear CUDA's last error, which the next launch would otherwise report as its own."""
        with contextlib.suppress(RuntimeError):
            torch.zeros(1, device=self.device)


@cache
def reading_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which values are read for people who look at single ones."""
    return _new_stream(device)


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream that users do not get: torch cycles theirs through 32 of usual priority."""
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
