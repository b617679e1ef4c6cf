"""What a tap and a viewer cost a training loop, in steps per second.

A network of ResNet-18's size learns random pictures of CIFAR's size, in a real kernel; a headless
viewer watches its third stage. Where the viewer's packages are missing, frames go from the tap into
a ring as if somebody watched, and the row says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from benchmarks.frames.report import Row
from tests.frames.ring import RingSink

if TYPE_CHECKING:
    from gpuview.testing.kernel import Kernel

__all__ = ["Training", "rows"]

_LAYER = "stages.2"
_CLASSES = 10
_STRETCH_S = 5.0
_WARM_UP = 5  # steps
_STRETCHES = 2  # with a tap, in each round
_BATCH = {"cpu": 16, "cuda": 256}
_ROOT = str(Path(__file__).resolve().parents[2])
_SETUP = f"""
import sys
sys.path.insert(0, {_ROOT!r})
from gpuview import GPUStream
from benchmarks.frames.training import Training
training = Training()
"""
_WATCH = f"stream = GPUStream(training.model, layer={_LAYER!r})\ndisplay(stream)"


class _Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.around = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.around(x))


class _ResNet18(nn.Module):
    """ResNet-18 for pictures of 32 x 32: 11 million parameters.

    Source:
        K. He et al., "Deep Residual Learning for Image Recognition", 2015, table 1; the first
        layers as its section 4.2 has them for CIFAR.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        sizes = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_Block(before, after, stride), _Block(after, after, 1))
                for before, after, stride in sizes
            )
        )
        self.last = nn.Linear(512, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, 10)
        features = self.stages(F.relu(self.first(x)))
        scores: Tensor = self.last(features.mean((2, 3)))
        return scores


class Training:
    """A loop as anybody has it."""

    def __init__(self) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = _ResNet18().to(self.device)
        self.batch = _BATCH[self.device]
        self._optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self._images = torch.randn(self.batch, 3, 32, 32, device=self.device)
        self._labels = torch.randint(0, _CLASSES, (self.batch,), device=self.device)

    def warm_up(self) -> None:
        """Let caches, allocators and cuDNN settle."""
        for _ in range(_WARM_UP):
            self._step()
        self._wait()

    def steps_per_second(self) -> float:
        """Train for some seconds, after a warm-up."""
        self.warm_up()
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < _STRETCH_S:
            self._step()
            steps += 1
        self._wait()
        return steps / (time.perf_counter() - began)

    def _step(self) -> None:
        self._optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self._images), self._labels)
        loss.backward()
        self._optimizer.step()

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def rows(rounds: int) -> Iterator[Row]:
    """Train without anything and with a tap, in turn."""
    if _can_view():
        yield _with_viewer(rounds)
    else:
        yield _without_viewer(rounds)


def _can_view() -> bool:
    """Tell whether there is all that a kernel and a viewer need: packages, and the front end."""
    try:
        import gpuview.testing.kernel
        import gpuview.widget  # noqa: F401 - to see whether they can be imported
    except ImportError:
        return False
    return True


def _with_viewer(rounds: int) -> Row:
    from gpuview.testing.kernel import Kernel

    with Kernel() as kernel:
        kernel.run(_SETUP, timeout_s=300)
        device = kernel.evaluate("training.device")
        batch = kernel.evaluate("training.batch")

        def steps() -> float:
            speed = kernel.evaluate("training.steps_per_second()", timeout_s=300)
            assert isinstance(speed, float)
            return speed

        figures = _alternate(rounds, steps, lambda: _watched(kernel))
    return Row(f"{device}, batch of {batch}, tap and viewer", figures)


@contextmanager
def _watched(kernel: Kernel) -> Iterator[Callable[[], int]]:
    """Tap the model, and watch it; the first frame has been decoded when this begins."""
    kernel.run(_WATCH)
    with kernel.view(kernel.stream()) as viewer:
        kernel.run("training.warm_up()", timeout_s=300)
        viewer.next_frame()
        yield lambda: int(kernel.evaluate("stream.stats().frames_shown"))
    kernel.run("stream.close()")


def _without_viewer(rounds: int) -> Row:
    training = Training()
    figures = _alternate(rounds, training.steps_per_second, lambda: _into_a_ring(training))
    name = f"{training.device}, batch of {training.batch}, tap into a ring, without a viewer"
    return Row(name, figures)


@contextmanager
def _into_a_ring(training: Training) -> Iterator[Callable[[], int]]:
    """Do what a watched tap does, 30 times a second, without the widget."""
    from gpuview.frames.picture.look import Look
    from gpuview.frames.picture.tensor_layout import Values
    from gpuview.frames.writer import FrameWriter

    sink, look = RingSink(), Look()
    writer = FrameWriter(sink)
    due_s, n_pushed = 0.0, 0

    def show(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal due_s, n_pushed
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + 1 / 30
            n_pushed += 1
            writer.write(Values(output), look)

    hook = training.model.get_submodule(_LAYER).register_forward_hook(show)
    try:
        yield lambda: n_pushed
    finally:
        hook.remove()
        writer.close()
        sink.close()


def _alternate(
    rounds: int,
    steps: Callable[[], float],
    tapped: Callable[[], AbstractContextManager[Callable[[], int]]],
) -> dict[str, float]:
    """Train without anything and tapped, in turn.

    A stretch with a tap is compared with the two beside it, so that a machine which becomes faster
    or slower meanwhile takes no part. How far the comparisons differ tells what they are worth.

    Args:
        rounds: How often, times `_STRETCHES`.
        steps: Trains for `_STRETCH_S`; gives steps per second.
        tapped: Taps the model while it is open; gives a function that counts the frames shown.
    """
    plain, with_tap, shown = [steps()], [], []
    for _ in range(_STRETCHES * rounds):
        with tapped() as count:
            began, before = time.perf_counter(), count()
            with_tap.append(steps())
            shown.append((count() - before) / (time.perf_counter() - began))
        plain.append(steps())
    beside = map(mean, pairwise(plain))
    kept = [100 * speed / usual for speed, usual in zip(with_tap, beside, strict=True)]
    return {
        "without, steps/s": median(plain),
        "with, steps/s": median(with_tap),
        "with : without, %": median(kept),
        "least, %": min(kept),
        "most, %": max(kept),
        "frames shown/s": median(shown),
    }
