"""What a frame costs on CUDA: the caller's time, the device's time, and the way into the ring.

Device times are read with events behind a kernel that only waits: everything is queued by the time
that it ends, so that no launch is in the figure. Bandwidths are those that copies reach in the same
run: what the frame's bytes would take at that rate is the floor.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles

import torch
from torch import Tensor

from benchmarks.frames.frames import KINDS, SIZES, picture
from benchmarks.frames.report import Row
from gpuview.errors import FrameError
from gpuview.frames.cpu.paint import render
from gpuview.frames.cpu.yuv import write_i420
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import read_tiles
from gpuview.frames.writer import FrameWriter
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from tests.frames.ring import RingSink

__all__ = ["copies", "kernels", "pushes"]

_CUDA = "cuda"
_PUSHES = 300
_WARM_UP = 20
_LONG_MS, _SHORT_MS = 200.0, 3.0
_INPUTS_NBYTES = 256 << 20  # more than any card's cache: each frame comes from memory
_COPY_NBYTES = 1 << 30
_DTYPES = {"uint8": torch.uint8, "float16": torch.float16, "float32": torch.float32}


def pushes(rounds: int) -> Iterator[Row]:
    """Time `FrameWriter.write` on the calling thread, one frame at a time, on an idle device."""
    kind = KINDS[0]
    for size, sides in SIZES.items():
        tensor = kind.make(*sides, _CUDA)
        usual_us = [_calling_us(lambda t=tensor: kind.usual(t)) for _ in range(rounds)]
        with _pushing(itertools.repeat(tensor)) as push:
            times_us = [_calling_us(push) for _ in range(_PUSHES)]
            figures = {
                "median, µs": median(times_us),
                "p99, µs": quantiles(times_us, n=100)[98],
                "the usual way, µs": median(usual_us),
                "synchronisations": _synchronisations(push),
                f"behind a kernel of {_LONG_MS:g} ms, µs": _behind_a_kernel_us(push),
            }
        yield Row(f"{size} {kind.name}", figures)


def kernels(rounds: int) -> Iterator[Row]:
    """Time the device's work for one frame on the caller's stream, against the bytes it moves."""
    bandwidth = _device_bandwidth(rounds)
    for size, (height, width) in SIZES.items():
        for name, dtype in _DTYPES.items():
            for layout in ("CHW", "HWC"):
                tensors = _inputs(height, width, dtype, layout)
                moved = tensors[0].nbytes + _picture_nbytes(height, width)
                floor_us = moved / bandwidth * 1e6
                with _pushing(itertools.cycle(tensors)) as push:
                    spent_us = median(_device_us(push) for _ in range(10 * rounds))
                figures = {
                    "device, µs": spent_us,
                    "floor, µs": floor_us,
                    "times the floor": spent_us / floor_us,
                    "GB/s": moved / spent_us / 1e3,
                }
                if size == "4K":
                    figures["plain torch, µs"] = _twin_us(tensors, rounds)
                yield Row(f"{size} {name} {layout}", figures)
    yield Row("a copy on the device", {"GB/s": bandwidth / 1e9})


def copies(rounds: int) -> Iterator[Row]:
    """Time the copy from the device into the ring, against one into pinned memory of torch's."""
    for size, (height, width) in SIZES.items():
        nbytes = _picture_nbytes(height, width)
        tensor = picture(height, width, _CUDA, dtype=torch.uint8, layout="HWC")
        slot_rate = nbytes / _slot_ms(tensor, 10 * rounds) / 1e6
        pinned_rate = nbytes / _pinned_ms(nbytes, 10 * rounds) / 1e6
        figures = {
            "to the ring, GB/s": slot_rate,
            "to pinned memory, GB/s": pinned_rate,
            "of that, %": 100 * slot_rate / pinned_rate,
        }
        yield Row(f"{size}, {nbytes / 1e6:.1f} MB of I420", figures)


