"""A device's frames on their way into the ring, whatever the order of everybody's steps."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gpuview.engine.stream import StreamHandle
from gpuview.errors import MediaError
from gpuview.frames.cuda import canvas as canvas_module
from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.slot_layout import rgb_planes
from gpuview.frames.cuda.staged_copy import StagedPath
from gpuview.frames.cuda.writer import CudaWriter
from gpuview.frames.picture.colormap import FLOW, IGNORED_ROW
from gpuview.frames.picture.geometry import BACKGROUND, Label, PanelPlan, Plan, Scaling
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.measured import Measured
from gpuview.frames.picture.tensor_layout import Tiles
from gpuview.protocol.media_messages import OpenStream
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import DEVICE_SLOTS, HEADER_NBYTES, RingReader, Slot
from tests.fakes import Listener
from tests.frames.fake_gpu import FakeGpu

WAIT_S = 30


def plan(height: int, width: int, labels: tuple[Label, ...] = ()) -> Plan:
    sides = height, width
    panel = PanelPlan(0, 0, *sides, 1, 1, *sides, *sides, *sides, 1, Scaling(0, 255), "gray")
    return Plan(height, width, (panel,), labels)


SMALL, LARGE = plan(16, 16), plan(32, 48)


def luma_of(level: int) -> int:
    return int(16.5 + 219 * level / 255)


class MediaProcess:
    """The media process's end: it takes the ring that it was told of last."""

    def __init__(self) -> None:
        self.reader: RingReader | None = None
        self.n_rings = 0

    def send(self, line: bytes, fds: list[int] = ()) -> None:
        if b"AttachRing" in line:
            self.close()
            self.n_rings += 1
            self.reader = RingReader.attach(os.dup(fds[0]))

    def take(self) -> Slot | None:
        return self.reader.take() if self.reader else None

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()


