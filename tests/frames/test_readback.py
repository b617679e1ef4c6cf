"""From a tensor to the bytes of a slot."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import FrameError
from gpuview.frames.readback import Readback
from gpuview.wire.ring import PixelFormat, frame_nbytes

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class FakeSink:
    """Keeps the newest frame that was published."""

    def __init__(self) -> None:
        self.frames = 0
        self.users = 0
        self._slot = np.empty(0, dtype=np.uint8)

    def begin(self, nbytes: int) -> memoryview:
        self.users += 1
        assert self.users == 1, "two threads are in the sink"
        self._slot = np.full(nbytes, 99, dtype=np.uint8)
        return self._slot.data

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        assert self._slot.size == frame_nbytes(pixel_format, width, height)
        self.pixel_format, self.capture_ns = pixel_format, capture_ns
        self.width, self.height = width, height
        self.data = self._slot
        self.frames += 1
        self.users -= 1

    @property
    def rgb(self) -> np.ndarray:
        """``(H, W, 3)`` uint8."""
        assert self.pixel_format is PixelFormat.RGB24
        return self.data.reshape(self.height, self.width, 3)

    @property
    def luma(self) -> np.ndarray:
        """``(H, W)`` uint8."""
        assert self.pixel_format is PixelFormat.I420
        return self.data[: self.height * self.width].reshape(self.height, self.width)

    @property
    def chroma(self) -> np.ndarray:
        assert self.pixel_format is PixelFormat.I420
        return self.data[self.height * self.width :]


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


def rgb_bytes(height: int, width: int) -> torch.Tensor:
    """``(H, W, 3)`` noise."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda hwc: hwc,
        lambda hwc: hwc.permute(2, 0, 1).contiguous(),
        lambda hwc: torch.cat((hwc, hwc[..., :1]), -1),
        lambda hwc: torch.cat((hwc, hwc), 1)[:, : hwc.shape[1]],
        lambda hwc: hwc.transpose(0, 1).contiguous().transpose(0, 1),
        lambda hwc: hwc.numpy(),
    ],
    ids=["HWC", "CHW", "RGBA", "cropped", "columns first", "NumPy"],
)
def test_uint8_rgb_arrives_byte_for_byte(sink, arrange):
    hwc = rgb_bytes(18, 32)

    Readback(sink).push(arrange(hwc))

    np.testing.assert_array_equal(sink.rgb, hwc.numpy())


@given(
    sides=st.tuples(st.integers(8, 20), st.integers(8, 20)),
    dtype=st.sampled_from(FLOATS),
    is_hwc=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_float_rgb_is_rounded_to_the_nearest_level(sides, dtype, is_hwc, seed):
    height, width = (2 * half for half in sides)
    sink = FakeSink()
    planes = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if is_hwc:
        planes = planes.permute(1, 2, 0).contiguous().permute(2, 0, 1)

    Readback(sink).push(planes)

    exact = 255 * planes.permute(1, 2, 0).double().numpy()
    assert np.abs(sink.rgb - exact).max() < 0.5 + 1e-4


@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
@pytest.mark.parametrize("layout", ["HW", "HWC", "CHW"])
def test_grey_becomes_luma_with_flat_chroma(sink, dtype, layout):
    levels = torch.arange(256, dtype=torch.float64).view(16, 16)
    grey = levels.to(dtype) if dtype == torch.uint8 else (levels / 255).to(dtype)
    shaped = {"HW": grey, "HWC": grey.unsqueeze(2), "CHW": grey.unsqueeze(0)}[layout]

    Readback(sink).push(shaped, layout)

    exact = 16 + 219 * (levels / 255 if dtype == torch.uint8 else grey.double())
    assert np.abs(sink.luma - exact.numpy()).max() < 0.5 + 1e-4
    assert set(sink.chroma) == {128}


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_that_no_screen_has_are_shown_as_the_nearest_one(sink, dtype):
    odd = torch.tensor([torch.nan, torch.inf, -torch.inf, 7.0, -7.0, 0.0, 1.0, 0.5], dtype=dtype)
    readback = Readback(sink)

    readback.push(odd.repeat(2).expand(3, 16, 16))
    assert sink.rgb[0, :8, 0].tolist() == [0, 255, 0, 255, 0, 0, 255, 128]

    readback.push(odd.repeat(2).expand(16, 16))
    assert sink.luma[0, :8].tolist() == [16, 235, 16, 235, 16, 16, 235, 126]


def test_an_odd_picture_is_completed(sink):
    hwc = rgb_bytes(17, 19)

    Readback(sink).push(hwc)

    np.testing.assert_array_equal(sink.rgb, np.pad(hwc, ((0, 1), (0, 1), (0, 0)), mode="edge"))


def test_a_tiny_picture_is_enlarged_by_a_whole_number(sink):
    hwc = rgb_bytes(5, 8)

    Readback(sink).push(hwc)

    assert (sink.height, sink.width) == (20, 32)
    np.testing.assert_array_equal(sink.rgb[::4, ::4], hwc.numpy())
    np.testing.assert_array_equal(sink.rgb[3::4, 3::4], hwc.numpy())


def test_the_size_may_change_from_frame_to_frame(sink):
    readback = Readback(sink)
    for height, width in [(16, 24), (40, 24), (24, 16), (16, 24)]:
        planes = torch.rand(3, height, width)
        readback.push(planes)
        np.testing.assert_allclose(sink.rgb, planes.permute(1, 2, 0) * 255, atol=0.51)


def test_a_refused_frame_reaches_no_slot(sink):
    with pytest.raises(FrameError, match="cannot show a tensor"):
        Readback(sink).push(torch.zeros(2, 20, 20))

    assert sink.frames == 0


def test_pushing_does_not_depend_on_the_callers_modes(sink):
    readback = Readback(sink)
    frame = torch.rand(3, 16, 16, requires_grad=True)
    with torch.inference_mode():
        readback.push(torch.rand(3, 16, 16))
    with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        readback.push(frame * 1)

    expected = frame.detach().permute(1, 2, 0).numpy() * 255
    assert np.abs(sink.rgb - expected).max() <= 0.51


def test_a_frame_may_be_overwritten_once_push_has_returned(sink):
    frame = torch.zeros(16, 16, 3, dtype=torch.uint8)

    Readback(sink).push(frame)
    frame.fill_(200)

    assert not sink.rgb.any()


def test_threads_take_turns_at_the_sink(sink):
    readback = Readback(sink)
    start = threading.Barrier(4)

    def push_many() -> None:
        frame = torch.rand(3, 64, 64)
        start.wait()
        for _ in range(50):
            readback.push(frame)

    threads = [threading.Thread(target=push_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sink.frames == 200


def test_frames_carry_the_time_at_which_they_were_pushed(sink, monkeypatch):
    monkeypatch.setattr("time.monotonic_ns", iter([111, 222]).__next__)
    readback = Readback(sink)

    readback.push(torch.zeros(16, 16))
    assert sink.capture_ns == 111
    readback.push(torch.zeros(3, 16, 16))
    assert sink.capture_ns == 222
