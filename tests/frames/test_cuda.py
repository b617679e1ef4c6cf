"""From CUDA tensors to the ring, on a real GPU, without the caller waiting.

Needs nothing but PyTorch, NumPy and pytest; runs alone, as `benchmarks/gpu.sh` does it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gpuview.errors import FrameError
from gpuview.frames.cuda.device import Gpu
from gpuview.frames.cuda.writer import CudaWriter
from gpuview.frames.picture.colormap import palette
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import read_tiles
from gpuview.frames.writer import FrameWriter
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import DEVICE_SLOTS, Slot
from tests.frames.reference import (
    assert_i420_within_one_level,
    assert_rgb_is_rounded,
    reference_bounds,
)
from tests.frames.ring import RingSink

pytestmark = pytest.mark.cuda

SECOND = 1_500_000_000  # clock cycles, about
WAIT_S = 30
DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)


class GpuRingSink(RingSink):
    """A ring that is read once the GPU has nothing more to do."""

    def __init__(self) -> None:
        super().__init__()
        self._ring(1 << 20, DEVICE_SLOTS)

    def newest(self) -> Slot:
        torch.cuda.synchronize()
        return super().newest()


@pytest.fixture
def sink() -> Iterator[GpuRingSink]:
    with GpuRingSink() as sink:
        yield sink


@pytest.fixture
def writer(sink: GpuRingSink) -> Iterator[FrameWriter]:
    writer = FrameWriter(sink)
    yield writer
    torch.cuda.synchronize()
    writer.close()
    for thread in threading.enumerate():
        if thread.name == "gpuview-retire":
            thread.join(WAIT_S)


def grey(level: float, side: int = 256) -> torch.Tensor:
    return torch.full((3, side, side), float(level), device="cuda")


def luma(slot: Slot) -> set[int]:
    return set(slot.data[: slot.width * slot.height].tolist())


def check(slot: Slot, frame: torch.Tensor, look: Look) -> None:
    """Compare a frame of one panel with the float64 reference."""
    tiles = read_tiles(frame.cpu(), look.layout)
    picture = plan((tiles.kind,), None, look)
    (panel,) = picture.panels
    assert (slot.pixel_format, slot.width, slot.height) == (
        PixelFormat.I420_RGB24P,
        picture.width,
        picture.height,
    )
    data, rgb = np.split(np.array(slot.data), [slot.width * slot.height * 3 // 2])
    n_pixels, half = slot.width * slot.height, (slot.height // 2, slot.width // 2)
    shown = (
        data[:n_pixels].reshape(slot.height, slot.width),
        data[n_pixels : n_pixels * 5 // 4].reshape(half),
        data[n_pixels * 5 // 4 :].reshape(half),
    )
    inside = tuple(
        plane[: panel.height // n, : panel.width // n]
        for plane, n in zip(shown, (1, 2, 2), strict=True)
    )
    colours = palette(panel.colormap if panel.channels == 1 else "gray", torch.device("cpu"))
    values = tiles.pixels.double().numpy()
    least, greatest = reference_bounds(values, panel, colours.numpy())
    assert_i420_within_one_level(inside, least, greatest)
    rgb = np.moveaxis(rgb.reshape(3, slot.height, slot.width), 0, -1)
    assert_rgb_is_rounded(rgb[: panel.height, : panel.width], least, greatest)


def noise(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (values * 255 if dtype == torch.uint8 else values).to(dtype).cuda()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "layout"),
    [((3, 250, 310), "CHW"), ((250, 310, 3), "HWC"), ((250, 310), "HW"), ((4, 3, 50, 70), "NCHW")],
)
def test_every_dtype_and_layout_is_within_a_level_of_the_reference(
    sink, writer, dtype, shape, layout
):
    frame, look = noise(*shape, dtype=dtype), Look(layout=layout)

    writer.write(frame, look)

    check(sink.newest(), frame, look)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int32, torch.int64], ids=str)
def test_integers_are_shown_by_a_range(sink, writer, dtype):
    frame = torch.arange(-40, 60).repeat(3, 256, 3).to(dtype).cuda()
    look = Look(layout="CHW", value_range=(-30, 50))

    writer.write(frame, look)

    check(sink.newest(), frame, look)


@pytest.mark.parametrize("size", [128, 512, 1000])
@pytest.mark.parametrize("value_range", ["auto", "frame", (-1.0, 1.0)])
def test_maps_are_coloured_resized_and_nonfinite_values_marked_and_counted(
    sink, writer, size, value_range
):
    frame = noise(9, 31, 45, dtype=torch.float32)
    frame[3, 4, 5], frame[5, 6, 7] = torch.nan, torch.inf
    look = Look(layout="NHW", value_range=value_range, colormap="turbo", size=size)

    writer.write(frame, look)

    check(sink.newest(), frame, look)
    stats = writer.stats()
    assert (stats.n_nan, stats.n_inf) == (1, 1)
    assert stats.conversion_ms > 0
    assert stats.copy_ms > 0


def test_what_was_counted_is_told_while_all_streams_that_a_user_gets_are_busy(sink, writer):
    writer.write(grey(1), Look())
    torch.cuda.synchronize()
    for _ in range(32):  # torch has no more, and gives them in turn
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda._sleep(SECOND)
            busy = torch.cuda.current_stream().record_event()

    writer.stats()

    assert not busy.query()


def test_a_hint_comes_without_waiting_and_goes_with_the_next_frame(sink):
    told: list[str] = []
    writer = FrameWriter(sink, told.append)
    labels = torch.arange(64 * 64, device="cuda").remainder(3).to(torch.uint8).view(64, 64)

    for frame in (labels, labels * 100):
        writer.write(frame, Look())
        for thread in threading.enumerate():
            if thread.name == "gpuview-hint":
                thread.join(WAIT_S)
    writer.close()

    assert told == ["values reach only 2: value_range=(0, 2)", ""]


def test_integers_that_are_no_labels_are_shown_without_waiting_and_a_hint_says_so(sink):
    told: list[str] = []
    writer = FrameWriter(sink, told.append)
    depth_mm = torch.arange(64 * 64, device="cuda").view(64, 64)
    torch.cuda._sleep(SECOND)
    busy = torch.cuda.Event()
    busy.record()

    writer.write(depth_mm, Look())

    assert not busy.query()
    for thread in threading.enumerate():
        if thread.name == "gpuview-hint":
            thread.join(WAIT_S)
    writer.close()
    assert told == ["integers up to 4095 are no labels: value_range=(0, 4100)"]


def test_labelled_panels_share_a_picture(sink, writer):
    writer.write({"black": grey(0), "white": grey(1)}, Look())

    assert {16, 235} <= luma(sink.newest())


def test_pushing_does_not_wait_for_the_device(sink, writer):
    frame = grey(1)
    writer.write(frame, Look())
    writer.write(frame, Look())
    torch.cuda.synchronize()

    torch.cuda._sleep(SECOND)
    busy = torch.cuda.Event()
    busy.record()
    torch.cuda.set_sync_debug_mode("error")
    try:
        writer.write(frame, Look())
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert not busy.query()
    assert sink.reader.is_expecting()
    assert sink.newest().seq == 3


def test_a_thousand_frames_wait_behind_a_slow_computation_in_no_more_memory(sink, writer):
    frame = grey(0)
    writer.write(frame, Look())
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]

    torch.cuda._sleep(SECOND)
    for _ in range(999):
        writer.write(frame, Look())
    after = torch.cuda.memory_stats()["allocation.all.allocated"]
    frame.fill_(1)
    writer.write(frame, Look())

    slot = sink.newest()
    assert (slot.seq, luma(slot)) == (1001, {235})
    assert after == before


def test_a_frame_may_be_overwritten_right_after_the_push(sink, writer):
    frame = grey(0)
    writer.write(frame, Look())  # what is made for the first frame may wait for the device
    torch.cuda._sleep(SECOND // 10)

    writer.write(frame, Look())
    frame.fill_(1)

    assert luma(sink.newest()) == {16}


def test_a_frame_may_be_freed_right_after_the_push_from_another_stream(sink, writer):
    frame = grey(0, side=1024)
    writer.write(frame, Look())
    torch.cuda.synchronize()
    other = torch.cuda.Stream()
    with torch.cuda.stream(other):
        torch.cuda._sleep(SECOND // 10)
        writer.write(frame, Look())
    del frame
    grey(1, side=1024)  # would get the same memory

    assert luma(sink.newest()) == {16}


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.enable_grad, torch.no_grad])
def test_pushing_does_not_depend_on_the_callers_modes(sink, writer, mode):
    with mode():
        frame = grey(1).requires_grad_(mode is torch.enable_grad) * 1
        writer.write(frame, Look())
    writer.write(grey(1), Look())

    assert luma(sink.newest()) == {235}


def test_autocast_changes_no_colour(sink, writer):
    frame, look = noise(3, 256, 256, dtype=torch.float32), Look()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        writer.write(frame, look)

    check(sink.newest(), frame, look)


def test_while_a_graph_is_captured_a_push_is_refused_with_a_way_out(sink, writer):
    frame = grey(0)
    writer.write(frame, Look())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        frame.add_(1)
        with pytest.raises(FrameError, match="while a CUDA graph is captured") as caught:
            writer.write(frame, Look())

    assert "after graph.replay()" in caught.value.fix
    graph.replay()
    writer.write(frame, Look())
    slot = sink.newest()
    assert (slot.seq, luma(slot)) == (2, {235})


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_cpu_tensor_beside_a_cuda_one_is_read_before_push_returns_and_nothing_is_waited_for(
    sink, writer, is_pinned
):
    on_cpu = torch.zeros(3, 240, 64, pin_memory=is_pinned)
    frame = {"cpu": on_cpu, "cuda": torch.zeros(3, 240, 64, device="cuda")}
    writer.write(frame, Look())
    usual = bytes(sink.newest().data)

    torch.cuda._sleep(SECOND)
    writer.write(frame, Look())
    assert not torch.cuda.current_stream().query()
    on_cpu.fill_(1)

    assert bytes(sink.newest().data) == usual


def test_frames_from_the_cpu_and_from_the_gpu_take_turns(sink, writer):
    for level in (0.0, 1.0):
        writer.write(torch.zeros(3, 256, 256), Look())
        writer.write(grey(level), Look())

    slot = sink.newest()
    assert (slot.seq, slot.pixel_format, luma(slot)) == (4, PixelFormat.I420_RGB24P, {235})


def test_a_larger_frame_takes_another_ring_and_the_old_one_is_given_back(sink, writer):
    for side in (256, 1024, 2048):
        writer.write(grey(1, side), Look())

    slot = sink.newest()
    assert (slot.width, luma(slot)) == (2048, {235})


def test_a_size_that_changes_with_every_frame_is_followed(sink, writer):
    for n in range(20):
        writer.write(grey(n / 20, 240 + 2 * n), Look())

    slot = sink.newest()
    assert (slot.seq, slot.width) == (20, 278)


class UnregisterableGpu(Gpu):
    """One whose system refuses to register memory."""

    def register(self, memory: torch.Tensor) -> bool:
        return False


def test_where_memory_cannot_be_registered_frames_take_the_other_way(sink):
    lock = threading.Lock()
    writer = CudaWriter(sink, lock, UnregisterableGpu)
    tiles = read_tiles(grey(1), None)
    picture = plan((tiles.kind,), None, Look())
    with torch.inference_mode(), lock:
        writer.write(picture, [tiles], 5)
    deadline_s = time.monotonic() + WAIT_S
    while (slot := sink.reader.take()) is None and time.monotonic() < deadline_s:
        pass
    writer.close()

    assert (luma(slot), slot.capture_ns) == ({235}, 5)


def test_refused_memory_leaves_no_error_behind():
    gpu = Gpu(torch.device("cuda", 0))
    memory = torch.zeros(4096, dtype=torch.uint8)
    assert gpu.register(memory)

    assert not gpu.register(memory)  # a second time
    assert torch.ones(1, device="cuda").item() == 1
    gpu.unregister(memory)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="here are not two GPUs")
def test_frames_from_two_gpus_arrive_in_order(sink, writer):
    for n in range(100):
        device = f"cuda:{n % 2}"
        writer.write(torch.full((3, 256, 256), n / 100, device=device), Look())
    for device in range(2):
        torch.cuda.synchronize(device)

    slot = sink.newest()
    assert (slot.seq, luma(slot)) == (100, {int(16.5 + 219 * 0.99)})


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="here are not two GPUs")
def test_a_frame_of_the_device_that_is_not_current_is_shown(sink, writer):
    writer.write(torch.ones(3, 256, 256, device="cuda:1"), Look())
    torch.cuda.synchronize(1)

    assert luma(sink.newest()) == {235}
    assert torch.cuda.current_device() == 0