class DeviceRingHarness:
    """A stream, the device that its frames are on, and the media process."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.media = MediaProcess()
        engine = SimpleNamespace(
            process=self.media,
            check_open=lambda: None,
            forget_stream=lambda name: None,
        )
        opening = OpenStream(fps=30, max_bitrate_bps=10**6)
        self.handle = StreamHandle(engine, "s1", Listener(), opening)
        self.handle.open_in_process()
        self.lock = threading.Lock()
        self.writer = CudaWriter(self.handle, self.lock, lambda device: gpu)

    def push(self, level: int, of: Plan = SMALL, pixels: torch.Tensor | None = None) -> None:
        if pixels is None:
            pixels = torch.full((1, 1, of.height, of.width), level, dtype=torch.uint8)
        with self.lock:
            self.writer.write(of, [Tiles(pixels)], level)

    def close(self) -> None:
        self.writer.close()
        self.gpu.finish()
        for thread in threading.enumerate():
            if thread.name == "gpuview-retire":
                thread.join(WAIT_S)
        assert not self.gpu.registered
        self.handle.close()
        self.media.close()


@pytest.fixture
def harness() -> Iterator[DeviceRingHarness]:
    harness = DeviceRingHarness(FakeGpu())
    yield harness
    harness.close()


def test_a_frame_arrives_when_the_device_has_written_it_and_not_before(harness):
    harness.push(100)

    assert harness.media.take() is None
    assert harness.media.reader.is_expecting()
    harness.gpu.finish()

    slot = harness.media.take()
    assert (slot.seq, slot.pixel_format, slot.width, slot.height) == (
        1,
        PixelFormat.I420_RGB24P,
        16,
        16,
    )
    assert slot.capture_ns == 100
    assert set(slot.data[:256].tolist()) == {luma_of(100)}
    assert set(slot.data[256:384].tolist()) == {128}
    assert set(slot.data[384:].tolist()) == {100}
    assert not harness.media.reader.is_expecting()


def test_pushing_touches_neither_the_ring_nor_the_tensor_before_the_device_does(harness):
    pixels = torch.full((1, 1, 16, 16), 50, dtype=torch.uint8)
    harness.push(50, pixels=pixels)
    harness.gpu.callers.run(lambda: pixels.fill_(200))  # what the caller queues after the push

    harness.gpu.finish()

    assert harness.media.take().data[0] == luma_of(50)


def test_the_last_of_a_thousand_frames_behind_a_slow_computation_arrives(harness):
    for level in range(1000):
        harness.push(level % 256)
    rings, events = harness.media.n_rings, harness.gpu.n_events

    harness.gpu.finish()

    slot = harness.media.take()
    assert (slot.seq, slot.data[0]) == (1000, luma_of(999 % 256))
    assert (rings, events) == (1, 9)


def test_frames_of_another_size_need_no_new_ring_while_they_fit(harness):
    for of, level in ((LARGE, 10), (SMALL, 20), (LARGE, 30)):
        harness.push(level, of)
    harness.gpu.finish()

    slot = harness.media.take()
    assert (slot.seq, slot.width, slot.height) == (3, 48, 32)
    assert set(slot.data[: 48 * 32].tolist()) == {luma_of(30)}
    assert harness.media.n_rings == 1


def test_a_ring_that_was_outgrown_stays_registered_until_its_last_copy_is_done(harness):
    harness.push(10, SMALL)
    harness.push(20, plan(256, 256))
    assert len(harness.gpu.registered) == 2
    retiring = [each for each in threading.enumerate() if each.name == "gpuview-retire"]
    assert len(retiring) == 1

    harness.gpu.finish()
    retiring[0].join(WAIT_S)

    assert len(harness.gpu.registered) == 1
    assert harness.media.take().data[0] == luma_of(20)


def test_a_frame_from_the_cpu_goes_through_the_same_ring_and_is_the_newest(harness):
    harness.push(10)
    nbytes = 16 * 16 * 3 // 2
    harness.handle.begin(nbytes)[:] = bytes([77]) * nbytes
    harness.handle.publish(PixelFormat.I420, 16, 16, 5)

    assert harness.media.take().seq == 2
    harness.gpu.finish()  # the device's is the older one

    slot = harness.media.take()
    assert (slot.seq, slot.data[0]) == (2, 77)
    assert harness.media.n_rings == 1


def test_a_frame_from_the_cpu_never_takes_a_slot_that_a_device_still_writes(harness):
    for level in range(10):
        harness.push(level)
    nbytes = 16 * 16 * 3 // 2
    harness.handle.begin(nbytes)[:] = bytes([77]) * nbytes
    harness.handle.publish(PixelFormat.I420, 16, 16, 5)
    harness.gpu.finish()

    slot = harness.media.take()
    assert (slot.seq, set(slot.data.tolist())) == (11, {77})
    assert harness.media.reader.n_slots == DEVICE_SLOTS


def test_numbers_go_on_when_the_ring_is_replaced(harness):
    harness.push(1, SMALL)
    harness.push(2, plan(256, 256))
    harness.gpu.finish()

    assert harness.media.take().seq == harness.handle.frames_pushed == 2


def test_a_frame_that_cannot_be_launched_costs_nothing(harness):
    harness.push(10)
    harness.gpu.finish()
    for _ in range(5):
        harness.handle.reserve(100)  # and then nothing comes
    harness.push(20)
    harness.gpu.finish()

    assert harness.media.take().data[0] == luma_of(20)


def test_nonfinite_values_are_counted_over_frames_and_plans(harness):
    with_nonfinite = torch.full((1, 1, 16, 16), 0.5)
    with_nonfinite[0, 0, 1, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    large = torch.full((1, 1, 32, 48), torch.nan)
    harness.push(0, SMALL, with_nonfinite)
    harness.push(0, LARGE, large)
    harness.gpu.finish()

    stats = harness.writer.stats()
    assert (stats.n_nan, stats.n_inf) == (1 + 32 * 48, 2)


def test_extremes_are_measured_after_the_frame_and_without_waiting(harness):
    pixels = torch.full((1, 1, 16, 16), 3, dtype=torch.uint8)
    harness.push(1, pixels=pixels)
    with harness.lock:
        read = harness.writer.measure([Tiles(pixels)], [True])
    harness.gpu.callers.run(lambda: pixels.fill_(200))  # what the caller queues after the push

    harness.gpu.finish()

    assert read() == [Measured((3, 3))]


def test_a_range_without_outliers_and_the_speeds_of_a_flow_are_measured(harness):
    pixels = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)
    pixels[0, 0, 3, 4] = 1000
    arrow = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    percentiles = tuple(pixels.flatten().sort().values[[3, 252]].tolist())
    for tiles, auto, expected in (
        (Tiles(pixels), "robust", percentiles),
        (Tiles(arrow, "flow"), "symmetric", (5, 5)),
    ):
        (panel,) = SMALL.panels
        colormap = FLOW if tiles.content == "flow" else "gray"
        panel = replace(
            panel, channels=tiles.kind.channels, scaling=Scaling(auto=auto), colormap=colormap
        )
        harness.push(1, replace(SMALL, panels=(panel,)), tiles.pixels)
        with harness.lock:
            read = harness.writer.measure([tiles], [True])
        harness.gpu.finish()
        assert read() == [Measured(expected)]


def test_classes_and_the_share_outside_of_a_range_are_measured(harness):
    (panel,) = SMALL.panels
    indices = torch.tensor([7, -100, 255, 0]).repeat(64).reshape(1, 1, 16, 16)
    values = torch.tensor([0.5, 1.5, 1, torch.nan]).repeat(64).reshape(1, 1, 16, 16)
    for pixels, own, expected in (
        (indices, {"colormap": "labels"}, Measured((-100, 255), 0, (0, 7, 255, IGNORED_ROW))),
        (values, {"scaling": Scaling(0, 1)}, Measured((0.5, 1.5), 1 / 3)),
    ):
        harness.push(1, replace(SMALL, panels=(replace(panel, **own),)), pixels)
        with harness.lock:
            read = harness.writer.measure([Tiles(pixels)], [True])
        harness.gpu.finish()
        (found,) = read()
        assert found == expected._replace(outside=pytest.approx(expected.outside))


def test_only_what_is_wanted_is_measured(harness):
    with_nan = torch.full((1, 1, 16, 16), torch.nan)
    harness.push(1, pixels=with_nan)
    with harness.lock:
        read = harness.writer.measure([Tiles(with_nan)], [False])
    harness.gpu.finish()

    assert read() == [Measured()]


def test_times_are_those_of_a_frame_that_has_arrived(harness):
    assert harness.writer.stats().copy_ms is None
    harness.push(1)
    assert harness.writer.stats().copy_ms is None
    harness.gpu.finish()
    harness.push(2)

    stats = harness.writer.stats()
    assert (stats.conversion_ms, stats.copy_ms) == (1.0, 1.0)


def test_a_device_that_has_failed_is_given_up_and_nothing_is_raised():
    for registers in (True, False):
        gpu = FakeGpu(registers=registers)
        harness = DeviceRingHarness(gpu)
        harness.push(1)
        gpu.finish()
        gpu.works = False
        with pytest.raises(RuntimeError, match="illegal memory access"):
            harness.push(2)
        harness.close()


def test_a_frame_that_was_drawn_and_could_not_be_copied_has_no_times(harness, monkeypatch):
    def fail(work):
        raise RuntimeError("CUDA error: out of memory")

    harness.push(1)
    harness.gpu.finish()
    monkeypatch.setattr(harness.gpu.copy_stream, "run", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        harness.push(2)
    harness.gpu.finish()

    assert harness.writer.stats().copy_ms == 1.0  # the first one's


def test_a_device_without_memory_for_a_canvas_does_not_stop_another_device(harness):
    harness.push(1)
    other = FakeGpu()
    harness.writer._open_gpu = lambda device: other
    harness.gpu.new_event = None  # nothing more can be made there
    with pytest.raises(TypeError):
        harness.push(2, LARGE)
    elsewhere = torch.zeros((1, 1, 16, 16), dtype=torch.uint8, device="meta")

    harness.push(3, SMALL, elsewhere)

    harness.gpu.finish()
    del harness.gpu.new_event
    harness.gpu, other.device = other, harness.gpu.device
    other.callers.steps.clear()
    other.copy_stream.steps.clear()


def test_what_never_changes_is_drawn_once_for_each_plan(harness):
    panel = PanelPlan(0, 0, 16, 8, 1, 1, 16, 8, 16, 8, 16, 8, 1, Scaling(0, 255), "gray")
    labelled = Plan(16, 48, (panel,), (Label("name", 0, 16, 16, 24),))
    harness.push(255, labelled, torch.full((1, 1, 16, 8), 255, dtype=torch.uint8))
    harness.gpu.finish()

    data = np.array(harness.media.take().data)
    luma, rgb = data[: 16 * 48].reshape(16, 48), data[16 * 48 * 3 // 2 :].reshape(3, 16, 48)
    assert (luma[:, :8] == 235).all()
    assert (luma[:, 8:16] == 16 + round(219 * BACKGROUND[0] / 255)).all()
    assert luma[:, 16:40].max() > 150  # letters
    assert (luma[:, 40:] == luma[0, 8]).all()
    assert (rgb[..., :8] == 255).all()
    assert (rgb[..., 8:16] == BACKGROUND[0]).all()
    assert (rgb[..., 16:40] == label_image("name", 16, 24).movedim(-1, 0).numpy()).all()


class BrokenKernel:
    """A kernel that no compiler takes."""

    tensors = ()

    def draw(self, pixels: torch.Tensor, seq: int, capture_ns: int) -> None:
        raise ValueError("no C compiler found")


def test_where_the_kernel_does_not_compile_pytorch_draws_and_that_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(canvas_module, "_triton", canvas_module._Triton())
    gpu = FakeGpu()
    canvases = [Canvas(gpu, SMALL, gpu.zeros(2)) for _ in range(2)]
    tiles = [Tiles(torch.full((1, 1, 16, 16), 255, dtype=torch.uint8))]
    for canvas in canvases:
        canvas._kernels = [BrokenKernel()]
        gpu.current_stream().run(lambda canvas=canvas: canvas.draw(tiles, 1, 1))
    gpu.finish()

    for canvas in canvases:
        assert set(canvas.record[HEADER_NBYTES:][:256].tolist()) == {235}
        assert set(rgb_planes(canvas.record, 16, 16).flatten().tolist()) == {255}
    assert [record.message.count("no C compiler found") for record in caplog.records] == [1]


def test_streams_in_two_threads_do_not_compile_at_once(monkeypatch):
    monkeypatch.setattr(canvas_module, "_triton", canvas_module._Triton())

    class Kernel:
        tensors = ()

        def draw(self, pixels: torch.Tensor, seq: int, capture_ns: int) -> None:
            drawn.append(canvas_module._triton.lock.locked())

    drawn: list[bool] = []
    gpu = FakeGpu()
    canvas = Canvas(gpu, SMALL, gpu.zeros(2))
    canvas._kernels = [Kernel()]
    canvas.draw([Tiles(torch.zeros((1, 1, 16, 16)))], 1, 1)

    assert drawn == [True]
    assert not canvas_module._triton.lock.locked()


class TestWhereMemoryCannotBeRegistered:
    def test_frames_go_through_pinned_memory(self):
        harness = DeviceRingHarness(FakeGpu(registers=False))
        harness.push(60)
        harness.gpu.finish()
        while (slot := harness.media.take()) is None:
            pass

        assert set(slot.data[:256].tolist()) == {luma_of(60)}
        assert slot.capture_ns == 60
        harness.close()

    def test_a_frame_that_the_sink_refuses_is_told_once_and_the_next_one_is_shown(self):
        harness = DeviceRingHarness(FakeGpu(registers=False))
        begin, refused = harness.handle.begin, threading.Event()

        def refuse(nbytes):
            harness.handle.begin = begin
            refused.set()
            raise MediaError("no memory", expected="some", fix="free some")

        harness.handle.begin = refuse
        harness.push(60)
        harness.gpu.finish()
        assert refused.wait(WAIT_S)
        while harness.writer._staged._failure is None:
            pass
        with pytest.raises(MediaError, match="no memory"):
            harness.push(70)
        harness.push(80)
        harness.gpu.finish()
        while (slot := harness.media.take()) is None or slot.capture_ns != 80:
            pass
        harness.close()

    def test_two_devices_share_it(self):
        published: queue.Queue[int] = queue.Queue()

        class Sink:
            def begin(self, nbytes):
                return memoryview(bytearray(nbytes))

            def publish(self, pixel_format, width, height, capture_ns):
                published.put(capture_ns)

        lock, gpus = threading.Lock(), (FakeGpu(), FakeGpu())
        staged = StagedPath(Sink(), lock)
        canvases = [Canvas(gpu, SMALL, gpu.zeros(2)) for gpu in gpus]
        for n in range(6):
            with lock:
                staged.send(gpus[n % 2], canvases[n % 2], n)
            gpus[n % 2].finish()
        while published.get(timeout=WAIT_S) != 5:
            pass
        staged.close()

    def test_a_sink_that_no_device_can_write_to_is_served_in_the_same_way(self):
        published = threading.Event()

        class Sink:
            def begin(self, nbytes):
                self.data = bytearray(nbytes)
                return memoryview(self.data)

            def publish(self, pixel_format, width, height, capture_ns):
                published.set()

        gpu, lock, sink = FakeGpu(), threading.Lock(), Sink()
        writer = CudaWriter(sink, lock, lambda device: gpu)
        with lock:
            tiles = [Tiles(torch.full((1, 1, 16, 16), 9, dtype=torch.uint8))]
            writer.write(SMALL, tiles, 1)
        gpu.finish()
        assert published.wait(WAIT_S)
        writer.close()

        assert set(sink.data[:256]) == {luma_of(9)}


@settings(max_examples=60, stateful_step_count=40)
class DeviceRingMachine(RuleBasedStateMachine):
    """The host pushes, the device does a step, the reader takes a frame: in any order.

    What a reader would see is looked at after every step.
    """

    @initialize()
    def make(self) -> None:
        self.harness = DeviceRingHarness(FakeGpu())
        self.pushed: list[tuple[int, Plan]] = []
        self.held: Slot | None = None
        self.last_seq = 0

    @rule(n=st.integers(1, 8), level=st.integers(0, 200), of=st.sampled_from([SMALL, LARGE]))
    def push(self, n: int, level: int, of: Plan) -> None:
        for more in range(n):
            self.harness.push(level + more, of)
            self.pushed.append((level + more, of))

    @rule(level=st.integers(0, 255))
    def push_from_the_cpu(self, level: int) -> None:
        nbytes = 16 * 16 * 3 // 2
        self.harness.handle.begin(nbytes)[:] = bytes([luma_of(level)]) * nbytes
        self.harness.handle.publish(PixelFormat.I420, 16, 16, 0)
        self.pushed.append((level, SMALL))

    @rule(n=st.integers(1, 60), stream=st.integers(0, 1))
    def step(self, n: int, stream: int) -> None:
        """Do some steps, of one stream first."""
        for _ in range(n):
            self.harness.gpu.step(stream) or self.harness.gpu.step(1 - stream)
            self.look()

    @rule()
    def take(self) -> None:
        self.held = self.harness.media.take()
        self.look()

    def look(self) -> None:
        reader = self.harness.media.reader
        if reader is not None and (seq := reader._newest()[1]):
            assert seq >= self.last_seq
            self.last_seq = seq
        if self.held is not None:
            data = bytes(self.held.data)
            if self.held.is_whole():
                self.check(self.held, data)

    def check(self, slot: Slot, data: bytes) -> None:
        level, of = self.pushed[slot.seq - 1]
        assert (slot.height, slot.width) == (of.height, of.width)
        assert set(data[: of.height * of.width]) == {luma_of(level)}

    def teardown(self) -> None:
        self.harness.gpu.finish()
        if self.pushed:
            slot = self.harness.media.take()
            assert slot.seq == len(self.pushed)
            self.check(slot, bytes(slot.data))
        self.harness.close()


TestAnyOrder = DeviceRingMachine.TestCase
