"""From any frame to the newest picture of a stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gpuview.errors import FrameError
from gpuview.frames.picture.geometry import Content, TileKind
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.plan import plan
from gpuview.frames.sink import WriteStats
from gpuview.frames.writer import FrameWriter
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from tests.frames.encoded import EncoderSink
from tests.frames.reference import assert_i420_within_one_level, picture_bounds

LOOK = Look()


class FakeSink:
    """Keeps the newest frame that was published."""

    def __init__(self) -> None:
        self.frames = 0
        self._user: int | None = None
        self._slot = np.empty(0, dtype=np.uint8)

    def begin(self, nbytes: int) -> memoryview:
        user = threading.get_ident()
        assert self._user in (None, user), "two threads are in the sink"
        self._user = user
        self._slot = np.full(nbytes, 99, dtype=np.uint8)
        return self._slot.data

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        assert self._slot.size == frame_nbytes(pixel_format, width, height)
        self.capture_ns = capture_ns
        self.height, self.width = height, width
        self.data = self._slot
        self.frames += 1
        self._user = None


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def ring() -> Iterator[EncoderSink]:
    with EncoderSink() as sink:
        yield sink


def kind_of(pixels: torch.Tensor, content: Content = "picture") -> TileKind:
    return TileKind(*pixels.shape, pixels.dtype, content)


def test_a_tensor_fills_the_picture(ring):
    planes = torch.rand(3, 240, 96)

    FrameWriter(ring).write(planes, LOOK)

    pixels = planes[None]
    picture = plan([kind_of(pixels)], None, LOOK)
    assert_i420_within_one_level(ring.shown(), *picture_bounds(picture, [pixels.numpy()]))


@pytest.mark.parametrize(
    ("arrange", "names"),
    [
        (lambda a, b: {"input": a, 7: b}, ("input", "7")),
        (lambda a, b: [a, b], ("0", "1")),
        (lambda a, b: (a, b), ("0", "1")),
    ],
)
def test_each_tensor_of_a_grid_is_a_labelled_panel(ring, arrange, names):
    image, maps = torch.rand(3, 60, 80), torch.randn(1, 5, 20, 20)

    FrameWriter(ring).write(arrange(image, maps.numpy()), LOOK)

    tensors = image[None], maps[0].unsqueeze(1)
    kinds = [kind_of(tensors[0]), kind_of(tensors[1], "map")]
    picture = plan(kinds, names, LOOK)
    bounds = picture_bounds(picture, [pixels.numpy() for pixels in tensors])
    assert_i420_within_one_level(ring.shown(), *bounds)


def test_the_size_kind_and_look_may_change_from_frame_to_frame(ring):
    writer = FrameWriter(ring)
    shown = []
    for frame, look in [
        (torch.rand(3, 240, 32), LOOK),
        (torch.rand(3, 400, 240), LOOK),
        (torch.zeros(240, 32, dtype=torch.uint8), LOOK),
        (torch.rand(3, 240, 32), Look(size=(64, 50))),
        (torch.rand(3, 240, 32), LOOK),
    ]:
        writer.write(frame, look)
        shown.append((ring.newest().width, ring.newest().height))

    assert shown == [(32, 240), (240, 400), (32, 240), (64, 50), (32, 240)]


def test_a_refused_frame_reaches_no_slot(sink):
    writer = FrameWriter(sink)
    with pytest.raises(FrameError, match="cannot show a tensor without elements"):
        writer.write(torch.zeros(2, 0, 20), LOOK)

    assert sink.frames == 0
    writer.write(torch.zeros(20, 20), LOOK)
    assert sink.frames == 1


def test_a_refusal_says_which_part_of_a_grid_it_means(sink):
    with pytest.raises(FrameError, match="in panel 'output'") as caught:
        FrameWriter(sink).write({"input": torch.zeros(9, 9), "output": None}, LOOK)

    assert caught.value.fix == "convert it: torch.as_tensor(...)"


@pytest.mark.parametrize("frame", [{}, []])
def test_a_grid_of_nothing_is_refused(sink, frame):
    with pytest.raises(FrameError, match="cannot show an empty collection of tensors"):
        FrameWriter(sink).write(frame, LOOK)


def test_a_failing_device_is_a_frame_error_with_the_cause():
    class BrokenSink(FakeSink):
        def begin(self, nbytes: int) -> memoryview:
            raise RuntimeError("CUDA error: unspecified launch failure\nand much advice")

    with pytest.raises(FrameError) as caught:
        FrameWriter(BrokenSink()).write(torch.zeros(20, 20), LOOK)

    assert caught.value.problem == "cannot read the tensor: CUDA error: unspecified launch failure"
    assert "restart the kernel" in caught.value.fix
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_failure_that_is_not_cudas_does_not_advise_a_restart(monkeypatch):
    class BrokenSink(FakeSink):
        def begin(self, nbytes: int) -> memoryview:
            raise RuntimeError("x" * 3000)

    with pytest.raises(FrameError, match=r"x{196} \.\.\.\n(?s:.*)in a cell of its own"):
        FrameWriter(BrokenSink()).write(torch.zeros(20, 20), LOOK)


def test_pushing_does_not_depend_on_the_callers_modes(ring):
    writer = FrameWriter(ring)
    frame = torch.rand(3, 240, 16, requires_grad=True)
    writer.write(frame, LOOK)
    usual = [plane.copy() for plane in ring.shown()]

    with torch.inference_mode():
        writer.write(torch.rand(1, 8, 16, 16), LOOK)
    with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        writer.write({"maps": torch.rand(1, 8, 16, 16, device="cpu")}, LOOK)
        writer.write(frame * 1, LOOK)

    for plane, before in zip(ring.shown(), usual, strict=True):
        np.testing.assert_array_equal(plane, before)


@pytest.mark.parametrize(
    "transform",
    [
        lambda work: torch.func.grad(lambda x: work(x).sum())(torch.rand(3)),
        lambda work: torch.func.functionalize(work)(torch.rand(3)),
    ],
    ids=["grad", "functionalize"],
)
def test_pushing_is_not_part_of_the_callers_transforms(sink, transform):
    writer = FrameWriter(sink)
    frame = torch.rand(3, 400, 230)  # shrunk, by tables that are kept
    frame[0, 0, 0] = torch.nan
    look = Look(size=164)

    def work(x: torch.Tensor) -> torch.Tensor:
        writer.write(frame, look)
        return x * 2

    transform(work)
    inside = sink.data
    writer.write(frame, look)

    np.testing.assert_array_equal(inside, sink.data)


def test_a_frame_may_be_overwritten_once_push_has_returned(sink):
    frame = torch.zeros(240, 16, 3, dtype=torch.uint8)

    FrameWriter(sink).write(frame, LOOK)
    frame.fill_(200)

    assert not sink.data.any()


def test_threads_take_turns_at_the_sink(sink):
    writer = FrameWriter(sink)
    start = threading.Barrier(4)

    def push_many() -> None:
        frame = torch.rand(3, 240, 64)
        start.wait()
        for _ in range(50):
            writer.write(frame, LOOK)

    threads = [threading.Thread(target=push_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sink.frames == 200


def test_frames_carry_the_time_at_which_they_were_pushed(sink, monkeypatch):
    monkeypatch.setattr("time.monotonic_ns", iter([111, 222]).__next__)
    writer = FrameWriter(sink)

    writer.write(torch.zeros(16, 16), LOOK)
    assert sink.capture_ns == 111
    writer.write(torch.zeros(3, 16, 16), LOOK)
    assert sink.capture_ns == 222


def test_stats_count_what_is_no_value_in_all_frames(sink):
    writer = FrameWriter(sink)
    assert writer.stats() == WriteStats()
    frame = torch.zeros(3, 240, 16)
    frame[0, 0, :3] = torch.nan
    frame[1, 9, 9] = -torch.inf

    writer.write(frame, LOOK)
    writer.write({"a": frame, "b": torch.zeros(16, 16)}, LOOK)
    writer.write(torch.zeros(16, 16), LOOK)

    stats = writer.stats()
    assert (stats.n_nan, stats.n_inf) == (6, 2)
    assert stats.conversion_ms is not None
    assert stats.conversion_ms > 0
    assert stats.copy_ms is None


def test_closing_twice_changes_nothing_and_the_next_frame_is_written(sink):
    writer = FrameWriter(sink)
    frame = torch.zeros(3, 16, 16)
    frame[0, 0, 0] = torch.nan
    writer.write(frame, LOOK)

    writer.close()
    writer.close()

    assert writer.stats().n_nan == 1
    writer.write(frame, LOOK)
    assert sink.frames == 2