def _slot_ms(tensor: Tensor, times: int) -> float:
    """Return the median time from the device into a slot, as `FrameWriter.stats` has it."""
    sink = RingSink()
    writer = FrameWriter(sink)
    copies_ms = []
    for _ in range(_WARM_UP + times):
        _busy(_SHORT_MS)  # the copy is queued when the device comes to it
        writer.write(tensor, Look())
        torch.cuda.synchronize()
        copy_ms = writer.stats().copy_ms
        assert copy_ms is not None
        copies_ms.append(copy_ms)
    writer.close()
    sink.close()
    return median(copies_ms[_WARM_UP:])


def _pinned_ms(nbytes: int, times: int) -> float:
    """Return the median time of such a copy into memory that torch has pinned."""
    pinned = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
    on_device = torch.empty(nbytes, dtype=torch.uint8, device=_CUDA)
    return median(
        _device_us(lambda: pinned.copy_(on_device, non_blocking=True)) / 1000 for _ in range(times)
    )


@contextmanager
def _pushing(tensors: Iterator[Tensor]) -> Iterator[Callable[[], None]]:
    """Give a function that pushes the next tensor; what is made only once is there already."""
    sink, look = RingSink(), Look()
    writer = FrameWriter(sink)

    def push() -> None:
        writer.write(next(tensors), look)

    try:
        for _ in range(_WARM_UP):
            push()
            torch.cuda.synchronize()
        yield push
    finally:
        writer.close()
        sink.close()


def _inputs(height: int, width: int, dtype: torch.dtype, layout: str) -> list[Tensor]:
    """Return pictures that together do not fit into the device's cache."""
    first = picture(height, width, _CUDA, dtype=dtype, layout=layout)
    return [first, *(first.clone() for _ in range(_INPUTS_NBYTES // first.nbytes))]


def _calling_us(function: Callable[[], object]) -> float:
    """Return the wall time of one call, on an idle device."""
    torch.cuda.synchronize()
    began = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - began) / 1000


def _synchronisations(push: Callable[[], None]) -> str:
    """Let torch raise an error when something waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        push()
    except FrameError as exc:  # what `FrameWriter.write` makes of torch's error
        return f"found: {exc.problem}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def _behind_a_kernel_us(push: Callable[[], None]) -> float | str:
    """Return what a push takes while the device is busy for long."""
    ended = torch.cuda.Event()
    torch.cuda.synchronize()
    _busy(_LONG_MS)
    ended.record()
    began = time.perf_counter_ns()
    push()
    spent_us = (time.perf_counter_ns() - began) / 1000
    return "waited for it" if ended.query() else spent_us


def _device_us(launch: Callable[[], object]) -> float:
    """Return how long the device works on what ``launch`` queues on the current stream."""
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    _busy(_SHORT_MS)
    before.record()
    launch()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) * 1000


def _busy(duration_ms: float) -> None:
    """Keep the current stream busy for about this long, on a device of at most 2 GHz longer."""
    torch.cuda._sleep(int(duration_ms * 2e6))


def _device_bandwidth(rounds: int) -> float:
    """Return bytes per second of a copy on the device, those read and those written."""
    source = torch.empty(_COPY_NBYTES, dtype=torch.uint8, device=_CUDA)
    target = torch.empty_like(source)
    return (
        2
        * _COPY_NBYTES
        * 1e6
        / median(_device_us(lambda: target.copy_(source)) for _ in range(10 * rounds))
    )


def _twin_us(tensors: list[Tensor], rounds: int) -> float:
    """Return the device time of the same frame in plain torch, as where Triton is missing."""
    pixels = itertools.cycle(read_tiles(tensor).pixels for tensor in tensors)
    first = next(pixels)
    kind = TileKind(*first.shape, first.dtype)
    (panel,) = plan([kind], None, Look()).panels
    y, cb, cr = _planes(panel.height, panel.width)

    def paint() -> None:
        write_i420(render(next(pixels), panel).rgb, y, cb, cr)

    paint()  # what is loaded and made only once is there already
    return median(_device_us(paint) for _ in range(10 * rounds))


def _picture_nbytes(height: int, width: int) -> int:
    return frame_nbytes(PixelFormat.I420_RGB24P, width, height)


def _planes(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.empty(height, width, dtype=torch.uint8, device=_CUDA)
    cb, cr = torch.empty(2, height // 2, width // 2, dtype=torch.uint8, device=_CUDA)
    return y, cb, cr
