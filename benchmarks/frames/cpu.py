"""CPU time of one frame, from the tensor to what an encoder reads."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import torch
from torch import Tensor

from benchmarks.frames.frames import KINDS, SIZES, Kind
from benchmarks.frames.report import Row
from gpuview.frames.picture.look import Look
from gpuview.frames.writer import FrameWriter
from gpuview.media.encode.convert import SlotConverter
from tests.frames.ring import RingSink

__all__ = ["conversion", "unwatched"]

Measure = Callable[[str, str], tuple[float, ...]]
"""From the names of a size and of a kind of frame to CPU times in ms."""

_ROUND_S = 0.2
_BLOCK = 500
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def conversion(rounds: int) -> Iterator[Row]:
    """Compare the usual way with ours, in turn, with one torch thread.

    Ours is what the kernel does, `FrameWriter.write`, and what the media process does then, here in
    one process, through a real ring. Each measurement has a process of its own, because what memory
    costs depends on what was allocated before.
    """
    forked = get_context("forkserver")
    forked.set_forkserver_preload([__name__])
    with (
        ProcessPoolExecutor(1, forked, max_tasks_per_child=1) as fresh,
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as spawned,
    ):
        # A forked process may have no room for a heap that keeps all.
        measures = {_usual_ms: fresh, _kept_ms: spawned, _ours_ms: fresh}
        for size in SIZES:
            for kind in KINDS:
                times = [_in_turn(measures, size, kind, round_) for round_ in range(rounds)]
                yield _row(f"{size} {kind.name}", times)


def _in_turn(
    measures: Mapping[Measure, Executor], size: str, kind: Kind, round_: int
) -> tuple[float, ...]:
    """Return one round's times of the usual way, of its best case, of ours, and of our push."""
    # The order alternates, so that none always has the warmer machine.
    order = list(measures)[:: -1 if round_ % 2 else 1]
    times = {each: measures[each].submit(each, size, kind.name).result() for each in order}
    return tuple(time for each in measures for time in times[each])


def _row(name: str, times: list[tuple[float, ...]]) -> Row:
    usual_ms, kept_ms, ours_ms, push_ms = map(median, zip(*times, strict=True))
    figures = {
        "usual way, ms": usual_ms,
        "memory kept, ms": kept_ms,
        "gpuview, ms": ours_ms,
        "in the kernel, ms": push_ms,
        "times less": usual_ms / ours_ms,
        "memory kept, times less": kept_ms / ours_ms,
    }
    return Row(name, figures)


def _usual_ms(size: str, name: str) -> tuple[float]:
    kind, tensor = _frame(size, name)
    return (_cpu_ms(lambda: kind.usual(tensor)),)


def _kept_ms(size: str, name: str) -> tuple[float]:
    """Measure the usual way where no memory goes back to the system, which is its best case."""
    libc = ctypes.CDLL(None)
    assert libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    assert libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    return _usual_ms(size, name)


def _ours_ms(size: str, name: str) -> tuple[float, float]:
    """Measure all that happens to a frame, and what of it happens in `push`."""
    _, tensor = _frame(size, name)
    sink = RingSink()
    writer, converter, look = FrameWriter(sink), SlotConverter(), Look()

    def push() -> None:
        writer.write(tensor, look)

    def show() -> None:
        push()
        assert converter.convert(sink.newest()) is not None

    times = _cpu_ms(show), _cpu_ms(push)
    writer.close()
    sink.close()
    return times


def _frame(size: str, name: str) -> tuple[Kind, Tensor]:
    # CPU time is then the work's own: threads that wait for each other burn it.
    torch.set_num_threads(1)
    kind = next(kind for kind in KINDS if kind.name == name)
    return kind, kind.make(*SIZES[size], "cpu")


def unwatched(rounds: int) -> Iterator[Row]:
    """Time `GPUStream.push` while nobody watches, in wall time."""
    try:
        from gpuview import GPUStream
    except ImportError as exc:  # a source tree without its front end, as on a borrowed machine
        yield Row(f"not measured: {str(exc).splitlines()[0]}", {})
        return
    with GPUStream() as stream:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            tensor = torch.rand(3, 1080, 1920, device=device)
            stream.push(tensor)  # the first frame is read in full
            blocks = [_microseconds(lambda t=tensor: stream.push(t)) for _ in range(rounds)]
            yield Row(f"1080p float32 CHW, {device}", {"push, µs": median(blocks)})


def _cpu_ms(function: Callable[[], object]) -> float:
    """Return this process's CPU time for one call, over calls for a fifth of a second."""
    function()
    calls, began, wall = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < _ROUND_S:
        function()
        calls += 1
    return (time.process_time() - began) * 1000 / calls


def _microseconds(function: Callable[[], object]) -> float:
    """Return the mean wall time of a call, over a block of calls."""
    began = time.perf_counter()
    for _ in range(_BLOCK):
        function()
    return (time.perf_counter() - began) * 1e6 / _BLOCK
