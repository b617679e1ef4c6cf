"""From a CUDA tensor to the bytes of a slot, without the caller waiting."""

import threading

import numpy as np
import pytest
import torch

from gpuview.frames.readback import Readback
from gpuview.frames.yuv import rgb_to_i420
from gpuview.wire.ring import PixelFormat

pytestmark = pytest.mark.cuda

TIMEOUT_S = 30


class WaitingSink:
    """Keeps every frame, and lets a test wait for one."""

    def __init__(self) -> None:
        self.frames: list[tuple[PixelFormat, int, int, np.ndarray]] = []
        self.published = threading.Semaphore(0)

    def begin(self, nbytes: int) -> memoryview:
        self._slot = np.empty(nbytes, dtype=np.uint8)
        return self._slot.data

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        self.frames.append((pixel_format, width, height, self._slot))
        self.published.release()


@pytest.fixture
def sink():
    return WaitingSink()


@pytest.fixture
def readback(sink):
    readback = Readback(sink)
    yield readback
    readback.close()


@pytest.mark.parametrize("shape", [(3, 34, 46), (34, 46, 3), (1, 34, 46)])
def test_a_device_frame_arrives_as_i420(sink, readback, shape):
    frame = torch.rand(shape, device="cuda")

    readback.push(frame)

    assert sink.published.acquire(timeout=TIMEOUT_S)
    pixel_format, width, height, data = sink.frames[-1]
    planes = frame if shape[0] in (1, 3) else frame.permute(2, 0, 1)
    expected = rgb_to_i420(planes.expand(3, -1, -1)).cpu().numpy()
    assert (pixel_format, width, height) == (PixelFormat.I420, 46, 34)
    np.testing.assert_array_equal(data, expected)


def test_a_frame_may_be_overwritten_by_later_work_on_the_same_stream(sink, readback):
    frame = torch.zeros(3, 720, 1280, device="cuda")

    readback.push(frame)
    frame.fill_(1)

    assert sink.published.acquire(timeout=TIMEOUT_S)
    assert set(sink.frames[-1][3][: 720 * 1280]) == {16}


def test_the_last_of_many_frames_always_arrives(sink, readback):
    for value in torch.linspace(0, 1, 100).tolist():
        readback.push(torch.full((3, 64, 64), value, device="cuda"))

    assert sink.published.acquire(timeout=TIMEOUT_S)
    while sink.frames[-1][3][0] != 235:
        assert sink.published.acquire(timeout=TIMEOUT_S)


def test_pushing_does_not_wait_for_the_device(sink, readback):
    readback.push(torch.zeros(3, 64, 64, device="cuda"))
    assert sink.published.acquire(timeout=TIMEOUT_S)

    torch.cuda._sleep(1_000_000_000)
    busy = torch.cuda.Event()
    busy.record()
    readback.push(torch.ones(3, 64, 64, device="cuda"))

    assert not busy.query()


def test_closing_ends_the_thread(sink):
    readback = Readback(sink)
    readback.push(torch.zeros(3, 64, 64, device="cuda"))
    readback.close()

    assert "gpuview-readback" not in {thread.name for thread in threading.enumerate()}
