"""A GPU on the CPU that does one step when it is told to: streams, events and copies.

Like a GPU it reads and writes memory when a step is done, not when it is queued. Work that waits
for an event waits for where the event was last recorded at that time.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Step = Callable[[], bool]

_WAIT_S = 30
_clock = itertools.count()


class FakeEvent:
    """Recorded in a stream, done when the stream comes there."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.n_recorded = self.n_done = self.time = 0
        self._changed = threading.Condition()

    def is_done(self) -> bool:
        self.gpu.check_works()
        return self.n_done == self.n_recorded

    def wait(self) -> None:
        with self._changed:
            assert self._changed.wait_for(self.is_done, _WAIT_S)

    def reach(self, n_recorded: int) -> None:
        """Come to where the event was recorded as the ``n_recorded``-th time."""
        with self._changed:
            self.n_done = n_recorded
            self.time = next(_clock)
            self._changed.notify_all()

    def ms_since(self, earlier: FakeEvent) -> float:
        assert self.is_done()
        assert earlier.is_done()
        assert earlier.time < self.time
        return 1.0


class FakeStream:
    """Steps in order."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.steps: deque[Step] = deque()

    def run(self, work: Callable[[], None]) -> None:
        def step() -> bool:
            work()
            return True

        self.steps.append(step)

    def wait(self, event: FakeEvent) -> None:
        n_recorded = event.n_recorded
        self.steps.append(lambda: event.n_done >= n_recorded)

    def record(self, event: FakeEvent) -> None:
        self.gpu.check_works()
        if event.gpu is not self.gpu:
            raise RuntimeError("Event device does not match recording stream's device")
        event.n_recorded += 1
        n_recorded = event.n_recorded

        def step() -> bool:
            event.reach(n_recorded)
            return True

        self.steps.append(step)

    def step(self) -> bool:
        """Do the next step, unless it waits; tell whether it was done."""
        if self.steps and self.steps[0]():
            self.steps.popleft()
            return True
        return False


class FakeCopyStream(FakeStream):
    """Makes two steps of each copy, so that a reader can come in between."""

    def run(self, work: Callable[[], None]) -> None:
        with _Copies() as copies:
            work()
        for target, source in copies.found:
            half = target.numel() // 2 if target.numel() > 8 else 0  # 8 bytes are written at once
            for part in (slice(0, half), slice(half, None)):
                super().run(lambda t=target[part], s=source[part]: t.copy_(s))


class FakeGpu:
    """A `gpuview.frames.cuda.device.Gpu` whose memory is the CPU's."""

    device = torch.device("cpu")

    def __init__(self, *, registers: bool = True, has_triton: bool = False) -> None:
        self.registers = registers
        self.has_triton = has_triton
        self.callers, self.copy_stream = FakeStream(self), FakeCopyStream(self)
        self.registered: list[Tensor] = []
        self.n_events = 0
        self.works = True

    def check_works(self) -> None:
        """Fail as all calls do after a kernel of the user has read memory that does not exist."""
        if not self.works:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def active(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def current_stream(self) -> FakeStream:
        return self.callers

    def new_event(self) -> FakeEvent:
        self.n_events += 1
        return FakeEvent(self)

    def record_stream(self, tensor: Tensor, stream: FakeStream) -> None:
        pass

    def zeros(self, n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.int64)

    def read(self, tensor: Tensor) -> list[int]:
        return tensor.tolist()

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor

    def pinned(self, nbytes: int) -> Tensor:
        return torch.empty(nbytes, dtype=torch.uint8)

    def register(self, memory: Tensor) -> bool:
        if self.registers:
            self.registered.append(memory)
        return self.registers

    def unregister(self, memory: Tensor) -> None:
        self.registered = [each for each in self.registered if each is not memory]

    def step(self, stream: int) -> bool:
        """Do one step of the caller's stream, or of the copy stream."""
        return (self.callers, self.copy_stream)[stream].step()

    def finish(self) -> None:
        """Do everything."""
        while self.step(0) or self.step(1):
            pass
        assert not self.callers.steps
        assert not self.copy_stream.steps


class _Copies(TorchDispatchMode):
    """Writes down copies instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Tensor:
        assert func is torch.ops.aten.copy_.default, f"{func} is no copy"
        self.found.append(args[:2])
        return args[0]
