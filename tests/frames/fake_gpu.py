"""A GPU that does one thing when it is told to, on the CPU: queues, marks and copies, step by step.

Like a GPU it reads and writes memory when a step is done, not when it is queued; what waits for a
mark waits for where the mark was last set at that time.
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


class FakeMark:
    """Set in a queue, done when the queue comes there."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.n_set = self.n_done = self.time = 0
        self._changed = threading.Condition()

    def is_done(self) -> bool:
        self.gpu.check_works()
        return self.n_done == self.n_set

    def wait(self) -> None:
        with self._changed:
            assert self._changed.wait_for(self.is_done, _WAIT_S)

    def reach(self, n_set: int) -> None:
        """Come to where the mark was set as the ``n_set``-th time."""
        with self._changed:
            self.n_done = n_set
            self.time = next(_clock)
            self._changed.notify_all()

    def ms_since(self, earlier: FakeMark) -> float:
        assert self.is_done()
        assert earlier.is_done()
        assert earlier.time < self.time
        return 1.0


class FakeQueue:
    """Steps in order."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.steps: deque[Step] = deque()

    def run(self, work: Callable[[], None]) -> None:
        def step() -> bool:
            work()
            return True

        self.steps.append(step)

    def wait(self, mark: FakeMark) -> None:
        n_set = mark.n_set
        self.steps.append(lambda: mark.n_done >= n_set)

    def record(self, mark: FakeMark) -> None:
        self.gpu.check_works()
        if mark.gpu is not self.gpu:
            raise RuntimeError("Event device does not match recording stream's device")
        mark.n_set += 1
        n_set = mark.n_set

        def step() -> bool:
            mark.reach(n_set)
            return True

        self.steps.append(step)

    def step(self) -> bool:
        """Do the next step, unless it waits; tell whether it was done."""
        if self.steps and self.steps[0]():
            self.steps.popleft()
            return True
        return False


class CopyQueue(FakeQueue):
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
        self.callers, self.side = FakeQueue(self), CopyQueue(self)
        self.registered: list[Tensor] = []
        self.n_marks = 0
        self.works = True

    def check_works(self) -> None:
        """Fail as all calls do after a kernel of the user's has read memory that is none."""
        if not self.works:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def active(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def current(self) -> FakeQueue:
        return self.callers

    def mark(self) -> FakeMark:
        self.n_marks += 1
        return FakeMark(self)

    def keep(self, tensor: Tensor, queue: FakeQueue) -> None:
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

    def step(self, queue: int) -> bool:
        """Do one step of the caller's queue, or of our own."""
        return (self.callers, self.side)[queue].step()

    def finish(self) -> None:
        """Do everything."""
        while self.step(0) or self.step(1):
            pass
        assert not self.callers.steps
        assert not self.side.steps


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
